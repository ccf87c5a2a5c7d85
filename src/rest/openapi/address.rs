//! Where clients reach the service: its own address, or the one of a proxy before it.

use url::Url;

/// The addresses that the configuration gives.
#[derive(Clone, Copy, Debug)]
pub struct ServerAddress<'a> {
    /// The host the server listens on. PostgREST's wildcards (`*`, `*4`, `!4`, `*6`, `!6`) stand for any address.
    pub host: &'a str,
    /// The port the server listens on.
    pub port: u16,
    /// An `http` or `https` address without query, fragment and user, which is shown in place of the server's own.
    pub proxy_uri: Option<&'a str>,
    /// The path of the service on this server, such as `/rest/v1`; empty is `/`.
    pub base_path: &'a str,
}

/// The address as a document shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ShownAddress {
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// Host and port.
    pub(super) host: String,
    /// A path that starts with a slash.
    pub(super) base_path: String,
}

impl ServerAddress<'_> {
    /// The proxy's address if it is well-formed, the server's own otherwise.
    pub(super) fn resolve(&self) -> ShownAddress {
        self.proxy_uri.and_then(proxy_address).unwrap_or_else(|| ShownAddress {
            scheme: "http",
            host: format!("{}:{}", shown_host(self.host), self.port),
            base_path: if self.base_path.is_empty() { "/".to_owned() } else { self.base_path.to_owned() },
        })
    }
}

/// Reads a proxy's address; the port is that of its scheme unless given.
fn proxy_address(uri: &str) -> Option<ShownAddress> {
    let url = Url::parse(uri).ok()?;
    let scheme = match url.scheme() {
        "http" => "http",
        "https" => "https",
        _ => return None,
    };
    let plain = uri.contains("://")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let host = url.host_str().filter(|host| plain && !host.is_empty())?;
    let port = url.port_or_known_default().filter(|port| *port != 0)?;
    Some(ShownAddress { scheme, host: format!("{host}:{port}"), base_path: url.path().to_owned() })
}

/// A host as it stands before `:port`.
fn shown_host(host: &str) -> String {
    match host {
        "*" | "*4" | "!4" => "0.0.0.0".to_owned(),
        "*6" | "!6" => "[::]".to_owned(),
        _ if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(host: &str, proxy_uri: Option<&str>) -> (&'static str, String, String) {
        let address = ServerAddress { host, port: 3000, proxy_uri, base_path: "/rest/v1" }.resolve();
        (address.scheme, address.host, address.base_path)
    }

    fn own(host: &str) -> (&'static str, String, String) {
        ("http", host.to_owned(), "/rest/v1".to_owned())
    }

    #[test]
    fn without_a_proxy_the_server_shows_where_it_listens() {
        assert_eq!(shown("localhost", None), own("localhost:3000"));
        assert_eq!(shown("!4", None), own("0.0.0.0:3000"));
        assert_eq!(shown("::1", None), own("[::1]:3000"));
    }

    #[test]
    fn a_proxy_address_replaces_all_of_it() {
        let expected = ("https", "postgrest.com:443".to_owned(), "/openapi.json".to_owned());
        assert_eq!(shown("localhost", Some("https://postgrest.com/openapi.json")), expected);
        let expected = ("http", "api.example.com:8080".to_owned(), "/".to_owned());
        assert_eq!(shown("localhost", Some("http://api.example.com:8080")), expected);
    }

    #[test]
    fn a_malformed_proxy_address_is_ignored() {
        for uri in [
            "",
            "nonsense",
            "http:/a",
            "ftp://a/",
            "http://u@a/",
            "http://a/?q",
            "http://a/#f",
            "http://a:0/",
            "//a/",
        ] {
            assert_eq!(shown("a", Some(uri)), own("a:3000"), "{uri}");
        }
    }

    #[test]
    fn an_empty_base_path_is_the_root() {
        let address = ServerAddress { host: "a", port: 1, proxy_uri: None, base_path: "" };
        assert_eq!(address.resolve().base_path, "/");
    }
}
