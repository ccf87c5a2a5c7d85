//! One PostgreSQL connection, spoken to in statement groups.
//!
//! A [`Group`] is the settings of a caller (role, claims, time-outs) and one query under ONE Sync: PostgreSQL runs them
//! as one transaction, so no query can run without its caller's settings and no setting outlives its query. That makes
//! the group the authorisation boundary: `encode` is the only place that writes frames of a query, and nothing may
//! split a group or add session state. Connections are owned by the tasks in `lanes`; handlers see [`Reply`] only.

pub(super) mod cancel;
pub(super) mod connect;
pub(super) mod encode;
mod error;
pub(super) mod flight;
pub(super) mod frame;
mod group;
mod reply;
mod scram;
mod spill;
pub(super) mod statements;
pub(super) mod stream;

pub use error::{DbError, SqlError, Stage, Unavailable};
pub use frame::Column;
pub use group::{Access, Finish, Group, Isolation, Query};
pub(super) use reply::{Answer, Batch};
pub use reply::{Completion, Reply, RowHead};
