//! The gateway as a client sees it: one table or sentence per rule.

mod observed;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;

use super::*;
use crate::kernel::clock::Clock;
use crate::kernel::http::{RequestContext, RouteTemplate, TrustedProxies, read_body};
use crate::kernel::identity::{
    Identity, IdentityOptions, KeyMode, KeyRing, ProjectKeys, RolePolicy, Verifier, VerifierOptions,
};
use crate::kernel::limits::{MemoryLimiter, Quota};
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

const SECRET: &str = "reallyreallyreallyreallyverysafe";

pub(super) fn identity(mode: KeyMode) -> (Arc<Identity>, ProjectKeys) {
    let clock = Clock::system();
    let secret = Secret::new(SECRET);
    let keys = ProjectKeys::mint(&secret, &Random::seeded(1), &clock);
    let ring = KeyRing::of_project(&keys, "anon", "service_role");
    let verifier =
        Verifier::new(VerifierOptions { secret: Some(secret), ..VerifierOptions::default() }, clock);
    let options = IdentityOptions {
        anonymous_role: Some("anon".to_owned()),
        key_mode: mode,
        role_policy: RolePolicy::LetDatabaseDecide,
    };
    (Arc::new(Identity::new(options, verifier.unwrap(), ring)), keys)
}

pub(super) fn gateway_with(options: GatewayOptions, identity: Arc<Identity>, mounts: Vec<Mount>) -> Gateway {
    let limiter = Arc::new(MemoryLimiter::new(1000, Clock::manual(1000)));
    let gateway = Gateway::new(options, identity, limiter, &Random::seeded(1));
    mounts.into_iter().fold(gateway, Gateway::mount)
}

fn gateway(mounts: Vec<Mount>) -> Gateway {
    gateway_with(GatewayOptions::default(), identity(KeyMode::Lenient).0, mounts)
}

/// Answers with the target that it sees, and its caller's role in a header.
pub(super) fn echo(name: &'static str, prefix: &str) -> Mount {
    let handler = |request: Request<Body>| async move {
        let context = request.extensions().get::<Arc<RequestContext>>().cloned().unwrap();
        let role = context.caller.as_ref().map_or_else(|| "-".to_owned(), |caller| caller.role.to_string());
        let ip = context.client_ip.to_string();
        let target = request.uri().path_and_query().unwrap().as_str().to_owned();
        let body =
            match read_body(request.into_body(), context.body_limit, context.deadline, &context.body_budget)
                .await
            {
                Ok(body) => body,
                Err(error) => {
                    return Response::builder()
                        .status(error.status())
                        .body(Body::from(error.to_string()))
                        .unwrap();
                }
            };
        let text = format!("{target}{}", String::from_utf8_lossy(&body));
        Response::builder().header("x-role", role).header("x-ip", ip).body(Body::from(text)).unwrap()
    };
    Mount::handler(name, prefix, Arc::new(handler))
}

/// Answers with this many bytes of JSON.
fn sized(bytes: usize, headers: &'static [(&'static str, &'static str)]) -> Mount {
    let handler = move |_| async move {
        let mut response = Response::new(Body::from("x".repeat(bytes)));
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        response
    };
    Mount::handler("sized", "/sized", Arc::new(handler))
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn send(gateway: &Gateway, request: http::request::Builder, body: Body) -> Answer {
    let peer: SocketAddr = "198.51.100.9:4711".parse().unwrap();
    let response = gateway.handle(request.body(body).unwrap(), peer).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get_it(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        headers.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
    send(gateway, request, Body::empty()).await
}

#[tokio::test]
async fn the_longest_prefix_takes_the_request_and_whole_segments_only() {
    let router = Router::new().route("/hello", get(|| async { "routed" }));
    let gateway = gateway(vec![
        echo("root", "/rest"),
        echo("v1", "/rest/v1"),
        Mount::router("auth", "/auth/v1/", router),
    ]);
    let table = [
        ("/rest/v1/items?id=eq.1", 200, "/rest/v1/items?id=eq.1"),
        ("/rest/v1", 200, "/rest/v1"),
        ("/rest/v10", 200, "/rest/v10"),
        ("/auth/v1/hello", 200, "routed"),
    ];
    for (target, status, text) in table {
        let answer = get_it(&gateway, target, &[]).await;
        assert_eq!((answer.status, answer.text()), (status, text), "{target}");
    }
    for nowhere in ["/", "/restv1", "/rest%2Fv1", "/REST/v1", "/unknown"] {
        let answer = get_it(&gateway, nowhere, &[]).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("not_found")), "{nowhere}");
    }
}

#[tokio::test]
async fn a_service_that_is_absent_answers_404_that_a_page_may_read() {
    let gateway =
        gateway(vec![Mount::absent("functions", "/functions/v1").cors(CorsPolicy::supabase(Origins::Any))]);

    let answer = get_it(&gateway, "/functions/v1/hello", &[("origin", "https://app.example.com")]).await;

    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn keys_count_in_header_bearer_and_only_where_allowed_in_the_query() {
    let (identity, keys) = identity(KeyMode::Strict);
    let mounts = vec![echo("rest", "/rest/v1").key_in_query(true), echo("auth", "/auth/v1")];
    let gateway = gateway_with(GatewayOptions::default(), identity, mounts);
    let key = keys.secret_key.expose();
    let bearer = format!("Bearer {key}");

    let by_header = get_it(&gateway, "/rest/v1/a", &[("apikey", key)]).await;
    let by_bearer = get_it(&gateway, "/rest/v1/a", &[("authorization", &bearer)]).await;
    let by_query = get_it(&gateway, &format!("/rest/v1/a?apikey={key}&id=eq.1"), &[]).await;
    let only_key = get_it(&gateway, &format!("/rest/v1/a?apikey={key}"), &[]).await;
    let not_here = get_it(&gateway, &format!("/auth/v1/a?apikey={key}"), &[]).await;
    let wrong = get_it(&gateway, "/rest/v1/a", &[("apikey", "sb_secret_wrong")]).await;

    for answer in [&by_header, &by_bearer, &by_query, &only_key] {
        assert_eq!((answer.status, answer.header("x-role")), (200, Some("service_role")));
    }
    assert_eq!(by_query.text(), "/rest/v1/a?id=eq.1");
    assert_eq!(only_key.text(), "/rest/v1/a");
    assert_eq!((not_here.status, not_here.text()), (401, r#"{"message":"No API key found in request"}"#));
    assert_eq!((wrong.status, wrong.text()), (401, r#"{"message":"Invalid authentication credentials"}"#));
}

#[tokio::test]
async fn token_errors_look_as_postgrests() {
    let gateway = gateway(vec![echo("rest", "/rest/v1").errors(ErrorShape::PostgRest)]);

    let answer = get_it(&gateway, "/rest/v1/a", &[("authorization", "Bearer a.b")]).await;

    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.text(),
        r#"{"code":"PGRST301","details":null,"hint":null,"message":"Expected 3 parts in JWT; got 2"}"#
    );
    assert_eq!(answer.text().len(), 89);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("proxy-status"), Some("PostgREST; error=PGRST301"));
    let expected = "Bearer error=\"invalid_token\", error_description=\"Expected 3 parts in JWT; got 2\"";
    assert_eq!(answer.header("www-authenticate"), Some(expected));
}

#[tokio::test]
async fn refusals_look_as_gotrues_in_the_version_that_the_request_asks_for() {
    let limits = ServiceLimits { body_bytes: 3, ..ServiceLimits::default() };
    let auth = echo("auth", "/auth/v1").errors(ErrorShape::GoTrue).limits(limits);
    let gateway = gateway(vec![auth]);
    let post = |version: Option<&str>| {
        let request = Request::post("/auth/v1/signup").header("content-length", "4");
        let request = version
            .into_iter()
            .fold(request, |request, version| request.header("x-supabase-api-version", version));
        send(&gateway, request, Body::from("abcd"))
    };

    let old = post(None).await;
    let older = post(Some("2023-01-01")).await;
    let new = post(Some("2024-01-01")).await;

    let code = "request_entity_too_large";
    let expected = format!(r#"{{"code":413,"error_code":"{code}","msg":"The request body is too large"}}"#);
    assert_eq!((old.status, old.text()), (413, expected.as_str()));
    assert_eq!((older.text(), old.header("x-sb-error-code")), (expected.as_str(), Some(code)));
    assert_eq!(old.header("x-supabase-api-version"), None);
    assert_eq!(new.text(), format!(r#"{{"code":"{code}","message":"The request body is too large"}}"#));
    assert_eq!(new.header("x-supabase-api-version"), Some("2024-01-01"));
    assert_eq!(new.header("proxy-status"), None);
}

#[tokio::test]
async fn before_there_is_a_service_its_clients_are_told_so_in_their_words() {
    let answer = not_yet(ErrorShape::GoTrue, &HeaderMap::new());
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["code"], &body["error_code"]), (&503.into(), &"service_unavailable".into()));
}

#[tokio::test]
async fn sizes_up_to_the_limits_pass_and_more_is_refused() {
    let options = GatewayOptions { max_url_bytes: 1000, max_header_bytes: 500, ..GatewayOptions::default() };
    let limits = ServiceLimits { body_bytes: 100, ..ServiceLimits::default() };
    let gateway =
        gateway_with(options, identity(KeyMode::Lenient).0, vec![echo("rest", "/rest").limits(limits)]);
    let url = |bytes: usize| format!("/rest?{}", "x".repeat(bytes - 6));
    assert_eq!(get_it(&gateway, &url(1000), &[]).await.status, 200);
    assert_eq!(get_it(&gateway, &url(1001), &[]).await.status, 414);
    let value = |bytes: usize| "y".repeat(bytes - 1);
    assert_eq!(get_it(&gateway, "/rest", &[("x", &value(500))]).await.status, 200);
    assert_eq!(get_it(&gateway, "/rest", &[("x", &value(501))]).await.status, 431);

    let announced = |bytes: usize| Request::post("/rest").header("content-length", bytes);
    assert_eq!(send(&gateway, announced(100), Body::from("z".repeat(100))).await.status, 200);
    let refused = send(&gateway, announced(101), Body::from("z".repeat(101))).await;
    assert_eq!((refused.status, refused.header("connection")), (413, Some("close")));
    for (bytes, status) in [(100, 200), (101, 413)] {
        let pieces = (0..bytes).map(|_| Ok::<_, std::io::Error>("z"));
        let unannounced = Body::from_stream(futures_util::stream::iter(pieces));
        assert_eq!(send(&gateway, Request::post("/rest"), unannounced).await.status, status);
    }
}

#[tokio::test]
async fn every_class_of_answer_carries_the_security_headers() {
    let panicking = |_: Request<Body>| async { panic!("injected") };
    let mounts = vec![echo("rest", "/rest"), Mount::handler("panicking", "/panic", Arc::new(panicking))];
    let options = GatewayOptions { https: true, ..GatewayOptions::default() };
    let gateway = gateway_with(options, identity(KeyMode::Lenient).0, mounts);
    for (target, headers, status) in [
        ("/rest", &[][..], 200),
        ("/rest", &[("authorization", "Bearer x")][..], 401),
        ("/unknown", &[][..], 404),
        ("/panic", &[][..], 500),
    ] {
        let answer = get_it(&gateway, target, headers).await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("x-xss-protection"), Some("0"));
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert!(answer.header("strict-transport-security").is_some());
        assert_eq!(answer.header("x-request-id").unwrap().len(), 32);
    }
    let plain = get_it(&super::tests::gateway(vec![echo("rest", "/rest")]), "/rest", &[]).await;
    assert_eq!(plain.header("strict-transport-security"), None);
}

#[tokio::test]
async fn a_panic_in_a_service_is_a_500_without_its_text() {
    let panicking = |request: Request<Body>| async move {
        assert!(request.uri().path() == "/panic/not", "secret detail");
        Response::new(Body::from("alive"))
    };
    let gateway = gateway(vec![Mount::handler("panicking", "/panic", Arc::new(panicking))]);

    let answer = get_it(&gateway, "/panic", &[]).await;

    assert_eq!((answer.status, answer.json()["code"].as_str()), (500, Some("internal_error")));
    assert!(!answer.text().contains("secret detail"));
    assert_eq!(get_it(&gateway, "/panic/not", &[]).await.text(), "alive");
}

#[tokio::test]
async fn answers_to_a_caller_are_private_and_vary_by_credentials() {
    let (identity, keys) = identity(KeyMode::Lenient);
    let exact = echo("exact", "/exact").vary(false);
    let cacheable = Mount::handler(
        "cacheable",
        "/cacheable",
        Arc::new(|_| async {
            Response::builder().header("cache-control", "max-age=60").body(Body::empty()).unwrap()
        }),
    );
    let gateway =
        gateway_with(GatewayOptions::default(), identity, vec![echo("rest", "/rest"), exact, cacheable]);
    let key = [("apikey", keys.secret_key.expose())];

    let anonymous = get_it(&gateway, "/rest", &[]).await;
    let authenticated = get_it(&gateway, "/rest", &key).await;

    assert_eq!(anonymous.header("cache-control"), None);
    assert_eq!(authenticated.header("cache-control"), Some("private, no-store"));
    for answer in [&anonymous, &authenticated] {
        assert_eq!(answer.header("vary"), Some("Authorization, apikey"));
    }
    assert_eq!(get_it(&gateway, "/exact", &key).await.header("vary"), None);
    assert_eq!(get_it(&gateway, "/cacheable", &key).await.header("cache-control"), Some("max-age=60"));
}

#[tokio::test]
async fn answers_are_compressed_only_if_asked_and_worth_it() {
    let gateway = gateway(vec![sized(5000, &[("content-range", "0-4/5"), ("vary", "Accept")])]);

    let plain = get_it(&gateway, "/sized", &[]).await;
    assert_eq!((plain.body.len(), plain.header("content-encoding")), (5000, None));
    for coding in ["gzip", "br", "zstd"] {
        let answer = get_it(&gateway, "/sized", &[("accept-encoding", coding)]).await;
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert!(answer.body.len() < 500, "{}", answer.body.len());
        assert_eq!(answer.header("content-length"), None);
        assert_eq!(answer.header("content-range"), Some("0-4/5"));
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["Accept", "Accept-Encoding", "Authorization, apikey"]);
    }
    let small = super::tests::gateway(vec![sized(1000, &[])]);
    assert_eq!(get_it(&small, "/sized", &[("accept-encoding", "gzip")]).await.body.len(), 1000);
    let never = super::tests::gateway(vec![sized(5000, &[]).compress(false)]);
    assert_eq!(get_it(&never, "/sized", &[("accept-encoding", "gzip")]).await.body.len(), 5000);
    let head = Request::head("/sized").header("accept-encoding", "gzip");
    assert_eq!(send(&gateway, head, Body::empty()).await.header("content-encoding"), None);
}

#[tokio::test]
async fn only_a_preflight_is_answered_here_and_other_options_reach_the_service() {
    let gateway = gateway(vec![echo("rest", "/rest").cors(CorsPolicy::postgrest(Vec::new()))]);
    let options = || Request::options("/rest").header("origin", "http://example.com");

    let preflight =
        send(&gateway, options().header("access-control-request-method", "POST"), Body::empty()).await;
    let other = send(&gateway, options(), Body::empty()).await;

    assert_eq!((preflight.status, preflight.text()), (200, ""));
    assert_eq!(other.text(), "/rest");
    assert_eq!(other.header("access-control-allow-origin"), Some("*"));
    let exposed = "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, Range-Unit";
    assert_eq!(other.header("access-control-expose-headers"), Some(exposed));
}

#[tokio::test]
async fn over_the_rate_limit_a_client_is_told_when_to_come_back() {
    let limits = RateLimits { per_ip: Some(Quota::per_minute(2)), ..RateLimits::default() };
    let gateway = gateway(vec![echo("rest", "/rest").rate_limits(limits), echo("free", "/free")]);
    assert_eq!(get_it(&gateway, "/rest", &[]).await.status, 200);
    assert_eq!(get_it(&gateway, "/rest", &[("x-forwarded-for", "203.0.113.1")]).await.status, 200);

    let refused = get_it(&gateway, "/rest", &[("x-forwarded-for", "203.0.113.2")]).await;

    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("30")));
    assert_eq!(get_it(&gateway, "/free", &[]).await.status, 200);
}

#[tokio::test]
async fn keys_and_users_have_limits_of_their_own() {
    let (identity, keys) = identity(KeyMode::Lenient);
    let limits = RateLimits { per_key: Some(Quota::per_minute(1)), ..RateLimits::default() };
    let gateway =
        gateway_with(GatewayOptions::default(), identity, vec![echo("rest", "/rest").rate_limits(limits)]);
    let (one, other) = (keys.secret_key.expose(), keys.publishable_key.expose());
    assert_eq!(get_it(&gateway, "/rest", &[("apikey", one)]).await.status, 200);
    assert_eq!(get_it(&gateway, "/rest", &[("apikey", one)]).await.status, 429);
    assert_eq!(get_it(&gateway, "/rest", &[("apikey", other)]).await.status, 200);
    assert_eq!(get_it(&gateway, "/rest", &[]).await.status, 200);
}

#[tokio::test]
async fn a_service_that_takes_too_long_is_given_up() {
    let stuck = |_: Request<Body>| std::future::pending::<Response<Body>>();
    let limits = ServiceLimits { timeout: Some(Duration::from_millis(20)), ..ServiceLimits::default() };
    let gateway = gateway(vec![Mount::handler("stuck", "/stuck", Arc::new(stuck)).limits(limits)]);

    assert_eq!(get_it(&gateway, "/stuck", &[]).await.status, 504);
}

#[tokio::test]
async fn the_address_behind_a_trusted_proxy_is_the_clients() {
    let proxies = TrustedProxies::new(vec!["198.51.100.0/24".parse().unwrap()]);
    let options = GatewayOptions { trusted_proxies: proxies, ..GatewayOptions::default() };
    let gateway = gateway_with(options, identity(KeyMode::Lenient).0, vec![echo("rest", "/rest")]);

    let answer = get_it(&gateway, "/rest", &[("x-forwarded-for", "1.1.1.1, 203.0.113.7")]).await;

    assert_eq!(answer.header("x-ip"), Some("203.0.113.7"));
}

#[tokio::test]
async fn request_ids_are_kept_or_given_and_a_trace_header_is_echoed() {
    let options =
        GatewayOptions { echo_header: Some("x-trace".parse().unwrap()), ..GatewayOptions::default() };
    let gateway = gateway_with(options, identity(KeyMode::Lenient).0, vec![echo("rest", "/rest")]);
    let answer = get_it(&gateway, "/rest", &[("x-request-id", "abc-1"), ("x-trace", "any thing")]).await;
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    assert_eq!(answer.header("x-trace"), Some("any thing"));
    assert_eq!(get_it(&gateway, "/rest", &[]).await.header("x-trace"), None);
}
