//! What can be set about the gateway as a whole; services bring their own settings with their mount.

use std::time::Duration;

use http::HeaderName;

use crate::kernel::http::TrustedProxies;

/// Settings of the gateway.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Whose word about a client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// The longest path with query, in bytes; beyond it 414. The HTTP parser itself ends at 65,534.
    pub max_url_bytes: usize,
    /// The most that all header names and values of a request may take together, in bytes; beyond it 431.
    pub max_header_bytes: usize,
    /// Whether clients reach this server by TLS, perhaps through a proxy: answers then demand it for the future (HSTS).
    pub https: bool,
    /// Whether answers carry security headers (PostgREST's do not).
    pub security_headers: bool,
    /// How long the body of a request may take to arrive.
    pub body_timeout: Duration,
    /// How much memory the bodies of all requests may take together, in bytes.
    pub body_memory: usize,
    /// Whether access log lines carry the query, secrets redacted.
    pub log_query: bool,
    /// A request header whose value is repeated in the answer (PostgREST's `server-trace-header`).
    pub echo_header: Option<HeaderName>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            trusted_proxies: TrustedProxies::default(),
            max_url_bytes: 64 * 1024,
            max_header_bytes: 32 * 1024,
            https: false,
            security_headers: true,
            body_timeout: Duration::from_secs(30),
            body_memory: 256 << 20,
            log_query: true,
            echo_header: None,
        }
    }
}
