//! Which network addresses the server may connect to on somebody else's word. Pure.
//!
//! Whoever names a URL that we fetch (hooks, webhooks, providers) must not reach our own network with it. Everything is
//! refused that the IANA special-purpose registries do not call globally reachable, and so are addresses that carry a
//! refused IPv4 address inside. Sources: RFC 6890 and its registries, RFC 4291, RFC 6052, RFC 7526.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// The internet: the only kind that is dialled unless its network is allowed.
    Public,
    /// `0.0.0.0/8`, `::`: this host, this network.
    Unspecified,
    /// This machine.
    Loopback,
    /// RFC 1918, unique local and the deprecated site-local addresses.
    Private,
    /// The cable we are on; most clouds put their metadata service here.
    LinkLocal,
    /// Carrier-grade NAT, RFC 6598: private networks of providers and of overlay networks.
    SharedNat,
    /// Metadata and control services of clouds outside of link-local networks.
    CloudControl,
    /// Multicast and broadcast.
    Multicast,
    /// RFC 2544 and RFC 5180.
    Benchmarking,
    /// RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// An IPv4 address inside an IPv6 one by a mechanism that public servers do not use: IPv4-compatible, 6to4, Teredo,
    /// local-use NAT64.
    Tunnel,
    /// Set aside by the IETF, or not handed out.
    Reserved,
}

/// Decides on addresses: public ones, and those of the allowed networks.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Vec<IpNet>,
}

impl AddressGuard {
    /// A guard that opens these networks besides the internet.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether the address may be dialled; else what it is.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressKind> {
        let address = address.to_canonical();
        match AddressKind::of(address) {
            AddressKind::Public => Ok(()),
            _ if self.allowed.iter().any(|network| network.contains(&address)) => Ok(()),
            kind => Err(kind),
        }
    }
}

impl AddressKind {
    /// The kind of an address; the kind of the IPv4 address inside for mapped and NAT64 ones.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        find(V4, |network| network.contains(&address)).unwrap_or(Self::Public)
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if NAT64.contains(&address) {
            let [.., a, b, c, d] = address.octets();
            return Self::of_v4(Ipv4Addr::new(a, b, c, d));
        }
        match find(V6, |network| network.contains(&address)) {
            Some(kind) => kind,
            None if GLOBAL_UNICAST.contains(&address) => Self::Public,
            None => Self::Reserved,
        }
    }
}

/// The kind of the first network that fits.
fn find<N>(table: &[(N, AddressKind)], fits: impl Fn(&N) -> bool) -> Option<AddressKind> {
    table.iter().find(|(network, _)| fits(network)).map(|(_, kind)| *kind)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// A network given by the first 32 bits of its address.
const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

const V4: &[(Ipv4Net, AddressKind)] = &[
    (v4(0, 0, 0, 0, 8), AddressKind::Unspecified),
    (v4(10, 0, 0, 0, 8), AddressKind::Private),
    (v4(100, 64, 0, 0, 10), AddressKind::SharedNat),
    (v4(127, 0, 0, 0, 8), AddressKind::Loopback),
    // Azure's control service has a public address that only virtual machines reach.
    (v4(168, 63, 129, 16, 32), AddressKind::CloudControl),
    (v4(169, 254, 0, 0, 16), AddressKind::LinkLocal),
    (v4(172, 16, 0, 0, 12), AddressKind::Private),
    (v4(192, 0, 0, 0, 24), AddressKind::Reserved),
    (v4(192, 0, 2, 0, 24), AddressKind::Documentation),
    (v4(192, 88, 99, 0, 24), AddressKind::Tunnel),
    (v4(192, 168, 0, 0, 16), AddressKind::Private),
    (v4(198, 18, 0, 0, 15), AddressKind::Benchmarking),
    (v4(198, 51, 100, 0, 24), AddressKind::Documentation),
    (v4(203, 0, 113, 0, 24), AddressKind::Documentation),
    (v4(224, 0, 0, 0, 4), AddressKind::Multicast),
    (v4(255, 255, 255, 255, 32), AddressKind::Multicast),
    (v4(240, 0, 0, 0, 4), AddressKind::Reserved),
];

const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 3);
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);

const V6: &[(Ipv6Net, AddressKind)] = &[
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), AddressKind::Unspecified),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), AddressKind::Loopback),
    (v6(0, 0, 96), AddressKind::Tunnel),
    (Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48), AddressKind::Tunnel),
    (v6(0x2001, 0, 32), AddressKind::Tunnel),
    (v6(0x2001, 2, 48), AddressKind::Benchmarking),
    (v6(0x2001, 0, 23), AddressKind::Reserved),
    (v6(0x2001, 0xdb8, 32), AddressKind::Documentation),
    (v6(0x2002, 0, 16), AddressKind::Tunnel),
    (v6(0x3fff, 0, 20), AddressKind::Documentation),
    (v6(0xfc00, 0, 7), AddressKind::Private),
    (v6(0xfe80, 0, 10), AddressKind::LinkLocal),
    (v6(0xfec0, 0, 10), AddressKind::Private),
    (v6(0xff00, 0, 8), AddressKind::Multicast),
];
