//! What every HTTP service needs of a request and is no service's own: who calls from where, under which id, and how a
//! body is read within bounds. No routing here and no service's error shapes.

pub mod body;
pub mod body_budget;
pub mod client_address;
pub mod context;
pub mod query_secrets;
pub mod request_id;

pub use body::{BodyError, read_body};
pub use body_budget::BodyBudget;
pub use client_address::TrustedProxies;
pub use context::{RequestContext, RouteTemplate};
pub use request_id::{RequestId, RequestIds, TraceContext};
