//! Which web pages may read answers (the Fetch standard's CORS protocol).
//!
//! Origins are compared whole, never by suffix, and an origin is only repeated in an answer if it is on the list.

use std::time::Duration;

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

const METHODS: &str = "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD";
const LONGEST_HEADER_LIST: usize = 4096;

/// Which pages are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All, without credentials (`*`).
    Any,
    /// Exactly these, such as `https://app.example.com`. `null` is never allowed.
    Listed(Vec<String>),
}

/// What pages of other sites may do with a service.
#[derive(Clone, Debug)]
pub struct CorsPolicy {
    origins: Origins,
    credentials: bool,
    exposed: HeaderValue,
    max_age: HeaderValue,
    before_requested: &'static str,
    after_requested: &'static str,
}

impl CorsPolicy {
    /// What Supabase clients need of a service: any header may be sent, and these may be read.
    pub fn supabase(origins: Origins) -> Self {
        Self {
            origins,
            credentials: false,
            max_age: HeaderValue::from_static("86400"),
            exposed: HeaderValue::from_static(
                "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Link, Location, \
                 Preference-Applied, Proxy-Status, Range-Unit, Retry-After, Server-Timing, X-Request-Id, \
                 X-Total-Count, X-Supabase-Api-Version, x-sb-error-code",
            ),
            before_requested: "Authorization, apikey, Content-Type, Content-Profile, Accept-Profile, Prefer, Range, \
                               Range-Unit, X-Client-Info, X-Retry-Count, X-Supabase-Api-Version",
            after_requested: "",
        }
    }

    /// PostgREST's lists to the letter. An empty list of origins means any.
    pub fn postgrest(allowed: Vec<String>) -> Self {
        let any = allowed.iter().all(String::is_empty);
        Self {
            credentials: !any,
            max_age: HeaderValue::from_static("86400"),
            origins: if any { Origins::Any } else { Origins::Listed(allowed) },
            exposed: HeaderValue::from_static(
                "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, \
                 Transfer-Encoding, Range-Unit",
            ),
            before_requested: "Authorization",
            after_requested: "Accept, Accept-Language, Content-Language",
        }
    }

    /// Which headers of answers pages may read, in place of the usual ones.
    #[must_use]
    pub fn exposing(mut self, headers: &'static str) -> Self {
        self.exposed = HeaderValue::from_static(headers);
        self
    }

    /// How long a browser may keep the answer to a preflight.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = HeaderValue::from(max_age.as_secs());
        self
    }

    /// Allows pages of listed origins to send cookies. Has no effect for [`Origins::Any`], which browsers forbid.
    #[must_use]
    pub fn credentials(mut self, allowed: bool) -> Self {
        self.credentials = allowed;
        self
    }

    /// The answer to a preflight; `None` if the request is none or its origin is not allowed.
    ///
    /// Only an OPTIONS with `Access-Control-Request-Method` is a preflight; any other belongs to the service.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
        if method != Method::OPTIONS {
            return None;
        }
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let origin = headers.get(ORIGIN)?;
        if !METHODS.split(", ").any(|known| known.as_bytes() == wanted.as_bytes()) || !self.allows(origin) {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::OK;
        let answer = response.headers_mut();
        self.allow_origin(origin, answer);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.allowed_headers(headers));
        answer.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        Some(response)
    }

    /// Adds what an answer to a page of this origin needs.
    pub(super) fn apply(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap, vary: bool) {
        if vary && matches!(self.origins, Origins::Listed(_)) {
            answer.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin.filter(|origin| self.allows(origin)) {
            self.allow_origin(origin, answer);
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Listed(list) => {
                origin != "null" && list.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
            }
        }
    }

    fn allow_origin(&self, origin: &HeaderValue, answer: &mut HeaderMap) {
        match self.origins {
            Origins::Any => {
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Origins::Listed(_) => {
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                if self.credentials {
                    answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                }
            }
        }
    }

    /// The fixed names and those that the page asks for: headers are no risk, answers are.
    fn allowed_headers(&self, headers: &HeaderMap) -> HeaderValue {
        let mut list: Vec<&str> = self.before_requested.split(", ").collect();
        let requested = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
        let requested = requested.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let is_name = |name: &&str| !name.is_empty() && name.bytes().all(is_token_byte);
        let more = self.after_requested.split(", ").filter(|name| !name.is_empty());
        let mut length = 0;
        for name in requested.map(str::trim).filter(is_name).chain(more) {
            length += name.len() + 2;
            if length <= LONGEST_HEADER_LIST && !list.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                list.push(name);
            }
        }
        HeaderValue::try_from(list.join(", ")).unwrap_or(HeaderValue::from_static("Authorization"))
    }
}

/// The characters of a header name (RFC 9110 section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn preflight(policy: &CorsPolicy, origin: &str) -> Option<Response<Body>> {
        let request = headers(&[
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "Foo,Bar"),
        ]);
        policy.preflight(&Method::OPTIONS, &request)
    }

    #[test]
    fn postgrests_lists_are_given_to_the_letter() {
        let answer = preflight(&CorsPolicy::postgrest(Vec::new()), "http://example.com").unwrap();
        let text = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(text("access-control-allow-origin"), "*");
        assert_eq!(text("access-control-allow-methods"), "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD");
        let allowed = "Authorization, Foo, Bar, Accept, Accept-Language, Content-Language";
        assert_eq!(text("access-control-allow-headers"), allowed);
        assert_eq!(text("access-control-max-age"), "86400");
        let listed = CorsPolicy::postgrest(vec!["http://example.com".to_owned()]);
        let answer = preflight(&listed, "http://example.com").unwrap();
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
    }

    #[test]
    fn only_listed_origins_are_allowed_and_compared_whole() {
        let list = ["https://app.example.com", "http://localhost:3000", "null"];
        let policy =
            CorsPolicy::supabase(Origins::Listed(list.map(str::to_owned).to_vec())).credentials(true);
        let table = [
            ("https://app.example.com", true),
            ("http://localhost:3000", true),
            ("null", false),
            ("", false),
            ("*", false),
            ("https://app.example.com:443", false),
            ("http://app.example.com", false),
            ("https://APP.example.com", false),
            ("https://app.example.com.evil.com", false),
            ("https://evilapp.example.com", false),
            ("https://evil.com/https://app.example.com", false),
            ("https://app.example.com/", false),
            ("https://app.example.com@evil.com", false),
            ("https://app.example.co", false),
            ("https://example.com", false),
            ("https://x.app.example.com", false),
            ("http://localhost", false),
            ("http://localhost:30000", false),
            ("http://127.0.0.1:3000", false),
            ("file://", false),
        ];
        for (origin, allowed) in table {
            let mut answer = HeaderMap::new();
            policy.apply(Some(&origin.parse().unwrap()), &mut answer, true);
            assert_eq!(answer.get("access-control-allow-origin").is_some(), allowed, "{origin}");
            assert_eq!(answer.get("access-control-allow-credentials").is_some(), allowed, "{origin}");
            assert_eq!(answer["vary"], "Origin");
            assert_eq!(preflight(&policy, origin).is_some(), allowed, "{origin}");
        }
    }

    #[test]
    fn any_origin_never_goes_with_credentials() {
        let policy = CorsPolicy::supabase(Origins::Any).credentials(true);
        for origin in ["https://example.com", "null"] {
            let answer = preflight(&policy, origin).unwrap();
            assert_eq!(answer.headers()["access-control-allow-origin"], "*");
            assert!(!answer.headers().contains_key("access-control-allow-credentials"));
        }
    }

    #[test]
    fn an_options_without_a_requested_method_is_no_preflight() {
        let policy = CorsPolicy::supabase(Origins::Any);
        let origin = ("origin", "https://example.com");
        let requested = ("access-control-request-method", "PATCH");
        assert!(policy.preflight(&Method::OPTIONS, &headers(&[origin])).is_none());
        assert!(policy.preflight(&Method::OPTIONS, &headers(&[requested])).is_none());
        assert!(policy.preflight(&Method::GET, &headers(&[origin, requested])).is_none());
        let other = ("access-control-request-method", "TRACE");
        assert!(policy.preflight(&Method::OPTIONS, &headers(&[origin, other])).is_none());
        assert!(policy.preflight(&Method::OPTIONS, &headers(&[origin, requested])).is_some());
    }
}
