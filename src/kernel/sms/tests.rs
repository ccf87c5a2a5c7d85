//! The drivers against a scripted server.

use super::*;
use crate::kernel::clock::Clock;
use crate::kernel::outbound::WebhookSigner;
use crate::kernel::outbound::tests::server::{Reply, TestServer, client, json};
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

const SECRET: &str = "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn sms(to: &str, channel: SmsChannel) -> Sms {
    Sms { to: to.to_owned(), text: "Your code: 123456".to_owned(), channel }
}

fn twilio(server: &TestServer, from: &str) -> TwilioSender {
    let config = TwilioConfig {
        base_url: server.url("/"),
        account_sid: "AC12".to_owned(),
        auth_token: Secret::new("token"),
        from: from.to_owned(),
    };
    TwilioSender::new(client(), config).unwrap()
}

fn webhook(server: &TestServer) -> WebhookSender {
    WebhookSender {
        client: client(),
        url: server.url("/sms"),
        signer: WebhookSigner::parse(&Secret::new(SECRET)).unwrap(),
        clock: Clock::manual(1_700_000_000),
        random: Random::seeded(1),
    }
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_message_reaches_a_twilio_account() {
    let server = TestServer::start(vec![json(201, r#"{"sid":"SM7","status":"queued"}"#)]).await;
    let id = twilio(&server, "15005550006").send(&sms("4915112345", SmsChannel::Sms)).await.unwrap();
    assert_eq!(id, "SM7");
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /2010-04-01/Accounts/AC12/Messages.json HTTP/1.1\r\n"), "{request}");
    // "AC12:token"
    assert!(request.contains("authorization: Basic QUMxMjp0b2tlbg==\r\n"), "{request}");
    assert_eq!(body(request), "To=%2B4915112345&From=%2B15005550006&Body=Your+code%3A+123456");
}

#[tokio::test]
async fn the_sender_may_be_a_service_or_a_name_and_the_channel_whatsapp() {
    let server = TestServer::start(vec![json(201, r#"{"sid":"SM7"}"#)]).await;
    for (from, channel, expected) in [
        ("MG99", SmsChannel::Sms, "To=%2B49&MessagingServiceSid=MG99&"),
        ("MG99", SmsChannel::Whatsapp, "To=whatsapp%3A%2B49&MessagingServiceSid=MG99&"),
        ("Acme", SmsChannel::Sms, "To=%2B49&From=Acme&"),
        ("+1500", SmsChannel::Whatsapp, "To=whatsapp%3A%2B49&From=whatsapp%3A%2B1500&"),
    ] {
        twilio(&server, from).send(&sms("+49", channel)).await.unwrap();
        let request = server.requests().pop().unwrap();
        assert!(body(&request).starts_with(expected), "{request}");
    }
}

#[tokio::test]
async fn a_refusal_says_whether_trying_again_may_help() {
    let cases = [
        (json(400, r#"{"code":21211,"message":"Invalid 'To' number"}"#), "answered 400 (code 21211)", false),
        (json(429, r#"{"code":20429,"message":"Too Many Requests"}"#), "answered 429 (code 20429)", true),
        (json(503, "down"), "answered 503", true),
        (json(201, "nonsense"), "cannot be read", false),
    ];
    for (reply, text, transient) in cases {
        let server = TestServer::start(vec![reply]).await;
        let error = twilio(&server, "1").send(&sms("2", SmsChannel::Sms)).await.unwrap_err();
        assert!(error.to_string().ends_with(text), "{error}");
        assert_eq!(error.is_transient(), transient, "{error}");
    }
    let server = TestServer::start(vec![Reply::Bytes(String::new())]).await;
    let error = twilio(&server, "1").send(&sms("2", SmsChannel::Sms)).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_message_reaches_a_webhook_signed() {
    let server = TestServer::start(vec![json(200, r#"{"message_id":"m1"}"#)]).await;
    let id = webhook(&server).send(&sms("4915112345", SmsChannel::Whatsapp)).await.unwrap();
    assert_eq!(id, "m1");
    let request = &server.requests()[0];
    let sent = r#"{"to":"+4915112345","text":"Your code: 123456","channel":"whatsapp"}"#;
    assert_eq!(body(request), sent);
    let message = format!("msg_{}", hex::encode(Random::seeded(1).bytes::<16>()));
    let signer = WebhookSigner::parse(&Secret::new(SECRET)).unwrap();
    for (name, value) in signer.headers(&message, 1_700_000_000, sent.as_bytes()) {
        let line = format!("\r\n{name}: {}\r\n", value.to_str().unwrap());
        assert!(request.contains(&line), "{line} in {request}");
    }
}

#[tokio::test]
async fn a_webhook_needs_no_body_in_its_answer() {
    let server = TestServer::start(vec![json(204, ""), json(500, "down")]).await;
    let sender = webhook(&server);
    assert_eq!(sender.send(&sms("1", SmsChannel::Sms)).await.unwrap(), "");
    let error = sender.send(&sms("1", SmsChannel::Sms)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().ends_with("answered 500"), "{error}");
}
