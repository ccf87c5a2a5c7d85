//! Where a request really comes from: the last hop that is not one of the operator's own proxies.
//!
//! Only hops written by trusted proxies count, read from the right; whatever a client puts further left is its own
//! invention. IPv4 addresses in IPv6 clothing (`::ffff:a.b.c.d`) are the same as plain ones.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;

/// Which header the proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The networks whose word about the client's address is believed. Empty: nobody's.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    forwarding: Forwarding,
}

impl TrustedProxies {
    /// Believes the hops that these networks write into this header.
    pub fn new(networks: Vec<IpNet>, forwarding: Forwarding) -> Self {
        Self { networks, forwarding }
    }

    /// The client's address.
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.networks.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let name = match self.forwarding {
            Forwarding::XForwardedFor => http::HeaderName::from_static("x-forwarded-for"),
            Forwarding::Forwarded => FORWARDED,
        };
        let mut nearest = peer;
        let values: Vec<&str> =
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            let address = match self.forwarding {
                Forwarding::XForwardedFor => parse_address(hop.trim()),
                Forwarding::Forwarded => forwarded_for(hop),
            };
            // An unreadable hop ends the chain: the proxy before it is all that is known.
            let Some(address) = address else { return nearest };
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

/// The `for` parameter of one `Forwarded` element.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pair = element
        .split(';')
        .map(str::trim)
        .find(|pair| pair.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("for=")))?;
    parse_address(pair.get(4..)?.trim_matches('"'))
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

    fn client(forwarding: Forwarding, peer: &str, lines: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"].map(|text| text.parse().unwrap());
        let name = if forwarding == Forwarding::Forwarded { "forwarded" } else { "x-forwarded-for" };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        let proxies = TrustedProxies::new(networks.to_vec(), forwarding);
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
            assert_eq!(client(Forwarding::XForwardedFor, peer, lines), *expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_forwarded_header_is_read_only_where_it_is_chosen() {
        let table: &[(&[&str], &str)] = &[
            (&["for=1.2.3.4, for=203.0.113.7;proto=https"], "203.0.113.7"),
            (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (&["proto=https"], "10.1.1.1"),
            (&["for=_hidden"], "10.1.1.1"),
        ];
        for (lines, expected) in table {
            assert_eq!(client(Forwarding::Forwarded, "10.1.1.1", lines), *expected, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("forwarded", "for=203.0.113.7".parse().unwrap());
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()], Forwarding::XForwardedFor);
        let found = proxies.client_ip("10.1.1.1".parse().unwrap(), &headers);
        assert_eq!(found.to_string(), "10.1.1.1");
    }
}
