//! Where an upload is, as the client reaches it (threat H17): by the configured address, else as a trusted proxy says, else as
//! the request was addressed.

use http::HeaderMap;
use http::header::HOST;
use http::uri::{Authority, Uri};

/// Scheme and host that the client used; none where it did not say so, and the path alone must do.
pub(super) fn base(
    public_url: Option<&str>,
    headers: &HeaderMap,
    uri: &Uri,
    is_from_proxy: bool,
) -> Option<String> {
    if let Some(url) = public_url {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let own = || {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok());
        authority(host.or_else(|| uri.authority().map(Authority::as_str))?)
    };
    if !is_from_proxy {
        return own().map(|host| format!("http://{host}"));
    }
    let scheme = match forwarded(headers, "x-forwarded-proto") {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    };
    let host = forwarded(headers, "x-forwarded-host").and_then(authority).or_else(own)?;
    let port = forwarded(headers, "x-forwarded-port").and_then(|port| port.parse::<u16>().ok());
    let usual = if scheme == "https" { 443 } else { 80 };
    Some(match port {
        Some(port) if host.port().is_none() && port != usual => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

/// What the first proxy said; those behind it add theirs.
fn forwarded<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// A host with or without a port, and nothing else.
fn authority(text: &str) -> Option<Authority> {
    text.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_of(
        public_url: Option<&str>,
        pairs: &[(&'static str, &str)],
        is_from_proxy: bool,
    ) -> Option<String> {
        let headers: HeaderMap =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        base(public_url, &headers, &Uri::from_static("/upload/resumable"), is_from_proxy)
    }

    #[test]
    fn the_configured_address_wins() {
        let forged = [("host", "a"), ("x-forwarded-host", "b")];
        for is_from_proxy in [true, false] {
            let base = base_of(Some("https://api.example.com/base/"), &forged, is_from_proxy);
            assert_eq!(base.as_deref(), Some("https://api.example.com/base"));
        }
    }

    #[test]
    fn only_trusted_proxies_say_how_they_were_addressed() {
        let pairs =
            [("host", "10.0.0.1:8000"), ("x-forwarded-host", "a.example"), ("x-forwarded-proto", "https")];
        assert_eq!(base_of(None, &pairs, true).as_deref(), Some("https://a.example"));
        assert_eq!(base_of(None, &pairs, false).as_deref(), Some("http://10.0.0.1:8000"));
    }

    #[test]
    fn the_port_of_the_proxy_is_added_unless_it_is_the_usual_one() {
        for (pairs, expected) in [
            (&[("x-forwarded-port", "8443"), ("x-forwarded-proto", "https")][..], "https://h:8443"),
            (&[("x-forwarded-port", "443"), ("x-forwarded-proto", "https")], "https://h"),
            (&[("x-forwarded-port", "80")], "http://h"),
            (&[("x-forwarded-port", "nonsense")], "http://h"),
            (&[("x-forwarded-host", "a:81"), ("x-forwarded-port", "82")], "http://a:81"),
            (&[("x-forwarded-host", "a, b"), ("x-forwarded-proto", "https,http")], "https://a"),
            (&[("x-forwarded-host", "evil/path")], "http://h"),
            (&[("x-forwarded-host", "user@evil")], "http://h"),
            (&[("x-forwarded-proto", "javascript")], "http://h"),
        ] {
            let mut all = vec![("host", "h")];
            all.extend_from_slice(pairs);
            assert_eq!(base_of(None, &all, true).as_deref(), Some(expected), "{pairs:?}");
        }
        assert_eq!(base_of(None, &[], false), None);
    }
}
