//! Where the browser may be sent after sign-in: the redirect allow-list. Pure.
//!
//! The rule: a wanted target must lie on the site itself (scheme, host and port of the site URL; any port
//! when the site is on loopback) or match a configured pattern. Everything else falls back to the site URL, silently.
//!
//! Two rules close the gap between what we check and what a browser follows:
//! - the authority must be *written* the way the URL standard would print it, so that every odd spelling (userinfo,
//!   encoded bytes, octal or decimal addresses, trailing dots, Unicode look-alikes) is refused without a list of them;
//! - patterns are compared part by part (scheme, host, port, path) with the parsed URL, and the parsed URL is what the
//!   caller gets back, so no wildcard of one part reaches into another.

mod glob;
#[cfg(test)]
mod tests;

use url::{Host, Position, Url};

use glob::Glob;

/// Longest target that is looked at, in bytes.
const LONGEST: usize = 2048;

/// Schemes that run code, read local data or hide a second target: never a target, configured or not.
const NEVER: &[&str] = &[
    "about",
    "blob",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "jar",
    "javascript",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// The site and the patterns of other targets.
#[derive(Clone, Debug)]
pub struct RedirectPolicy {
    site: Url,
    allowed: Vec<Pattern>,
}

/// Why a configured site URL or pattern is refused at start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectPolicyError {
    /// The site URL is not an absolute URL that could itself be a target.
    #[error("the site URL {0:?} is not a plain absolute URL")]
    Site(String),
    /// A pattern has no scheme of its own, or one that is never a target.
    #[error("the redirect pattern {0:?} needs a literal scheme that may be redirected to")]
    Scheme(String),
    /// A pattern's host would let strangers choose the site.
    #[error(
        "the host of the redirect pattern {0:?} must be valid and, for wildcards, end in two literal labels such as *.example.com"
    )]
    Host(String),
    /// A pattern's port is neither a number nor `*`.
    #[error("the port of the redirect pattern {0:?} must be a number or *")]
    Port(String),
    /// A pattern uses something else than `*` and `**`, or cannot be a URL.
    #[error("the redirect pattern {0:?} is not a URL with * and ** as its only wildcards")]
    Syntax(String),
}

impl RedirectPolicy {
    /// Reads the configured site URL and patterns.
    pub fn new<'a>(
        site_url: &str,
        allow_list: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, RedirectPolicyError> {
        let site = parse_exactly(site_url).ok_or_else(|| RedirectPolicyError::Site(site_url.to_owned()))?;
        let allowed = allow_list.into_iter().map(Pattern::parse).collect::<Result<_, _>>()?;
        Ok(Self { site, allowed })
    }

    /// The site URL, the target of those who name none.
    pub fn site_url(&self) -> &Url {
        &self.site
    }

    /// The target: what was asked for, else the page that the request came from, else the site URL.
    pub fn choose(&self, requested: Option<&str>, referer: Option<&str>) -> Url {
        requested
            .and_then(|wanted| self.allowed(wanted))
            .or_else(|| referer.and_then(|page| self.allowed(page)))
            .unwrap_or_else(|| self.site.clone())
    }

    /// The target as parsed, if it may be redirected to.
    pub fn allowed(&self, wanted: &str) -> Option<Url> {
        let url = parse_exactly(wanted)?;
        (self.is_on_site(&url) || self.allowed.iter().any(|pattern| pattern.matches(&url))).then_some(url)
    }

    fn is_on_site(&self, url: &Url) -> bool {
        url.scheme() == self.site.scheme()
            && url.host().is_some()
            && url.host() == self.site.host()
            && (url.port_or_known_default() == self.site.port_or_known_default() || is_loopback(url))
    }
}

/// Hosts of this machine, where development servers change their port.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Parses a target of which every client makes the same thing; `None` for all others.
fn parse_exactly(text: &str) -> Option<Url> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.is_empty() || text.len() > LONGEST || text.contains(odd) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let plain = !NEVER.contains(&url.scheme())
        && is_written_as_parsed(text, &url)
        && !has_disguised_path(text)
        && !has_parameters_in_fragment(&url);
    plain.then_some(url)
}

/// Whether scheme and authority stand in the text as the parsed URL prints them. Case, and a port that is the scheme's
/// default, may differ.
fn is_written_as_parsed(text: &str, url: &Url) -> bool {
    let printed = &url[..Position::AfterPort];
    let Some((written, rest)) = text.split_at_checked(printed.len()) else { return false };
    if !written.eq_ignore_ascii_case(printed) || !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    let default_port = url.port_or_known_default().map(|port| format!(":{port}"));
    let rest = default_port.and_then(|port| rest.strip_prefix(port.as_str())).unwrap_or(rest);
    match url.host() {
        Some(Host::Domain(name)) if name.is_empty() || name.ends_with('.') => false,
        Some(_) => rest.is_empty() || rest.starts_with(['/', '?', '#']),
        // `app:/path`, `app:///path` and `app:path`: no authority, hence nothing to disguise.
        None => true,
    }
}

/// Whether the path hides dots, slashes, control characters or a second layer of encoding. In the query these are
/// ordinary data.
fn has_disguised_path(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    path.split('%').skip(1).any(|escape| {
        match escape.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => byte.is_ascii_control() || matches!(byte, b'.' | b'/' | b'\\' | b'%'),
            None => true,
        }
    })
}

/// A client reads its session from parameters in the fragment: a target must not bring some of its own. Routes such as
/// `#/welcome` stay.
fn has_parameters_in_fragment(url: &Url) -> bool {
    url.fragment().is_some_and(|fragment| fragment.contains(['=', '&', ';']))
}

/// One entry of the allow-list.
#[derive(Clone, Debug)]
enum Pattern {
    Web {
        scheme: String,
        host: Glob,
        /// `None` for any port.
        port: Option<u16>,
        /// Path and query; fragments do not decide where one gets to.
        target: Glob,
    },
    /// A scheme of an installed app: whoever owns the scheme gets it all, so the rest is one text.
    App { scheme: String, rest: Glob },
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, RedirectPolicyError> {
        let (scheme, rest) =
            text.split_once(':').ok_or_else(|| RedirectPolicyError::Scheme(text.to_owned()))?;
        let scheme = scheme.to_ascii_lowercase();
        let literal = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !literal || NEVER.contains(&scheme.as_str()) {
            return Err(RedirectPolicyError::Scheme(text.to_owned()));
        }
        let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '{' | '}' | '@');
        if rest.contains(odd) {
            return Err(RedirectPolicyError::Syntax(text.to_owned()));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        if matches!(scheme.as_str(), "http" | "https") {
            Self::parse_web(text, scheme, rest)
        } else {
            Ok(Self::App { scheme, rest: Glob::new(rest) })
        }
    }

    fn parse_web(text: &str, scheme: String, rest: &str) -> Result<Self, RedirectPolicyError> {
        let rest = rest.strip_prefix("//").ok_or_else(|| RedirectPolicyError::Syntax(text.to_owned()))?;
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand before its bracket.
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        let port = match port {
            "" => Some(if scheme == "https" { 443 } else { 80 }),
            "*" => None,
            number => Some(number.parse().map_err(|_| RedirectPolicyError::Port(text.to_owned()))?),
        };
        let host = parse_host(host).ok_or_else(|| RedirectPolicyError::Host(text.to_owned()))?;
        // The parser leaves stars alone and encodes the rest as it will in the targets.
        let target = Url::parse(&format!("{scheme}://host{target}"))
            .map_err(|_| RedirectPolicyError::Syntax(text.to_owned()))?;
        let target = Glob::new(&target[Position::BeforePath..Position::AfterQuery]);
        Ok(Self::Web { scheme, host, port, target })
    }

    fn matches(&self, url: &Url) -> bool {
        match self {
            Self::Web { scheme, host, port, target } => {
                scheme == url.scheme()
                    && url.host_str().is_some_and(|name| host.matches(name))
                    && (port.is_none() || *port == url.port_or_known_default())
                    && target.matches(&url[Position::BeforePath..Position::AfterQuery])
            }
            Self::App { scheme, rest } => {
                let (own, after) = url.as_str().split_once(':').unwrap_or_default();
                let after = after.split('#').next().unwrap_or_default();
                scheme == own && rest.matches(after)
            }
        }
    }
}

/// The host of a pattern in its printed form. Where it has wildcards, its last two labels have none: nobody can
/// register such a name but the owner of that domain.
fn parse_host(text: &str) -> Option<Glob> {
    let printed = Host::parse(text).ok()?.to_string();
    if printed.contains('*') {
        let mut labels = printed.rsplit('.');
        let (last, domain) = (labels.next()?, labels.next()?);
        let literal = |label: &str| !label.is_empty() && !label.contains('*');
        let numeric = last.bytes().all(|b| b.is_ascii_digit());
        if !literal(last) || !literal(domain) || numeric || labels.next().is_none() {
            return None;
        }
    }
    (!printed.is_empty() && !printed.ends_with('.')).then(|| Glob::new(&printed))
}
