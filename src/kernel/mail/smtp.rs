//! Sends mails to the operator's SMTP server.
//!
//! At most [`SmtpConfig::max_connections`] connections are open, idle ones are used again for a short time, and each mail has
//! a deadline. The pool is ours: a send that is cut off at its deadline must never leave its connection to the next mail.
//!
//! The library's feature `tracing` stays off: it logs every command, passwords and codes included.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use rustls_pki_types::ServerName;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::connection::{ConnectError, Target, open};
use super::format::{Stamp, message};
use super::reply::codes;
use super::{Address, HeaderText, Mail, MailError, Mailer};
use crate::kernel::clock::Clock;
use crate::kernel::db::target::SslMode;
use crate::kernel::db::tls;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

/// How long a connection stays open for the next mail.
const IDLE: Duration = Duration::from_secs(20);

/// Which server sends our mail, and as whom.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// Name or address of the server; its certificate must be for it.
    pub host: String,
    /// 587 for STARTTLS, 465 for TLS from the start, as a rule.
    pub port: u16,
    /// Encryption.
    pub tls: TlsMode,
    /// PEM file of the authorities that the server's certificate may come from, instead of the public ones.
    pub root_certificates: Option<PathBuf>,
    /// Account at the server; none for a server that asks for none.
    pub user: Option<String>,
    /// The account's password.
    pub password: Secret,
    /// The sender's address. Its domain is in our greeting and in each message's id.
    pub from: Address,
    /// The sender's name as people see it.
    pub sender_name: Option<HeaderText>,
    /// What one mail may take in all, the wait for a free connection included.
    pub timeout: Duration,
    /// Open connections at a time, at least 1.
    pub max_connections: usize,
}

/// How the connection is encrypted. The certificate is checked in every mode that encrypts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all: for a server on the same machine, or in tests.
    None,
    /// By STARTTLS if the server offers it. Whoever sits in between can take the offer away, so no password is sent this way.
    StartTls,
    /// By STARTTLS, or no mail is sent.
    #[default]
    StartTlsRequired,
    /// From the first byte.
    Tls,
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SmtpConfigError {
    /// The host is neither a name nor an address.
    #[error("the mail server's host is neither a domain name nor an address")]
    Host,
    /// The file of authorities cannot be used.
    #[error("authorities of the mail server's certificate: {0}")]
    Tls(#[from] tls::TlsError),
    /// A password together with [`TlsMode::StartTls`].
    #[error(
        "with STARTTLS that is not required, the password of the mail server could be read on the way: require it"
    )]
    PasswordInTheClear,
}

/// A [`Mailer`] that speaks SMTP (RFC 5321).
pub struct SmtpMailer {
    target: Target,
    credentials: Option<Credentials>,
    from: Mailbox,
    timeout: Duration,
    clock: Clock,
    random: Random,
    /// One permit per open connection.
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl SmtpMailer {
    /// Checks the configuration; connects at the first mail.
    pub fn new(config: SmtpConfig, clock: Clock, random: Random) -> Result<Self, SmtpConfigError> {
        if config.user.is_some() && config.tls == TlsMode::StartTls {
            return Err(SmtpConfigError::PasswordInTheClear);
        }
        let name = ServerName::try_from(config.host.clone()).map_err(|_| SmtpConfigError::Host)?;
        let tls = tls::client_config(SslMode::VerifyFull, config.root_certificates.as_deref())?;
        let target = Target {
            name,
            host: config.host,
            port: config.port,
            mode: config.tls,
            tls: tls.ok_or(SmtpConfigError::Host)?,
            hello: ClientId::Domain(config.from.domain().to_owned()),
        };
        let credentials = config.user.map(|user| Credentials::new(user, config.password.expose().to_owned()));
        let sender_name = config.sender_name.map(|name| name.to_string());
        Ok(Self {
            target,
            credentials,
            from: Mailbox::new(sender_name, config.from.for_envelope()),
            timeout: config.timeout,
            clock,
            random,
            permits: Semaphore::new(config.max_connections.max(1)),
            idle: Mutex::default(),
        })
    }

    async fn send_within_deadline(&self, mail: Mail) -> Result<(), MailError> {
        let stamp = Stamp { now: self.clock.unix_seconds(), random: self.random.bytes() };
        let message = message(mail, &self.from, &stamp)?;
        let _permit =
            self.permits.acquire().await.map_err(|error| MailError::Transient(error.to_string()))?;
        let mut connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => self.connect().await.map_err(|error| MailError::Transient(unconnected(&error)))?,
        };
        // On failure, and when the deadline cuts this off, the connection is dropped: nobody knows what it waits for.
        connection.send(message.envelope(), &message.formatted()).await.map_err(|error| refusal(&error))?;
        let idle = Idle { connection, since: Instant::now() };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, ConnectError> {
        let mut connection = open(&self.target).await?;
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    /// The connection that was used last, if it is young enough and the server still answers on it.
    async fn idle_connection(&self) -> Option<AsyncSmtpConnection> {
        let newest = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|idle| idle.since.elapsed() < IDLE);
            idle.pop()
        };
        let mut connection = newest?.connection;
        connection.test_connected().await.then_some(connection)
    }
}

impl Mailer for SmtpMailer {
    fn send(&self, mail: Mail) -> BoxFuture<'_, Result<(), MailError>> {
        Box::pin(async move {
            let late = |_| MailError::Transient(format!("no end after {:?}", self.timeout));
            timeout(self.timeout, self.send_within_deadline(mail)).await.map_err(late)?
        })
    }
}

/// What a failure while sending means: a 5yz is the server's last word on this mail (RFC 5321 section 4.2.1), unless it only
/// asks for a login (530, RFC 4954); an error of our own side is an address that this server cannot take.
fn refusal(error: &lettre::transport::smtp::Error) -> MailError {
    let asks_for_login = error.status().is_some_and(|code| u16::from(code) == 530);
    if error.is_client() || error.is_permanent() && !asks_for_login {
        MailError::Permanent(shown(error))
    } else {
        MailError::Transient(shown(error))
    }
}

/// Why there is no connection.
fn unconnected(error: &ConnectError) -> String {
    match error {
        ConnectError::Smtp(error) => shown(error),
        error => with_causes(error),
    }
}

/// A failure without the words of the server.
fn shown(error: &lettre::transport::smtp::Error) -> String {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(status) => format!("the server answered {}", codes(Some(status.into()), &said)),
        None if error.is_response() => "the answer of the server cannot be read".to_owned(),
        None => with_causes(error),
    }
}

/// The error and its causes in one line of the log.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    HeaderText::fitted(&text).to_string()
}
