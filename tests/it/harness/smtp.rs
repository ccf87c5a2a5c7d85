//! A mail server that keeps what it gets, and misbehaves on demand.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// How the server behaves. The default takes every mail in the clear.
#[derive(Clone, Default)]
pub struct SmtpRules {
    /// Encryption that it offers.
    pub tls: SmtpTls,
    /// Sends this in the clear right behind its answer to STARTTLS, as a man in the middle does.
    pub injected: &'static str,
    /// Its answer to a recipient, if it is not `250 ok`.
    pub recipient: Option<&'static str>,
    /// Falls silent at a command that starts with this; `""` means before the greeting, `"."` at the end of a mail.
    pub silent_at: Option<&'static str>,
    /// Hangs up after each mail.
    pub hangs_up: bool,
    /// Account and password that it asks for.
    pub account: Option<(&'static str, &'static str)>,
}

/// What a server offers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum SmtpTls {
    /// Nothing, which is also what a stripped offer looks like.
    #[default]
    None,
    /// STARTTLS.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// One mail as it came.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    pub from: String,
    pub to: Vec<String>,
    /// Headers and body, dots undone.
    pub data: String,
    pub was_encrypted: bool,
}

/// The running server, for the name `localhost`.
pub struct SmtpSink {
    port: u16,
    seen: Arc<Seen>,
    /// Holds the certificate of the authority.
    folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    mails: Mutex<Vec<ReceivedMail>>,
    commands: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl SmtpSink {
    /// Listens on a free port of the loopback interface.
    pub async fn start(rules: SmtpRules) -> Self {
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let (authority, acceptor) = certificates();
        std::fs::write(folder.path().join("authority.pem"), authority).unwrap();
        let seen = Arc::new(Seen::default());
        let accepting = tokio::spawn(accept(listener, rules, acceptor, Arc::clone(&seen)));
        Self { port, seen, folder, accepting }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The PEM file of the authority that signed the server's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The mails so far.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.seen.mails.lock().unwrap().clone()
    }

    /// Every line that came as a command, with a note of how it came: `clear` or `encrypted`.
    pub fn commands(&self) -> Vec<String> {
        self.seen.commands.lock().unwrap().clone()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many were open at the same time.
    pub fn most_open(&self) -> usize {
        self.seen.most_open.load(Ordering::SeqCst)
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The authority in PEM, and what accepts TLS with a certificate of it for `localhost`.
fn certificates() -> (String, TlsAcceptor) {
    let authority_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(parameters, authority_key);
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority, TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, rules: SmtpRules, acceptor: TlsAcceptor, seen: Arc<Seen>) {
    let mut sessions = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let (rules, acceptor, seen) = (rules.clone(), acceptor.clone(), Arc::clone(&seen));
        sessions.spawn(async move {
            let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most_open.fetch_max(open, Ordering::SeqCst);
            // A client that hangs up is no concern of the server's.
            let _ = converse(tcp, &rules, &acceptor, &seen).await;
            seen.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn converse(
    tcp: TcpStream,
    rules: &SmtpRules,
    acceptor: &TlsAcceptor,
    seen: &Seen,
) -> std::io::Result<()> {
    if rules.silent_at == Some("") {
        std::future::pending::<()>().await;
    }
    if rules.tls == SmtpTls::Implicit {
        let tls = acceptor.accept(tcp).await?;
        return Session::new(tls, rules, seen, true).run(true).await.map(drop);
    }
    let tcp = Session::new(tcp, rules, seen, false).run(true).await?;
    if let Some(tcp) = tcp {
        let tls = acceptor.accept(tcp).await?;
        Session::new(tls, rules, seen, true).run(false).await?;
    }
    Ok(())
}

struct Session<'a, S> {
    stream: BufReader<S>,
    rules: &'a SmtpRules,
    seen: &'a Seen,
    is_encrypted: bool,
    has_logged_in: bool,
    from: String,
    to: Vec<String>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(stream: S, rules: &'a SmtpRules, seen: &'a Seen, is_encrypted: bool) -> Self {
        let stream = BufReader::new(stream);
        let has_logged_in = rules.account.is_none();
        Self { stream, rules, seen, is_encrypted, has_logged_in, from: String::new(), to: Vec::new() }
    }

    /// Answers commands until the client hangs up, or until STARTTLS: then the stream comes back.
    async fn run(mut self, greets: bool) -> std::io::Result<Option<S>> {
        if greets {
            self.say("220 localhost sink").await?;
        }
        while let Some(command) = self.line().await? {
            let note = if self.is_encrypted { "encrypted" } else { "clear" };
            self.seen.commands.lock().unwrap().push(format!("{note}: {command}"));
            self.stay_silent_at(&command).await;
            let verb = command.split([' ', ':']).next().unwrap().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.say(&self.abilities()).await?,
                "STARTTLS" => {
                    let answer = format!("220 go ahead\r\n{}", self.rules.injected);
                    self.stream.write_all(answer.as_bytes()).await?;
                    return Ok(Some(self.stream.into_inner()));
                }
                "AUTH" => {
                    self.has_logged_in =
                        self.rules.account.is_some_and(|account| is_login(&command, account));
                    let answer = if self.has_logged_in { "235 welcome" } else { "535 5.7.8 wrong password" };
                    self.say(answer).await?;
                }
                "MAIL" if !self.has_logged_in => self.say("530 5.7.0 log in first").await?,
                "MAIL" => {
                    self.from = address(&command);
                    self.to.clear();
                    self.say("250 ok").await?;
                }
                "RCPT" => {
                    self.to.push(address(&command));
                    self.say(self.rules.recipient.unwrap_or("250 ok")).await?;
                }
                "DATA" => {
                    self.say("354 end with a dot").await?;
                    self.take_mail().await?;
                    if self.rules.hangs_up {
                        return Ok(None);
                    }
                }
                "QUIT" => return self.say("221 bye").await.map(|()| None),
                "NOOP" | "RSET" => self.say("250 ok").await?,
                _ => self.say("500 unknown command").await?,
            }
        }
        Ok(None)
    }

    fn abilities(&self) -> String {
        let mut abilities = vec!["localhost", "8BITMIME"];
        if self.rules.tls == SmtpTls::StartTls && !self.is_encrypted {
            abilities.push("STARTTLS");
        }
        if self.rules.account.is_some() {
            abilities.push("AUTH PLAIN LOGIN");
        }
        let (last, others) = abilities.split_last().unwrap();
        format!("250-{}\r\n250 {last}", others.join("\r\n250-"))
    }

    async fn take_mail(&mut self) -> std::io::Result<()> {
        let mut data = String::new();
        while let Some(line) = self.line().await? {
            if line == "." {
                self.stay_silent_at(".").await;
                let (from, to) = (self.from.clone(), self.to.clone());
                let was_encrypted = self.is_encrypted;
                self.seen.mails.lock().unwrap().push(ReceivedMail { from, to, data, was_encrypted });
                return self.say("250 taken").await;
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
            data.push_str("\r\n");
        }
        Ok(())
    }

    async fn stay_silent_at(&self, command: &str) {
        if self.rules.silent_at.is_some_and(|at| command.starts_with(at)) {
            std::future::pending::<()>().await;
        }
    }

    /// The next line up to CR LF. A bare CR or LF is kept: it is how mails are smuggled.
    async fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if self.stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(None);
            }
        }
        line.truncate(line.len() - 2);
        Ok(Some(String::from_utf8(line).unwrap()))
    }

    async fn say(&mut self, answer: &str) -> std::io::Result<()> {
        self.stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }
}

/// What stands between the angle brackets.
fn address(command: &str) -> String {
    let (_, rest) = command.split_once('<').unwrap();
    rest.split('>').next().unwrap().to_owned()
}

/// Whether `AUTH PLAIN ..` names the account (RFC 4616).
fn is_login(command: &str, (user, password): (&str, &str)) -> bool {
    let given = STANDARD.decode(command.rsplit(' ').next().unwrap()).unwrap();
    given == format!("\0{user}\0{password}").as_bytes()
}
