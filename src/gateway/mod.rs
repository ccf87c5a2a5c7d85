//! The edge: everything that happens to a request before a service sees it and to an answer after.
//!
//! One function ([`Gateway::handle`]) does the cheap checks in sequence instead of a tower of boxed layers, because it
//! runs for every request: limits, CORS, identity, rate limits, the service, headers, compression, log and metrics.
//! It knows no service: they are mounted by prefix. [`server`] has the connections, [`health`] the probes.

mod access_log;
mod compression;
mod cors;
mod exchange;
pub mod health;
mod mount;
mod options;
mod rate_limits;
mod refusal;
mod request_metrics;
mod security_headers;
pub mod server;

#[cfg(test)]
mod tests;

pub use cors::{CorsPolicy, Origins};
pub use exchange::Gateway;
pub use health::Health;
pub use mount::{Answering, Authentication, Middleware, Mount, RequestHandler, ServiceLimits};
pub use options::GatewayOptions;
pub use rate_limits::RateLimits;
pub use refusal::{ErrorShape, not_yet};
