//! The outbox as programs and browsers see it.

use axum::body::{Body, to_bytes};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::kernel::clock::Clock;
use crate::kernel::mail::{HeaderText, Mail};

/// An answer: status, headers, body.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn ids(&self) -> Vec<u64> {
        let list: Vec<Value> = serde_json::from_str(&self.body).unwrap();
        list.iter().map(|message| message["id"].as_u64().unwrap()).collect()
    }
}

async fn ask(captured: &Captured, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = axum::http::Request::builder().method(method).uri(format!("/dev/mail{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = Router::new().nest("/dev/mail", router(captured.clone()));
    let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// A mail to Ada (1), an SMS (2), a mail to Eve with a script in every part (3).
fn outbox() -> Captured {
    let captured = Captured::new(Clock::manual(1_700_000_000));
    let mail = |to: &str, text: &str, html: &str| Mail {
        to: to.parse().unwrap(),
        subject: HeaderText::fitted(text),
        text: text.to_owned(),
        html: Some(html.to_owned()),
    };
    captured.mail(mail(
        "ada@example.com",
        "Hello Ada",
        "<html><head><title>Hello</title></head><a href=\"https://example.com\">Go</a>",
    ));
    captured.sms("+4915100000000", "Your code is 123456");
    captured.mail(mail("eve@example.com", "<script>alert(1)</script>", "<script>alert(1)</script>"));
    captured
}

#[tokio::test]
async fn programs_get_the_messages_as_json_newest_first() {
    let captured = outbox();
    let by_accept = ask(&captured, "GET", "", &[("accept", "text/plain, Application/JSON;q=0.9")]).await;
    let by_format = ask(&captured, "GET", "?format=json", &[]).await;

    assert_eq!(by_accept.ids(), [3, 2, 1]);
    assert_eq!(by_accept.body, by_format.body);
    assert_eq!(by_accept.header(CONTENT_TYPE), "application/json");
    let list: Value = serde_json::from_str(&by_accept.body).unwrap();
    assert_eq!(list[1]["kind"], "sms");
    assert_eq!(list[1]["text"], "Your code is 123456");
}

#[tokio::test]
async fn a_recipient_can_be_asked_for() {
    let captured = outbox();

    assert_eq!(ask(&captured, "GET", "?format=json&to=Ada@example.com", &[]).await.ids(), [1]);
    assert_eq!(ask(&captured, "GET", "?format=json&to=%2B4915100000000", &[]).await.ids(), [2]);
    assert!(ask(&captured, "GET", "?format=json&to=nobody", &[]).await.ids().is_empty());
    assert_eq!(ask(&captured, "GET", "?format=json&to=", &[]).await.ids(), [3, 2, 1]);
}

#[tokio::test]
async fn people_get_pages_that_run_no_script() {
    let captured = outbox();
    for path in ["", "?to=%3Cscript%3E", "/1", "/2", "/3"] {
        let page = ask(&captured, "GET", path, &[("accept", "text/html,*/*;q=0.8")]).await;

        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.header(CONTENT_TYPE), "text/html; charset=utf-8");
        assert!(page.header(CONTENT_SECURITY_POLICY).starts_with("default-src 'none'; style-src"));
        assert!(!page.body.contains("<script"), "{path}: {}", page.body);
        assert!(!page.body.contains("None") && !page.body.contains("none\""), "{path}: {}", page.body);
        assert!(page.body.ends_with("</html>\n") || page.body.ends_with("</html>"), "{path}");
    }
}

#[tokio::test]
async fn the_html_of_a_mail_is_shown_in_a_sandbox_and_opens_links_elsewhere() {
    let captured = outbox();
    let page = ask(&captured, "GET", "/1", &[]).await;
    let mail = ask(&captured, "GET", "/1/html", &[]).await;
    let hostile = ask(&captured, "GET", "/3/html", &[]).await;

    assert!(page.body.contains("<iframe title=\"The mail\" src=\"/dev/mail/1/html\" sandbox=\"allow-popups"));
    assert!(mail.body.starts_with("<html><head><base target=\"_blank\"><title>"), "{}", mail.body);
    for answer in [&mail, &hostile] {
        let policy = answer.header(CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("sandbox ") && policy.contains("default-src 'none'"), "{policy}");
        assert!(!policy.contains("allow-scripts") && !policy.contains("allow-same-origin"), "{policy}");
        assert_eq!(answer.header(X_FRAME_OPTIONS), "SAMEORIGIN");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let captured = outbox();
    for path in ["/9", "/9/html", "/2/html"] {
        assert_eq!(ask(&captured, "GET", path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_delete_empties_the_outbox() {
    let captured = outbox();

    assert_eq!(ask(&captured, "DELETE", "", &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&captured, "GET", "?format=json", &[]).await.body, "[]");
    assert!(ask(&captured, "GET", "", &[]).await.body.contains("Nothing yet"));
}

#[tokio::test]
async fn pages_of_other_sites_can_lead_here_but_not_read() {
    let captured = outbox();
    let cross = ("sec-fetch-site", "cross-site");

    for (method, path) in [("GET", "?format=json"), ("GET", "/1/html"), ("DELETE", "")] {
        let answer = ask(&captured, method, path, &[cross, ("sec-fetch-mode", "no-cors")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    let navigation = [cross, ("sec-fetch-mode", "navigate")];
    assert_eq!(ask(&captured, "GET", "", &navigation).await.status, StatusCode::OK);
    let same_site = [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")];
    assert_eq!(ask(&captured, "GET", "?format=json", &same_site).await.status, StatusCode::OK);
}
