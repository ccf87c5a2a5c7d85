//! The database: how it is found or started, how it is spoken to, and as whom.
//!
//! `target` says where it is, `tls` how the way there is protected, `wire` speaks the protocol on one connection and
//! `lanes` spreads the requests' statement groups over a bounded number of connections. `login` connects sqlx, for what
//! is done beside the requests.

pub mod audit_log;
pub mod bootstrap;
pub mod bus;
pub mod deed;
pub mod embedded;
pub mod jobs;
pub mod lanes;
pub mod login;
pub mod pool;
pub mod project;
pub mod target;
pub mod tls;
pub mod wire;
