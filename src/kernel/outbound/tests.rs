//! The client against real sockets on loopback, with the guard opened for one of its addresses.

mod address;
pub(crate) mod server;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use server::{Reply, TestServer, client, json, options, reply, with_header};

use super::*;
use crate::kernel::secret::Secret;

/// Answers each lookup by the next list, and counts them.
struct Scripted(Mutex<VecDeque<Vec<IpAddr>>>);

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers =
            answers.iter().map(|answer| answer.iter().map(|a| a.parse().unwrap()).collect()).collect();
        Arc::new(Self(Mutex::new(answers)))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolver for Scripted {
    fn lookup(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let answer = self.0.lock().unwrap().pop_front().ok_or_else(|| io::Error::other("no such name"));
        async move { answer }.boxed()
    }
}

fn resolving(resolver: &Arc<Scripted>) -> OutboundClient {
    OutboundClient::new(OutboundOptions { resolver: resolver.clone(), ..options() }).unwrap()
}

fn is_denied(result: &Result<Response, OutboundError>) -> bool {
    matches!(result, Err(OutboundError::Target(TargetError::Address(AddressKind::Loopback))))
}

#[tokio::test]
async fn a_request_arrives_whole_and_its_answer_too() {
    let server = TestServer::start(vec![reply(201, "Application/JSON; charset=utf-8", r#"{"a":1}"#)]).await;
    let fields = [("To", "+49 1"), ("Body", "a&b")];
    let request = Request::form(server.url("/x?y=1"), fields).basic_auth("user", &Secret::new("p:w"));
    let answer = client().send(request).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.is_json()), (201, true));
    assert_eq!(answer.json::<serde_json::Value>().unwrap(), serde_json::json!({"a": 1}));
    let sent = &server.requests()[0];
    assert!(sent.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains("content-type: application/x-www-form-urlencoded\r\n"), "{sent}");
    assert!(sent.contains("authorization: Basic dXNlcjpwOnc=\r\n"), "{sent}");
    assert!(sent.contains(concat!("user-agent: goforward/", env!("CARGO_PKG_VERSION"))), "{sent}");
    assert!(sent.ends_with("\r\n\r\nTo=%2B49+1&Body=a%26b"), "{sent}");
}

/// Threat J01.
#[tokio::test]
async fn no_connection_reaches_a_denied_address() {
    let server = TestServer::start(vec![json(200, "{}")]).await;
    let resolver = Scripted::new(&[&["127.0.0.3"], &["::ffff:127.0.0.3"], &["127.0.0.2", "127.0.0.3"]]);
    let client = resolving(&resolver);
    for host in
        ["127.0.0.1", "127.0.0.3", "0x7f.3", "[::ffff:127.0.0.1]", "one.test", "two.test", "mixed.test"]
    {
        let result = client.send(Request::get(server.url_on(host, "/"))).await;
        assert!(is_denied(&result), "{host}: {:?}", result.map(|answer| answer.status));
    }
    let by_system = OutboundClient::new(OutboundOptions::default()).unwrap();
    assert!(is_denied(&by_system.send(Request::get(server.url_on("localhost", "/"))).await));
    assert_eq!(server.connections(), Vec::<IpAddr>::new());
    assert_eq!(resolver.left(), 0);
}

/// Threat J01.
#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let server = TestServer::start(vec![json(200, "{}")]).await;
    let resolver = Scripted::new(&[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2"]]);
    let client = resolving(&resolver);
    let request = || Request::get(server.url_on("rebinding.test", "/"));
    assert!(client.send(request()).await.is_ok());
    assert_eq!(resolver.left(), 2, "one lookup serves both the check and the connection");
    assert!(is_denied(&client.send(request()).await));
    assert!(client.send(request()).await.is_ok());
    assert_eq!(server.connections(), ["127.0.0.2", "127.0.0.2"].map(|a| a.parse::<IpAddr>().unwrap()));
}

/// Threat J01.
#[tokio::test]
async fn every_redirect_is_checked_again() {
    let port_source = TestServer::start(vec![json(200, "{}")]).await;
    for (to, what) in [
        (port_source.url_on("127.0.0.3", "/"), "a literal address"),
        (port_source.url_on("inside.test", "/"), "a name"),
        ("http://user@8.8.8.8/".parse().unwrap(), "userinfo"),
        ("file:///etc/passwd".parse().unwrap(), "a scheme"),
        ("http://8.8.8.8:25/".parse().unwrap(), "a port"),
    ] {
        let first = TestServer::start(vec![with_header(302, "location", to.as_str())]).await;
        let client = resolving(&Scripted::new(&[&["127.0.0.3"]]));
        let result = client.send(Request::get(first.url("/")).redirects(3)).await;
        assert!(matches!(result, Err(OutboundError::Target(_))), "{what}");
    }
    assert_eq!(port_source.connections(), Vec::<IpAddr>::new());
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_the_request_says() {
    let server = TestServer::start(vec![
        with_header(302, "location", "/b?c=1"),
        with_header(307, "location", "d"),
        json(200, "{}"),
    ])
    .await;
    let answer = client().send(Request::get(server.url("/a")).redirects(2)).await.unwrap();
    assert_eq!(answer.url, server.url("/d"));
    let paths = server.requests().iter().map(|r| r.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(paths, ["/a", "/b?c=1", "/d"]);

    let circle = TestServer::start(vec![with_header(302, "location", "/")]).await;
    let result = client().send(Request::get(circle.url("/")).redirects(2)).await;
    assert!(matches!(result, Err(OutboundError::Redirect)));
    assert_eq!(circle.requests().len(), 3);
}

#[tokio::test]
async fn a_redirect_is_the_answer_where_none_is_followed() {
    let server = TestServer::start(vec![with_header(302, "location", "/b")]).await;
    let get = client().send(Request::get(server.url("/"))).await.unwrap();
    let post = client().send(Request::post(server.url("/"), "text/plain", "x").redirects(3)).await.unwrap();
    assert_eq!((get.status.as_u16(), post.status.as_u16()), (302, 302));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn credentials_stay_with_the_host_they_were_meant_for() {
    let other = TestServer::start(vec![json(200, "{}")]).await;
    let elsewhere = other.url("/");
    let first = TestServer::start(vec![
        with_header(302, "location", "/again"),
        with_header(302, "location", elsewhere.as_str()),
    ])
    .await;
    let request = Request::get(first.url("/")).redirects(2).bearer_auth(&Secret::new("token"));
    client().send(request.header(ACCEPT, HeaderValue::from_static("text/x"))).await.unwrap();
    let holds = |request: &String, name: &str| request.contains(&format!("\r\n{name}: "));
    assert!(first.requests().iter().all(|request| holds(request, AUTHORIZATION.as_str())));
    assert!(!holds(&other.requests()[0], AUTHORIZATION.as_str()));
    assert!(other.requests()[0].contains("\r\naccept: text/x\r\n"));
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_time_limit_and_no_more() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345";
    let hangs = ["", "HTTP/1.1 200 OK\r\n", head].map(async |silent_after| {
        let server = TestServer::start(vec![Reply::Stall(silent_after.to_owned())]).await;
        let request = Request::get(server.url("/")).time_limit(Duration::from_secs(2));
        let result = client().send(request).await;
        assert!(matches!(result, Err(OutboundError::TimedOut)), "{silent_after:?}");
        assert_eq!(server.requests().len(), 1);
    });
    futures_util::future::join_all(hangs).await;
}

#[tokio::test]
async fn an_answer_is_read_up_to_the_size_limit() {
    let sized = |length| json(200, &"1".repeat(length));
    let announced = Reply::Stall("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n".to_owned());
    for (server, fits) in [(sized(10), true), (sized(11), false), (announced, false), (Reply::Endless, false)]
    {
        let server = TestServer::start(vec![server]).await;
        match client().send(Request::get(server.url("/")).size_limit(10)).await {
            Ok(answer) => assert!(fits && answer.body.len() == 10),
            Err(error) => assert!(!fits && matches!(error, OutboundError::TooLarge(10)), "{error}"),
        }
    }
}

#[tokio::test]
async fn failures_are_sorted_and_name_no_url() {
    let broken = TestServer::start(vec![Reply::Bytes("nonsense".to_owned())]).await;
    let error = client().send(Request::get(broken.url("/?key=secret"))).await.err().unwrap();
    assert!(matches!(error, OutboundError::Exchange(_)) && !error.to_string().contains("secret"), "{error}");

    let unknown = resolving(&Scripted::new(&[]));
    let error =
        unknown.send(Request::get(broken.url_on("unknown.test", "/?key=secret"))).await.err().unwrap();
    assert_eq!(error.to_string(), "cannot connect to the server: no such name");

    let closed = TestServer::start(vec![json(200, "{}")]).await;
    let url = closed.url("/");
    drop(closed);
    // The task that holds the listener ends at its next turn.
    tokio::task::yield_now().await;
    let error = client().send(Request::get(url)).await.err().unwrap();
    assert!(matches!(error, OutboundError::Connect(_)), "{error}");
}

/// An authority's certificate, and a TLS server's set-up with a certificate of it for `tls.test`.
fn certificates() -> (RootCertStore, rustls::ServerConfig) {
    let authority_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut roots = RootCertStore::empty();
    roots.add(parameters.self_signed(&authority_key).unwrap().der().clone()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["tls.test".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &Issuer::new(parameters, authority_key)).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config =
        config.unwrap().with_no_client_auth().with_single_cert(vec![certificate.into()], key).unwrap();
    (roots, config)
}

#[tokio::test]
async fn a_server_is_talked_to_only_under_a_name_that_its_certificate_vouches_for() {
    let (roots, config) = certificates();
    let server = TestServer::start_tls(vec![json(200, "{}")], config).await;
    for (host, roots, trusted) in [
        ("tls.test", Some(roots.clone()), true),
        ("other.test", Some(roots), false),
        ("tls.test", None, false),
    ] {
        let resolver = Scripted::new(&[&["127.0.0.2"]]);
        let client =
            OutboundClient::new(OutboundOptions { roots, resolver, https_only: true, ..options() }).unwrap();
        let mut url = server.url_on(host, "/");
        assert!(matches!(client.send(Request::get(url.clone())).await, Err(OutboundError::Target(_))));
        url.set_scheme("https").unwrap();
        match client.send(Request::get(url)).await {
            Ok(answer) => assert!(trusted && answer.status == StatusCode::OK, "{host}"),
            Err(error) => assert!(!trusted && matches!(error, OutboundError::Connect(_)), "{host}: {error}"),
        }
    }
    assert_eq!((server.connections().len(), server.requests().len()), (3, 1));
}
