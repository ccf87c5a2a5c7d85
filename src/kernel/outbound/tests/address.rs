//! Tables of addresses and of the ways to write them (threat J01).

use crate::kernel::outbound::address::AddressGuard;
use crate::kernel::outbound::address::AddressKind::{self, *};
use crate::kernel::outbound::target::{TargetError, check};
use url::Url;

/// First and last addresses of networks, and their neighbours.
const ADDRESSES: &[(&str, AddressKind)] = &[
    ("1.1.1.1", Public),
    ("8.8.8.8", Public),
    ("9.255.255.255", Public),
    ("11.0.0.0", Public),
    ("100.63.255.255", Public),
    ("100.128.0.0", Public),
    ("126.255.255.255", Public),
    ("128.0.0.0", Public),
    ("168.63.129.15", Public),
    ("169.253.255.255", Public),
    ("169.255.0.0", Public),
    ("172.15.255.255", Public),
    ("172.32.0.0", Public),
    ("192.0.1.0", Public),
    ("192.167.255.255", Public),
    ("192.169.0.0", Public),
    ("198.17.255.255", Public),
    ("198.20.0.0", Public),
    ("223.255.255.255", Public),
    ("0.0.0.0", Unspecified),
    ("0.1.2.3", Unspecified),
    ("10.0.0.0", Private),
    ("10.255.255.255", Private),
    ("100.64.0.0", SharedNat),
    ("100.100.100.200", SharedNat),
    ("100.127.255.255", SharedNat),
    ("127.0.0.1", Loopback),
    ("127.255.255.254", Loopback),
    ("168.63.129.16", CloudControl),
    ("169.254.0.1", LinkLocal),
    ("169.254.169.254", LinkLocal),
    ("169.254.170.2", LinkLocal),
    ("172.16.0.0", Private),
    ("172.31.255.255", Private),
    ("192.0.0.1", Reserved),
    ("192.0.0.192", Reserved),
    ("192.0.2.1", Documentation),
    ("192.88.99.1", Tunnel),
    ("192.168.0.1", Private),
    ("198.18.0.0", Benchmarking),
    ("198.19.255.255", Benchmarking),
    ("198.51.100.7", Documentation),
    ("203.0.113.7", Documentation),
    ("224.0.0.1", Multicast),
    ("239.255.255.255", Multicast),
    ("240.0.0.1", Reserved),
    ("255.255.255.255", Multicast),
    ("2606:4700:4700::1111", Public),
    ("2001:4860:4860::8888", Public),
    ("2001:200::1", Public),
    ("2400::1", Public),
    ("::", Unspecified),
    ("::1", Loopback),
    ("::2", Tunnel),
    ("::127.0.0.1", Tunnel),
    ("::8.8.8.8", Tunnel),
    ("::ffff:8.8.8.8", Public),
    ("::ffff:127.0.0.1", Loopback),
    ("::ffff:10.1.2.3", Private),
    ("::ffff:169.254.169.254", LinkLocal),
    ("::ffff:0:127.0.0.1", Reserved),
    ("64:ff9b::8.8.8.8", Public),
    ("64:ff9b::127.0.0.1", Loopback),
    ("64:ff9b::10.0.0.1", Private),
    ("64:ff9b::169.254.169.254", LinkLocal),
    ("64:ff9b:1::8.8.8.8", Tunnel),
    ("64:ff9b:0:1::1", Reserved),
    ("100::1", Reserved),
    ("2001::1", Tunnel),
    ("2001:0:4136:e378:8000:63bf:80ff:fffe", Tunnel),
    ("2001:2::1", Benchmarking),
    ("2001:10::1", Reserved),
    ("2001:20::1", Reserved),
    ("2001:db8::1", Documentation),
    ("2002:7f00:1::1", Tunnel),
    ("2002:808:808::1", Tunnel),
    ("3fff::1", Documentation),
    ("4000::1", Reserved),
    ("5f00::1", Reserved),
    ("fc00::1", Private),
    ("fd00:ec2::254", Private),
    ("fe80::1", LinkLocal),
    ("fe80::a9fe:a9fe", LinkLocal),
    ("febf::1", LinkLocal),
    ("fec0::1", Private),
    ("ff02::1", Multicast),
    ("ff0e::1", Multicast),
];

/// Threat J01.
#[test]
fn every_special_network_has_its_kind() {
    for (address, kind) in ADDRESSES {
        let address = address.parse().unwrap();
        assert_eq!(AddressKind::of(address), *kind, "{address}");
        assert_eq!(AddressGuard::default().check(address).is_ok(), *kind == Public, "{address}");
    }
}

#[test]
fn an_allowed_network_is_open_and_its_neighbours_are_not() {
    let guard = AddressGuard::new(vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
    for open in ["10.1.0.1", "::ffff:10.1.0.1", "fd00:1::1", "8.8.8.8"] {
        assert_eq!(guard.check(open.parse().unwrap()), Ok(()), "{open}");
    }
    for closed in ["10.2.0.1", "::ffff:10.2.0.1", "64:ff9b::10.1.0.1", "::10.1.0.1", "fd00:2::1", "127.0.0.1"]
    {
        assert!(guard.check(closed.parse().unwrap()).is_err(), "{closed}");
    }
}

/// Threat J01.
#[test]
fn a_url_is_refused_in_whatever_form_it_names_the_address() {
    let address = TargetError::Address;
    let table: &[(&str, TargetError)] = &[
        ("http://127.0.0.1/", address(Loopback)),
        ("http://127.1/", address(Loopback)),
        ("http://2130706433/", address(Loopback)),
        ("http://0x7f000001/", address(Loopback)),
        ("http://0x7f.0.0.1/", address(Loopback)),
        ("http://0177.0.0.1/", address(Loopback)),
        ("http://017700000001/", address(Loopback)),
        ("http://127.0.0.1./", address(Loopback)),
        ("http://127.0.0%2e1/", address(Loopback)),
        ("http://\u{ff11}27.0.0.1/", address(Loopback)),
        ("http://127\u{3002}0\u{3002}0\u{3002}1/", address(Loopback)),
        ("http:127.0.0.1", address(Loopback)),
        ("http:\\\\127.0.0.1\\", address(Loopback)),
        ("http://0/", address(Unspecified)),
        ("http://0.0.0.0:8080/", address(Unspecified)),
        ("http://[::]/", address(Unspecified)),
        ("http://[::1]/", address(Loopback)),
        ("http://[0:0:0:0:0:0:0:1]/", address(Loopback)),
        ("http://[::ffff:127.0.0.1]/", address(Loopback)),
        ("http://[::ffff:7f00:1]/", address(Loopback)),
        ("http://[64:ff9b::7f00:1]/", address(Loopback)),
        ("http://[2002:7f00:1::]/", address(Tunnel)),
        ("http://[fe80::1]/", address(LinkLocal)),
        ("http://[fd00:ec2::254]/latest/meta-data/", address(Private)),
        ("http://169.254.169.254/latest/meta-data/", address(LinkLocal)),
        ("http://2852039166/", address(LinkLocal)),
        ("http://0xA9FEA9FE/", address(LinkLocal)),
        ("http://0251.0376.0251.0376/", address(LinkLocal)),
        ("http://192.168.1.1:9200/", address(Private)),
        ("http://10.0.0.1:2375/", address(Private)),
        ("http://user:secret@8.8.8.8/", TargetError::Userinfo),
        ("http://8.8.8.8@127.0.0.1/", TargetError::Userinfo),
        ("http://example.com:22/", TargetError::Port),
        ("http://example.com:25/", TargetError::Port),
        ("http://example.com:0/", TargetError::Port),
        ("file:///etc/passwd", TargetError::Scheme),
        ("gopher://127.0.0.1:6379/_x", TargetError::Scheme),
        ("ftp://example.com/", TargetError::Scheme),
        ("dict://127.0.0.1:11211/", TargetError::Scheme),
        ("data:text/plain,x", TargetError::Scheme),
        ("unix:/var/run/docker.sock", TargetError::Scheme),
    ];
    for (url, error) in table {
        let parsed = Url::parse(url).unwrap();
        assert_eq!(check(&parsed, &AddressGuard::default(), false), Err(*error), "{url}");
    }
    for open in
        ["https://example.com/", "http://example.com:8080/x", "https://8.8.8.8/", "http://[2606:4700::1]/"]
    {
        assert_eq!(check(&Url::parse(open).unwrap(), &AddressGuard::default(), false), Ok(()), "{open}");
    }
}

#[test]
fn plain_http_is_refused_where_https_is_demanded() {
    let check = |url: &str| check(&Url::parse(url).unwrap(), &AddressGuard::default(), true);
    assert_eq!(check("http://example.com/"), Err(TargetError::Scheme));
    assert_eq!(check("https://example.com/"), Ok(()));
}
