//! The security service: rules of tables as an API, and what they come to for a caller.
//!
//! `http` has a file per action, `store` asks the database what a role may do, `explain` puts the answers together. Rules
//! themselves are stored by `policy::store` and decided about by `policy`.

mod error;
mod explain;
mod http;
mod model;
mod state;
mod store;

pub use explain::{ExplainError, explain_once};
pub use http::router;
pub use state::SecurityState;
