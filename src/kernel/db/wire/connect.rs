//! Opens a connection: TLS, login, session start. Ends with a [`Wire`] that is idle and ready for groups.
//!
//! A password never travels in the clear over plain TCP, and a server that skips its own half of SCRAM is refused.
//! Session state is set here once, in the startup packet, and never again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::cancel::CancelKey;
use super::error::SqlError;
use super::frame::{FrameReader, invalid};
use super::scram::scram;
use super::statements::Statements;
use super::stream::{Encryption, Stream};
use crate::kernel::db::target::{Address, Host, SessionAttributes, SslMode, Target};
use crate::kernel::db::tls::{TlsError, client_config};

/// Why no connection came about. Texts are for the log.
#[derive(Debug, thiserror::Error)]
pub(in crate::kernel::db) enum ConnectError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{}: {} ({})", .0.severity, .0.message, .0.code)]
    Refused(Box<SqlError>),
    #[error("{0}")]
    Login(&'static str),
    #[error("no answer within {0} s")]
    Timeout(u64),
    #[error("no server among the hosts is of the kind that target_session_attrs asks for")]
    WrongKind,
}

impl ConnectError {
    /// The SQLSTATE, where the server gave one.
    pub(in crate::kernel::db) fn code(&self) -> &str {
        match self {
            Self::Refused(error) => &error.code,
            _ => "",
        }
    }
}

/// A target with its TLS configuration made once.
pub(in crate::kernel::db) struct Connector {
    target: Target,
    tls: Option<Arc<ClientConfig>>,
}

/// An idle connection: the stream, its buffers, and what is prepared on it.
pub(in crate::kernel::db) struct Wire {
    pub(super) stream: Stream,
    /// Frames from the server.
    pub(in crate::kernel::db) reader: FrameReader,
    /// Frames for the server that are not written yet.
    pub(in crate::kernel::db) out: BytesMut,
    /// What is prepared on this connection.
    pub(in crate::kernel::db) statements: Statements,
    /// How to cancel what runs on this connection.
    pub(in crate::kernel::db) cancel: CancelKey,
    sent: u64,
}

impl Wire {
    /// Reads what has come and writes what is waiting, whichever is possible; ready when something was read.
    ///
    /// Reads first: a farewell that came while the connection was idle is then seen before anything is sent.
    pub(in crate::kernel::db) fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = self.poll_input(cx) {
            return Poll::Ready(result);
        }
        match self.poll_output(cx) {
            Ok(()) => Poll::Pending,
            // The server may have said why before it closed.
            Err(error) => match self.poll_input(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                _ => Poll::Ready(Err(error)),
            },
        }
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let count = ready!(poll_read_buf(&mut self.stream, cx, self.reader.space()))?;
        if count == 0 { Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())) } else { Poll::Ready(Ok(())) }
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut wrote = false;
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => {
                    self.out.advance(written);
                    self.sent += written as u64;
                    wrote = true;
                }
                Poll::Pending => break,
            }
        }
        if wrote && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx) {
            return Err(error);
        }
        Ok(())
    }

    /// Bytes handed to the operating system since the connection was opened.
    pub(in crate::kernel::db) fn sent(&self) -> u64 {
        self.sent
    }

    /// Those, and the ones that wait to be written.
    pub(in crate::kernel::db) fn queued(&self) -> u64 {
        self.sent + self.out.len() as u64
    }

    /// [`Wire::poll_io`] as a future; nothing is lost if it is dropped.
    pub(in crate::kernel::db) async fn io(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_io(cx)).await
    }

    /// Says good-bye.
    pub(in crate::kernel::db) async fn close(mut self) {
        frontend::terminate(&mut self.out);
        let _ = self.stream.write_all(&self.out).await;
        let _ = self.stream.shutdown().await;
    }

    pub(super) async fn next_raw(&mut self) -> io::Result<(u8, Bytes)> {
        loop {
            if let Some(frame) = self.reader.next_raw()? {
                return Ok(frame);
            }
            self.io().await?;
        }
    }
}

/// `tokio_util`'s function of this name, for a reader that is not boxed.
fn poll_read_buf(stream: &mut Stream, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
    tokio_util::io::poll_read_buf(Pin::new(stream), cx, into)
}

impl Connector {
    /// Prepares TLS for the target.
    pub(in crate::kernel::db) fn new(target: Target) -> Result<Self, TlsError> {
        let tls = client_config(target.ssl_mode, target.ssl_root_cert.as_deref())?;
        Ok(Self { target, tls })
    }

    /// Connects to the first host that answers and fits.
    pub(in crate::kernel::db) async fn connect(&self) -> Result<Wire, ConnectError> {
        let wanted = self.target.session_attributes;
        match self.connect_where(wanted).await {
            Err(ConnectError::WrongKind) if wanted == SessionAttributes::PreferStandby => {
                self.connect_where(SessionAttributes::Any).await
            }
            result => result,
        }
    }

    async fn connect_where(&self, wanted: SessionAttributes) -> Result<Wire, ConnectError> {
        let mut last = ConnectError::WrongKind;
        for host in &self.target.hosts {
            let limit = self.target.connect_timeout;
            match tokio::time::timeout(limit, self.connect_host(host, wanted)).await {
                Ok(Ok(wire)) => return Ok(wire),
                Ok(Err(error)) => last = error,
                Err(_) => last = ConnectError::Timeout(limit.as_secs()),
            }
        }
        Err(last)
    }

    async fn connect_host(&self, host: &Host, wanted: SessionAttributes) -> Result<Wire, ConnectError> {
        let Some(tls) = self.tls.clone().filter(|_| matches!(host.address, Address::Tcp(_))) else {
            return self.log_in(host, Encryption::Never, wanted).await;
        };
        match self.target.ssl_mode {
            SslMode::Allow => match self.log_in(host, Encryption::Never, wanted).await {
                Err(ConnectError::Refused(_)) => self.log_in(host, Encryption::Required(tls), wanted).await,
                result => result,
            },
            SslMode::Prefer => match self.log_in(host, Encryption::Offered(tls), wanted).await {
                // The server's access rules may refuse TLS; libpq tries without it then.
                Err(ConnectError::Refused(error)) if error.code == "28000" => {
                    self.log_in(host, Encryption::Never, wanted).await
                }
                result => result,
            },
            _ => self.log_in(host, Encryption::Required(tls), wanted).await,
        }
    }

    async fn log_in(
        &self,
        host: &Host,
        encryption: Encryption,
        wanted: SessionAttributes,
    ) -> Result<Wire, ConnectError> {
        let stream = Stream::open(host, &encryption).await?;
        // A cancel request must take the way that this connection took.
        let encryption = match encryption {
            Encryption::Offered(config) if stream.is_tls() => Encryption::Required(config),
            Encryption::Offered(_) => Encryption::Never,
            other => other,
        };
        let cancel = CancelKey { host: host.clone(), encryption, process: 0, secret: 0 };
        let mut wire = Wire {
            stream,
            reader: FrameReader::new(),
            out: BytesMut::with_capacity(8 * 1024),
            statements: Statements::new(),
            cancel,
            sent: 0,
        };
        let mut parameters = vec![
            ("user", self.target.user.as_str()),
            ("database", self.target.dbname.as_str()),
            ("application_name", self.target.application_name.as_str()),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
        ];
        if let Some(options) = &self.target.options {
            parameters.push(("options", options));
        }
        frontend::startup_message(parameters, &mut wire.out)?;
        self.authenticate(&mut wire).await?;
        let kind = start_session(&mut wire).await?;
        if wanted.fit(kind.standby, kind.read_only) { Ok(wire) } else { Err(ConnectError::WrongKind) }
    }

    async fn authenticate(&self, wire: &mut Wire) -> Result<(), ConnectError> {
        let password = self.target.password.as_ref().map_or("", |password| password.expose());
        let need_password = || {
            if password.is_empty() {
                Err(ConnectError::Login("the server asks for a password, and none is configured"))
            } else {
                Ok(())
            }
        };
        loop {
            let (tag, mut body) = wire.next_raw().await?;
            match tag {
                b'E' => return Err(ConnectError::Refused(Box::new(SqlError::parse(&body)))),
                b'N' => continue,
                b'v' => return Err(ConnectError::Login("the server does not speak protocol 3.0")),
                b'R' if body.len() >= 4 => {}
                _ => return Err(ConnectError::Login("the server does not speak PostgreSQL's protocol")),
            }
            match body.get_i32() {
                0 => return Ok(()),
                3 => {
                    need_password()?;
                    if !wire.stream.is_private() {
                        return Err(ConnectError::Login(
                            "the server asks for the password in the clear, which is only sent over TLS: set sslmode=require",
                        ));
                    }
                    frontend::password_message(password.as_bytes(), &mut wire.out)?;
                }
                5 => {
                    need_password()?;
                    let salt: [u8; 4] =
                        body.first_chunk().copied().ok_or_else(|| invalid("a salt is cut short"))?;
                    let hash = md5_hash(self.target.user.as_bytes(), password.as_bytes(), salt);
                    frontend::password_message(hash.as_bytes(), &mut wire.out)?;
                }
                10 => {
                    need_password()?;
                    scram(wire, password, &body).await?;
                }
                _ => {
                    return Err(ConnectError::Login(
                        "the server asks for a login method that is not supported (trust, password, md5 and scram-sha-256 are)",
                    ));
                }
            }
        }
    }
}

/// What the server reports of itself at session start.
#[derive(Default)]
struct Kind {
    standby: bool,
    read_only: bool,
}

async fn start_session(wire: &mut Wire) -> Result<Kind, ConnectError> {
    let mut kind = Kind::default();
    loop {
        let (tag, mut body) = wire.next_raw().await?;
        match tag {
            b'K' if body.len() == 8 => {
                wire.cancel.process = body.get_i32();
                wire.cancel.secret = body.get_i32();
            }
            b'S' => match &body[..] {
                b"in_hot_standby\0on\0" => kind.standby = true,
                b"default_transaction_read_only\0on\0" => kind.read_only = true,
                _ => {}
            },
            b'N' => {}
            b'E' => return Err(ConnectError::Refused(Box::new(SqlError::parse(&body)))),
            b'Z' if body.as_ref() == b"I" => return Ok(kind),
            _ => return Err(ConnectError::Login("the server broke off the session start")),
        }
    }
}
