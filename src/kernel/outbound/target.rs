//! The rules on a URL before anything is dialled: the first one and the target of every redirect. Pure.

use core::net::IpAddr;

use url::{Host, Url};

use super::address::{AddressGuard, AddressKind};

/// Why a URL is not fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not `http` or `https`, or not `https` where that is demanded.
    #[error("the scheme of the URL is not allowed")]
    Scheme,
    /// `user:password@` before the host: passwords do not belong in URLs, and it disguises the host.
    #[error("the URL holds a user name or password")]
    Userinfo,
    /// Below 1024 and not a web port: other protocols can be talked to in HTTP's words.
    #[error("the port of the URL is not allowed")]
    Port,
    /// The host is, or resolves to, an address that is not dialled.
    #[error("the host of the URL has an address that is not allowed ({0:?})")]
    Address(AddressKind),
}

/// Checks everything that the URL itself says. Names are checked again by the addresses they resolve to.
pub(super) fn check(url: &Url, guard: &AddressGuard, https_only: bool) -> Result<(), TargetError> {
    match url.scheme() {
        "https" => {}
        "http" if !https_only => {}
        _ => return Err(TargetError::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::Userinfo);
    }
    if !matches!(url.port_or_known_default(), Some(80 | 443 | 1024..)) {
        return Err(TargetError::Port);
    }
    // A literal address is dialled without asking a resolver, so it is looked at here.
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    guard.check(literal).map_err(TargetError::Address)
}
