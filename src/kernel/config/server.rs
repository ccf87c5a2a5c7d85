//! Configuration of the listeners: addresses, time-outs, limits, CORS, proxies and rate limits.
//! It does not listen and does not limit; the gateway does.

use std::path::PathBuf;

use super::schema::section;
use super::values::{ByteSize, FileMode, TimeSpan};

section! {
    /// The public listener, the optional admin listener, and what every request must keep to.
    pub struct ServerConfig {
        /// Address to listen on. `0.0.0.0` or `::` for all; the container image sets that.
        pub host: String = "127.0.0.1".to_owned(), as "server-host";
        /// Port to listen on; 0 takes a free one.
        pub port: u16 = 8000, in 0, u16::MAX, as "server-port";
        /// Unix socket to listen on, in place of `host` and `port`. Who connects to it counts as `127.0.0.1`.
        pub unix_socket: Option<PathBuf> = None, as "server-unix-socket";
        /// Mode of the Unix socket's file: who may connect.
        pub unix_socket_mode: FileMode = FileMode::octal(0o660), in FileMode::octal(0o600), FileMode::octal(0o777), as "server-unix-socket-mode";
        /// Address of the admin listener.
        pub admin_host: String = "127.0.0.1".to_owned(), as "admin-server-host";
        /// Port of the admin listener, which serves health and metrics; without it they are on the public one
        /// only. With an empty `rest.prefix` they are on the admin listener only.
        pub admin_port: Option<u16> = None, in 0, u16::MAX, as "admin-server-port";
        /// Where clients reach this server, for links and the OpenAPI document, as in `https://api.example.com`.
        pub public_url: Option<String> = None;
        /// Time for a client to send its request headers.
        pub header_timeout: TimeSpan = TimeSpan::seconds(10), in TimeSpan::millis(100), TimeSpan::seconds(600);
        /// Time for a client to send its request body.
        pub read_timeout: TimeSpan = TimeSpan::seconds(30), in TimeSpan::millis(100), TimeSpan::seconds(3600);
        /// Time without progress after which a response to a client that does not read is given up.
        pub write_timeout: TimeSpan = TimeSpan::seconds(30), in TimeSpan::millis(100), TimeSpan::seconds(3600);
        /// Time for a request as a whole, its database work included; 0s for no limit.
        pub request_timeout: TimeSpan = TimeSpan::seconds(60), in TimeSpan::seconds(0), TimeSpan::seconds(86400);
        /// Time for running requests to end once a stop was asked for.
        pub shutdown_timeout: TimeSpan = TimeSpan::seconds(30), in TimeSpan::seconds(0), TimeSpan::seconds(3600);
        /// Silence after which another server on the same database counts as gone, and who was present by it leaves. The same on
        /// all of them; each says four times within it that it is there.
        pub node_timeout: TimeSpan = TimeSpan::seconds(20), in TimeSpan::seconds(2), TimeSpan::seconds(600);
        /// Sockets open at the same time; further ones wait to be accepted.
        pub max_connections: usize = 10_000, in 1, 1_000_000;
        /// Longest request target (path and query).
        pub max_url_bytes: ByteSize = ByteSize::kib(64), in ByteSize::bytes(256), ByteSize::mib(1);
        /// Longest request head (request line and all headers).
        pub max_header_bytes: ByteSize = ByteSize::kib(128), in ByteSize::kib(8), ByteSize::mib(1);
        /// Memory that the bodies of all requests may take together; requests beyond it wait for `read_timeout` or
        /// get 503. At least as large as the largest of `body_limits`.
        pub body_memory: ByteSize = ByteSize::mib(256), in ByteSize::mib(1), ByteSize::mib(1024 * 1024);
        /// Largest request bodies.
        pub body_limits: BodyLimits = BodyLimits::default();
        /// Whether responses over 1 KB are compressed for clients that ask.
        pub compression: bool = true;
        /// Whether security headers are added to responses.
        pub security_headers: bool = true, profile false;
        /// Networks whose proxies may say the client's address in `X-Forwarded-For`, as in `10.0.0.0/8`.
        pub trusted_proxies: Vec<ipnet::IpNet> = Vec::new();
        /// Cross-origin requests.
        pub cors: CorsConfig = CorsConfig::default();
        /// Requests per time.
        pub rate_limits: RateLimits = RateLimits::default();
    }
}

section! {
    /// Largest request body per service.
    pub struct BodyLimits {
        /// Services without a limit of their own.
        pub default: ByteSize = ByteSize::mib(1), in ByteSize::kib(1), ByteSize::mib(1024);
        /// REST requests.
        pub rest: ByteSize = ByteSize::mib(1), in ByteSize::kib(1), ByteSize::mib(1024), profile ByteSize::mib(100);
    }
}

section! {
    /// Cross-origin requests from browsers.
    pub struct CorsConfig {
        /// Origins that may call, as in `https://app.example.com`; empty or `*` for all.
        pub allowed_origins: Vec<String> = Vec::new(), as "server-cors-allowed-origins";
        /// How long a browser may keep the answer to a preflight.
        pub max_age: TimeSpan = TimeSpan::seconds(86400), in TimeSpan::seconds(0), TimeSpan::seconds(86400);
    }
}

section! {
    /// Limits on requests per time, answered with 429 and `Retry-After`. Absent: no limit.
    pub struct RateLimits {
        /// Per client address.
        pub per_ip: Option<RateLimit> = None;
        /// Per API key.
        pub per_key: Option<RateLimit> = None;
        /// Per user.
        pub per_user: Option<RateLimit> = None;
        /// Most addresses, keys and users remembered at the same time; the least recent are forgotten.
        pub max_tracked: usize = 100_000, in 1_000, 10_000_000;
    }
}

section! {
    /// So many requests per period.
    pub struct RateLimit {
        /// Requests per period; 0 for no limit.
        pub requests: u32 = 0, in 0, 10_000_000;
        /// The period.
        pub period: TimeSpan = TimeSpan::seconds(60), in TimeSpan::seconds(1), TimeSpan::seconds(86400);
        /// Requests that may come at once; as many as `requests` unless set.
        pub burst: Option<u32> = None, in 1, 10_000_000;
    }
}

/// Owned texts from literals.
pub(super) fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
