//! What the gateway found out about a request, handed to services as one extension of the request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::body_budget::BodyBudget;
use super::request_id::{RequestId, TraceContext};
use crate::kernel::identity::{Account, Caller};

/// Facts about a request; found in its extensions as `Arc<RequestContext>`.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Who calls. `None` only under mounts that authenticate by themselves.
    pub caller: Option<Arc<Caller>>,
    /// The caller's account, where a session of ours stands behind its token.
    pub account: Option<Account>,
    /// Where the request comes from, trusted proxies seen through; IPv4 also where it arrived as mapped IPv6.
    pub client_ip: IpAddr,
    /// Whether a trusted proxy sent it, whose word about how it was addressed (`X-Forwarded-Host` and the like) is believed.
    pub is_from_proxy: bool,
    /// The id that the answer and all log lines carry.
    pub request_id: RequestId,
    /// The trace that the client takes part in.
    pub trace: Option<TraceContext>,
    /// The most that the service may read of the body, in bytes.
    pub body_limit: usize,
    /// The memory that it shares with the bodies of all other requests.
    pub body_budget: BodyBudget,
    /// When the request came in.
    pub started: Instant,
    /// When the gateway gives up waiting for the head of the answer.
    pub deadline: Instant,
    /// When the gateway gives up waiting for the body of the request.
    pub body_deadline: Instant,
    /// How long it took to find out who calls.
    pub identity_took: Duration,
    /// How many bytes of the path belong to the mount (its prefix), so that `path[prefix_length..]` is the service's own.
    pub prefix_length: usize,
}

/// The route of an answer, for metrics: set by a service in the extensions of its response.
///
/// A constant of the program and never made from the request, so that the number of series stays constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteTemplate(pub &'static str);
