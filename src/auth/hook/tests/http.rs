//! Calls of hooks against a scripted server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json as value;

use crate::auth::hook::http::{HookCaller, HttpHook, REPLY_LIMIT};
use crate::auth::hook::{EmptyOutput, HookError};
use crate::kernel::clock::Clock;
use crate::kernel::outbound::WebhookSigner;
use crate::kernel::outbound::tests::server::{Reply, TestServer, client, json, reply, with_header};
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

const SECRET: &str = "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A caller whose pauses are noted and take no time; the clock moves by each.
struct Calls {
    caller: HookCaller,
    pauses: Arc<Mutex<Vec<u64>>>,
}

impl Calls {
    fn new(time_limit: Duration) -> Self {
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let clock = Clock::manual(1_700_000_000);
        let (noted, moved) = (pauses.clone(), clock.clone());
        let pause = Arc::new(move |pause: Duration| {
            noted.lock().unwrap().push(pause.as_secs());
            moved.advance(pause);
            std::future::ready(()).boxed()
        });
        Self {
            caller: HookCaller { client: client(), clock, random: Random::seeded(1), pause, time_limit },
            pauses,
        }
    }

    async fn call(&self, server: &TestServer) -> Result<EmptyOutput, HookError> {
        let hook = HttpHook { url: server.url("/hook"), signer: signer() };
        self.caller.call(&hook, &value!({"user_id": "u"})).await
    }

    fn pauses(&self) -> Vec<u64> {
        self.pauses.lock().unwrap().clone()
    }
}

fn signer() -> WebhookSigner {
    WebhookSigner::parse(&Secret::new(SECRET)).unwrap()
}

/// What came of the replies: the error's code and status, `ok` or not; and the pauses between the tries.
async fn outcome(replies: Vec<Reply>) -> (String, Vec<u64>, usize) {
    let (server, calls) = (TestServer::start(replies).await, Calls::new(Duration::from_secs(5)));
    let shown = match calls.call(&server).await {
        Ok(EmptyOutput {}) => "ok".to_owned(),
        Err(error) => format!("{} {}: {error}", error.http_status(), error.code()),
    };
    (shown, calls.pauses(), server.requests().len())
}

/// Threat J02.
#[tokio::test]
async fn every_try_is_signed_anew_under_the_same_id() {
    let server = TestServer::start(vec![json(500, "{}"), json(200, "{}")]).await;
    Calls::new(Duration::from_secs(5)).call(&server).await.unwrap();
    let id = format!("msg_{}", hex::encode(Random::seeded(1).bytes::<16>()));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    for (request, at) in requests.iter().zip([1_700_000_000, 1_700_000_002]) {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, r#"{"user_id":"u"}"#);
        assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
        for (name, value) in signer().headers(&id, at, body.as_bytes()) {
            assert!(head.contains(&format!("\r\n{name}: {}", value.to_str().unwrap())), "{name} in {head}");
        }
    }
}

#[tokio::test]
async fn trouble_is_tried_three_times_with_pauses() {
    let after_retries = "422 hook_timeout_after_retry: Failed to reach hook after maximum retries";
    let busy = |later| with_header(429, "retry-after", later);
    let cases = [
        (vec![json(500, "{}")], after_retries, vec![2, 2], 3),
        (vec![json(503, "{}"), json(502, "{}"), json(200, "{}")], "ok", vec![2, 2], 3),
        (vec![Reply::Bytes(String::new()), json(200, "{}")], "ok", vec![2], 2),
        (vec![busy("1"), busy("true"), json(200, "{}")], "ok", vec![1, 2], 3),
        (vec![with_header(503, "retry-after", "0"), json(200, "{}")], "ok", vec![0], 2),
        // Longer than a login waits.
        (vec![busy("5"), json(200, "{}")], after_retries, vec![], 1),
        (vec![busy("99999999999999999999999"), json(200, "{}")], "ok", vec![2], 2),
    ];
    for (number, (replies, expected, pauses, requests)) in cases.into_iter().enumerate() {
        assert_eq!(outcome(replies).await, (expected.to_owned(), pauses, requests), "case {number}");
    }
}

#[tokio::test]
async fn everything_else_is_decided_at_the_first_try() {
    let cases = [
        (json(200, "{}"), "ok"),
        (json(202, r#"{"error":null,"more":1}"#), "ok"),
        (json(202, r#"{"error":{}}"#), "ok"),
        (json(200, ""), "ok"),
        (reply(204, "text/plain", ""), "ok"),
        (json(429, "{}"), "500 unexpected_failure: Unexpected status code returned from hook: 429"),
        (json(404, "secret page"), "500 unexpected_failure: Unexpected status code returned from hook: 404"),
        (
            with_header(302, "location", "/elsewhere"),
            "500 unexpected_failure: Unexpected status code returned from hook: 302",
        ),
        (json(200, r#"{"error":{"http_code":403,"message":"No guests"}}"#), "403 unknown: No guests"),
        (json(403, r#"{"error":{"http_code":409,"message":"No guests"}}"#), "409 unknown: No guests"),
        (json(200, r#"{"error":{"message":"No guests"}}"#), "500 unexpected_failure: No guests"),
        (
            json(200, r#"{"error":{"http_code":200,"message":"No\r\nguests"}}"#),
            "500 unexpected_failure: Noguests",
        ),
        (json(200, r#"{"error":"no"}"#), "500 unexpected_failure: Invalid payload returned from hook"),
        (json(200, "nonsense"), "500 unexpected_failure: Invalid payload returned from hook"),
        (json(200, "[]"), "500 unexpected_failure: Invalid payload returned from hook"),
    ];
    for (reply, expected) in cases {
        assert_eq!(outcome(vec![reply]).await, (expected.to_owned(), vec![], 1));
    }
}

/// Threat J04.
#[tokio::test]
async fn replies_that_are_too_large_or_of_another_type_are_refused() {
    let of_size = |size: usize| json(200, &format!("{{{}}}", " ".repeat(size - 2)));
    assert_eq!(outcome(vec![of_size(REPLY_LIMIT)]).await.0, "ok");
    let too_large = "422 hook_payload_over_size_limit: Payload size exceeded size limit of 204800 bytes";
    for reply in [of_size(REPLY_LIMIT + 1), Reply::Endless] {
        assert_eq!(outcome(vec![reply]).await, (too_large.to_owned(), vec![], 1));
    }
    for media_type in ["text/html", "application/jsonp", "application/problem+json", ""] {
        let (shown, ..) = outcome(vec![reply(200, media_type, "{}")]).await;
        assert!(shown.starts_with("400 hook_payload_invalid_content_type: "), "{media_type}: {shown}");
    }
}

/// Threat J03.
#[tokio::test]
async fn a_hook_that_hangs_costs_the_time_limit_and_no_more_tries() {
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{";
    for sent in ["", half] {
        let server = TestServer::start(vec![Reply::Stall(sent.to_owned())]).await;
        let calls = Calls::new(Duration::from_secs(2));
        let error = calls.call(&server).await.unwrap_err();
        assert_eq!((error.http_status(), error.code()), (422, "hook_timeout"));
        assert_eq!((server.requests().len(), calls.pauses().len()), (1, 0));
    }
}

/// Threat J03: the pauses count too.
#[tokio::test]
async fn tries_and_pauses_share_one_time_limit() {
    let server = TestServer::start(vec![with_header(503, "retry-after", "0")]).await;
    let mut calls = Calls::new(Duration::from_secs(2));
    calls.caller.pause = Arc::new(|_| std::future::pending().boxed());
    let error = calls.call(&server).await.unwrap_err();
    assert_eq!(error.code(), "hook_timeout");
    assert_eq!(server.requests().len(), 1);
}

/// Threat J01.
#[tokio::test]
async fn a_hook_on_a_denied_address_is_not_called() {
    let server = TestServer::start(vec![json(200, "{}")]).await;
    let hook = HttpHook { url: server.url_on("127.0.0.1", "/"), signer: signer() };
    let calls = Calls::new(Duration::from_secs(5));
    let error = calls.caller.call::<EmptyOutput>(&hook, &value!({})).await.unwrap_err();
    assert!(matches!(error, HookError::Outbound(_)) && error.http_status() == 500, "{error}");
    assert_eq!((server.connections().len(), calls.pauses().len()), (0, 0));
}
