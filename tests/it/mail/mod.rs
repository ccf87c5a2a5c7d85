//! Mail over SMTP, against a server on a real socket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use goforward::kernel::clock::Clock;
use goforward::kernel::mail::{
    HeaderText, Mail, MailError, Mailer, SmtpConfig, SmtpConfigError, SmtpMailer, TlsMode,
};
use goforward::kernel::random::Random;
use goforward::kernel::secret::Secret;

use crate::harness::{SmtpRules, SmtpSink, SmtpTls};

const PASSWORD: &str = "correct horse";

/// What reaches the sink with this encryption.
fn config(sink: &SmtpSink, tls: TlsMode) -> SmtpConfig {
    SmtpConfig {
        host: "localhost".to_owned(),
        port: sink.port(),
        tls,
        root_certificates: Some(sink.authority()),
        user: None,
        password: Secret::default(),
        from: "no-reply@example.org".parse().unwrap(),
        sender_name: Some("Example".parse().unwrap()),
        timeout: Duration::from_secs(20),
        max_connections: 2,
    }
}

fn with_account(config: SmtpConfig) -> SmtpConfig {
    SmtpConfig { user: Some("mailer".to_owned()), password: Secret::new(PASSWORD), ..config }
}

fn mailer(config: SmtpConfig) -> SmtpMailer {
    SmtpMailer::new(config, Clock::system(), Random::system()).unwrap()
}

fn mail(subject: &str, text: &str) -> Mail {
    Mail {
        to: "ada@example.com".parse().unwrap(),
        subject: HeaderText::fitted(subject),
        text: text.to_owned(),
        html: Some("<p>Hello</p>".to_owned()),
    }
}

/// The text part of a mail, its quoted-printable undone as far as these tests need it.
fn text_part(data: &str) -> String {
    let (_, part) = data.split_once("Content-Type: text/plain").unwrap();
    let (_, body) = part.split_once("\r\n\r\n").unwrap();
    let (body, _) = body.split_once("\r\n--").unwrap();
    body.replace("=\r\n", "").replace("=0D", "\r").replace("=0A", "\n").replace("=3D", "=")
}

#[tokio::test]
async fn a_mail_arrives_whole() {
    let sink = SmtpSink::start(SmtpRules::default()).await;
    mailer(config(&sink, TlsMode::None)).send(mail("Hello", "Hello Ada")).await.unwrap();

    let [received] = sink.mails().try_into().unwrap();
    assert_eq!(
        (received.from.as_str(), received.to.as_slice()),
        ("no-reply@example.org", &["ada@example.com".to_owned()][..])
    );
    for line in [
        "From: Example <no-reply@example.org>\r\n",
        "To: ada@example.com\r\n",
        "Subject: Hello\r\n",
        "Hello Ada\r\n",
        "<p>Hello</p>\r\n",
    ] {
        assert!(received.data.contains(line), "{line} is missing in\n{}", received.data);
    }
    assert!(sink.commands()[0].ends_with("EHLO example.org"), "{:?}", sink.commands());
}

#[tokio::test]
async fn tls_by_either_way_covers_password_and_mail() {
    let account = Some(("mailer", PASSWORD));
    for (offered, mode) in [(SmtpTls::StartTls, TlsMode::StartTlsRequired), (SmtpTls::Implicit, TlsMode::Tls)]
    {
        let sink = SmtpSink::start(SmtpRules { tls: offered, account, ..SmtpRules::default() }).await;
        mailer(with_account(config(&sink, mode))).send(mail("Hello", "Hello")).await.unwrap();

        assert!(sink.mails()[0].was_encrypted);
        let clear: Vec<String> =
            sink.commands().into_iter().filter(|line| line.starts_with("clear")).collect();
        let allowed = ["clear: EHLO example.org", "clear: STARTTLS"];
        assert!(clear.iter().all(|line| allowed.contains(&line.as_str())), "{clear:?}");
    }
}

#[tokio::test]
async fn starttls_that_is_not_required_is_used_where_it_is_offered() {
    for offered in [SmtpTls::None, SmtpTls::StartTls] {
        let sink = SmtpSink::start(SmtpRules { tls: offered, ..SmtpRules::default() }).await;
        mailer(config(&sink, TlsMode::StartTls)).send(mail("Hello", "Hello")).await.unwrap();

        assert_eq!(sink.mails()[0].was_encrypted, offered == SmtpTls::StartTls);
    }
}

#[tokio::test]
async fn j05_without_the_offer_of_starttls_neither_password_nor_mail_is_sent() {
    let sink =
        SmtpSink::start(SmtpRules { account: Some(("mailer", PASSWORD)), ..SmtpRules::default() }).await;
    let error = mailer(with_account(config(&sink, TlsMode::StartTlsRequired)))
        .send(mail("Hello", "Hello"))
        .await
        .unwrap_err();

    assert!(error.is_transient() && error.to_string().contains("STARTTLS"), "{error}");
    assert_eq!(sink.commands(), ["clear: EHLO example.org"]);
    assert!(sink.mails().is_empty());
}

#[tokio::test]
async fn j05_what_is_slipped_in_before_tls_ends_the_connection() {
    let rules = SmtpRules {
        tls: SmtpTls::StartTls,
        injected: "250-evil\r\n250 AUTH LOGIN\r\n",
        ..SmtpRules::default()
    };
    let sink = SmtpSink::start(rules).await;
    for mode in [TlsMode::StartTlsRequired, TlsMode::StartTls] {
        let error = mailer(config(&sink, mode)).send(mail("Hello", "Hello")).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("in between"), "{error}");
    }
    assert!(sink.mails().is_empty());
}

#[tokio::test]
async fn a_password_is_not_trusted_to_an_offer_that_can_be_taken_away() {
    let sink = SmtpSink::start(SmtpRules::default()).await;
    let refused =
        SmtpMailer::new(with_account(config(&sink, TlsMode::StartTls)), Clock::system(), Random::system());

    assert!(matches!(refused.err(), Some(SmtpConfigError::PasswordInTheClear)));
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_authority_is_refused() {
    for (offered, mode) in [
        (SmtpTls::StartTls, TlsMode::StartTls),
        (SmtpTls::StartTls, TlsMode::StartTlsRequired),
        (SmtpTls::Implicit, TlsMode::Tls),
    ] {
        let sink = SmtpSink::start(SmtpRules { tls: offered, ..SmtpRules::default() }).await;
        let other_name = SmtpConfig { host: "127.0.0.1".to_owned(), ..config(&sink, mode) };
        let public_authorities = SmtpConfig { root_certificates: None, ..config(&sink, mode) };
        for config in [other_name, public_authorities] {
            let error = mailer(config).send(mail("Hello", "Hello")).await.unwrap_err();
            assert!(error.is_transient() && error.to_string().contains("certificate"), "{error}");
        }
        assert!(sink.mails().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_is_final_if_the_server_says_so() {
    for (answer, is_transient) in [
        ("550 5.1.1 no such user", false),
        ("552 5.2.2 mailbox full", false),
        ("450 4.2.1 mailbox busy", true),
        ("421 4.3.0 shutting down", true),
    ] {
        let sink = SmtpSink::start(SmtpRules { recipient: Some(answer), ..SmtpRules::default() }).await;
        let error = mailer(config(&sink, TlsMode::None)).send(mail("Hello", "Hello")).await.unwrap_err();

        assert_eq!(error.is_transient(), is_transient, "{error}");
        let codes = &answer[..9];
        assert!(error.to_string().ends_with(&format!("the server answered {codes}")), "{error}");
    }
}

#[tokio::test]
async fn an_address_that_the_server_cannot_take_is_final() {
    let sink = SmtpSink::start(SmtpRules::default()).await;
    let mail = Mail { to: "jürgen@example.com".parse().unwrap(), ..mail("Hello", "Hello") };
    let error = mailer(config(&sink, TlsMode::None)).send(mail).await.unwrap_err();

    assert!(!error.is_transient() && error.to_string().contains("SMTPUTF8"), "{error}");
}

#[tokio::test]
async fn what_the_operator_can_mend_is_worth_another_try() {
    let account = Some(("mailer", "another password"));
    let sink = SmtpSink::start(SmtpRules { tls: SmtpTls::Implicit, account, ..SmtpRules::default() }).await;
    let wrong_password = with_account(config(&sink, TlsMode::Tls));
    let no_account = config(&sink, TlsMode::Tls);
    let gone = SmtpConfig { port: crate::harness::free_port(), ..config(&sink, TlsMode::Tls) };

    for (config, words) in [
        (wrong_password, "the server answered 535"),
        (no_account, "the server answered 530"),
        (gone, "connection"),
    ] {
        let error = mailer(config).send(mail("Hello", "Hello")).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains(PASSWORD));
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_costs_the_deadline_and_its_connection() {
    let costs = |silent_at| async move {
        let sink = SmtpSink::start(SmtpRules { silent_at: Some(silent_at), ..SmtpRules::default() }).await;
        let mailer =
            mailer(SmtpConfig { timeout: Duration::from_secs(2), ..config(&sink, TlsMode::StartTls) });
        for _ in 0..2 {
            let error = mailer.send(mail("Hello", "Hello")).await.unwrap_err();
            assert_eq!(error, MailError::Transient("no end after 2s".to_owned()), "{silent_at}");
        }

        assert_eq!(sink.connections(), 2, "the second mail has a connection of its own: {silent_at}");
        let noops = sink.commands().iter().filter(|line| line.ends_with("NOOP")).count();
        assert_eq!(noops, 0, "{silent_at}");
    };
    join_all(["", "EHLO", "MAIL", "DATA", "."].map(costs)).await;
}

#[tokio::test]
async fn mails_one_after_another_share_a_connection_as_long_as_it_lives() {
    for (hangs_up, connections) in [(false, 1), (true, 3)] {
        let sink = SmtpSink::start(SmtpRules { hangs_up, ..SmtpRules::default() }).await;
        let mailer = mailer(config(&sink, TlsMode::None));
        for _ in 0..3 {
            mailer.send(mail("Hello", "Hello")).await.unwrap();
        }

        assert_eq!((sink.mails().len(), sink.connections()), (3, connections));
    }
}

#[tokio::test]
async fn no_more_connections_are_open_than_configured() {
    let sink = SmtpSink::start(SmtpRules::default()).await;
    let mailer = Arc::new(mailer(config(&sink, TlsMode::None)));
    let sends = (0..20).map(|_| {
        let mailer = Arc::clone(&mailer);
        tokio::spawn(async move { mailer.send(mail("Hello", "Hello")).await })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap().unwrap();
    }

    assert_eq!(sink.mails().len(), 20);
    assert_eq!((sink.connections(), sink.most_open()), (2, 2));
}

#[tokio::test]
async fn b18_a_subject_that_a_user_filled_adds_no_header() {
    let sink = SmtpSink::start(SmtpRules::default()).await;
    let hostile = "Hello\r\nBcc: eve@example.org\r\n\r\n<script>alert(1)</script>";
    mailer(config(&sink, TlsMode::None)).send(mail(hostile, "Hello")).await.unwrap();

    let [received] = sink.mails().try_into().unwrap();
    assert_eq!(received.to, ["ada@example.com"]);
    let (head, _) = received.data.split_once("\r\n\r\n").unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
}

#[tokio::test]
async fn j05_no_text_ends_its_mail_and_starts_another() {
    let sink = SmtpSink::start(SmtpRules::default()).await;
    let mailer = mailer(config(&sink, TlsMode::None));
    let second = "MAIL FROM:<eve@example.org>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\nevil\r\n";
    for (count, end) in
        ["\r\n.\r\n", "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r"].into_iter().enumerate()
    {
        let text = format!("Hello{end}{second}.{end}");
        mailer.send(mail("Hello", &text)).await.unwrap();

        let mails = sink.mails();
        assert_eq!(mails.len(), count + 1, "{end:?}");
        let data = &mails[count].data;
        let without_breaks = data.replace("\r\n", "");
        assert!(!without_breaks.contains(['\r', '\n']), "a bare line break in {data:?}");
        let text_received = text_part(data);
        assert!(text_received.contains("MAIL FROM:<eve@example.org>"), "{text_received:?}");
    }
    let verbs: Vec<String> = sink.commands().iter().filter(|line| line.contains("eve@")).cloned().collect();
    assert!(verbs.is_empty(), "{verbs:?}");
}
