//! Where a request really comes from: the last hop that is not one of the operator's own proxies.
//!
//! Only hops written by trusted proxies count, read from the right; whatever a client puts further left is its own
//! invention. IPv4 addresses in IPv6 clothing (`::ffff:a.b.c.d`) are the same as plain ones.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The header that proxies write the client's address into.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks whose word about the client's address is believed. Empty: nobody's.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Believes the hops that these networks write into `X-Forwarded-For`.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    /// The client's address.
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.networks.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let mut nearest = peer;
        let values: Vec<&str> =
            headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            // An unreadable hop ends the chain: the proxy before it is all that is known.
            let Some(address) = parse_address(hop.trim()) else { return nearest };
            nearest = address;
            if !self.trusts(address) {
                return address;
            }
        }
        nearest
    }

    /// Whether the address belongs to one of the trusted proxies.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// An address with or without port, IPv6 with or without brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.parse::<SocketAddr>() {
            Ok(with_port) => with_port.ip(),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        let proxies = TrustedProxies::new(networks.to_vec());
        proxies.client_ip(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client() {
        let table: &[(&str, &[&str], &str)] = &[
            ("198.51.100.9", &["203.0.113.7"], "198.51.100.9"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("10.1.1.1", &["203.0.113.7"], "203.0.113.7"),
            ("10.1.1.1", &["1.2.3.4, 203.0.113.7, 10.9.9.9"], "203.0.113.7"),
            ("10.1.1.1", &["1.2.3.4", "203.0.113.7", "10.9.9.9"], "203.0.113.7"),
            ("10.1.1.1", &["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
            ("10.1.1.1", &["203.0.113.7, nonsense"], "10.1.1.1"),
            ("10.1.1.1", &["203.0.113.7:4711"], "203.0.113.7"),
            ("10.1.1.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.1.1.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            ("::ffff:10.1.1.1", &["203.0.113.7"], "203.0.113.7"),
            ("::ffff:198.51.100.9", &["203.0.113.7"], "198.51.100.9"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
        ];
        for (peer, lines, expected) in table {
            assert_eq!(client(peer, lines), *expected, "{peer} {lines:?}");
        }
    }
}
