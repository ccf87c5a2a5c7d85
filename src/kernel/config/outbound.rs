//! Configuration of requests that leave the server: hooks, webhooks, SMS, identity providers.

use super::schema::section;

section! {
    /// Requests that leave the server. They never reach private networks, unless these are named here.
    pub struct OutboundConfig {
        /// Networks that may be reached besides the internet, as in `10.1.2.0/24`: for hooks and identity providers inside of
        /// your own network.
        pub allow_networks: Vec<ipnet::IpNet> = Vec::new();
        /// Whether plain `http` is refused.
        pub https_only: bool = false;
    }
}
