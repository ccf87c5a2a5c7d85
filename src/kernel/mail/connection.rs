//! Opens a connection to the mail server, encrypted as far as the mode asks.
//!
//! The steps before TLS are done here and not by the SMTP library: the change to TLS is the place where a man in the middle
//! works. A server that does not offer STARTTLS is left when TLS is required (threat J05), and so is one whose answer to
//! STARTTLS brings more than its own line, which would be read as if it had come encrypted.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::reply::codes;
use super::smtp::TlsMode;

/// The longest answer that is read before TLS, in bytes; RFC 5321 asks for lines of 512.
const LONGEST_REPLY: u64 = 16 * 1024;

/// What may come over one connection in its whole life, in bytes: answers are short, so more is an attack on our memory.
const MOST_RECEIVED: usize = 1024 * 1024;

/// Which server, and how to talk to it.
pub(super) struct Target {
    pub host: String,
    pub port: u16,
    pub mode: TlsMode,
    /// The name that the certificate must have.
    pub name: ServerName<'static>,
    pub tls: Arc<ClientConfig>,
    /// How we introduce ourselves.
    pub hello: ClientId,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the server does not offer STARTTLS, which the configuration requires")]
    NoStartTls,
    #[error("unencrypted data came together with the change to TLS: someone is in between")]
    Injected,
    #[error("the server answered {0}")]
    Reply(String),
    #[error("{0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
}

/// Connects, encrypts and greets.
pub(super) async fn open(target: &Target) -> Result<AsyncSmtpConnection, ConnectError> {
    let tcp = TcpStream::connect((target.host.as_str(), target.port)).await?;
    tcp.set_nodelay(true)?;
    let peer = tcp.peer_addr()?;
    match target.mode {
        TlsMode::None => hand_over(Vec::new(), tcp, peer, target).await,
        TlsMode::Tls => hand_over(Vec::new(), encrypt(tcp, target).await?, peer, target).await,
        TlsMode::StartTls | TlsMode::StartTlsRequired => {
            let mut plain = BufReader::new(tcp);
            let greeting = reply(&mut plain, "220").await?;
            let is_offered = command(&mut plain, &format!("EHLO {}\r\n", target.hello), "250")
                .await?
                .lines()
                .any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")));
            if !is_offered && target.mode == TlsMode::StartTlsRequired {
                return Err(ConnectError::NoStartTls);
            }
            if is_offered {
                command(&mut plain, "STARTTLS\r\n", "220").await?;
            }
            if !plain.buffer().is_empty() {
                return Err(ConnectError::Injected);
            }
            let (greeting, tcp) = (greeting.into_bytes(), plain.into_inner());
            if is_offered {
                hand_over(greeting, encrypt(tcp, target).await?, peer, target).await
            } else {
                hand_over(greeting, tcp, peer, target).await
            }
        }
    }
}

async fn encrypt(
    tcp: TcpStream,
    target: &Target,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, io::Error> {
    TlsConnector::from(Arc::clone(&target.tls)).connect(target.name.clone(), tcp).await
}

/// Sends a command and reads the answer, which must have this code.
async fn command(
    stream: &mut BufReader<TcpStream>,
    command: &str,
    code: &str,
) -> Result<String, ConnectError> {
    stream.write_all(command.as_bytes()).await?;
    reply(stream, code).await
}

/// Reads one answer of one or several lines (RFC 5321 section 4.2), which must have this code.
async fn reply(stream: &mut BufReader<TcpStream>, code: &str) -> Result<String, ConnectError> {
    let mut stream = stream.take(LONGEST_REPLY);
    let mut reply = String::new();
    loop {
        let start = reply.len();
        stream.read_line(&mut reply).await?;
        let line = &reply[start..];
        if !line.ends_with('\n') {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if !line.starts_with(code) {
            return Err(ConnectError::Reply(codes(None, line)));
        }
        if line.as_bytes().get(code.len()) != Some(&b'-') {
            return Ok(reply);
        }
    }
}

/// Gives the stream to the SMTP library, which reads the greeting (again) and asks what the server can do (again: what was
/// said before TLS does not count, RFC 3207 section 4.2).
async fn hand_over<S>(
    greeting: Vec<u8>,
    inner: S,
    peer: SocketAddr,
    target: &Target,
) -> Result<AsyncSmtpConnection, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug + 'static,
{
    let stream = Stream { greeting: io::Cursor::new(greeting), left: MOST_RECEIVED, inner, peer };
    Ok(AsyncSmtpConnection::connect_with_transport(Box::new(stream), &target.hello).await?)
}

/// A connection whose greeting is read once more, and that ends after [`MOST_RECEIVED`].
#[derive(Debug)]
struct Stream<S> {
    greeting: io::Cursor<Vec<u8>>,
    left: usize,
    inner: S,
    peer: SocketAddr,
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buffer.filled().len();
        ready!(Pin::new(&mut this.greeting).poll_read(context, buffer))?;
        if buffer.filled().len() > filled {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
        match this.left.checked_sub(buffer.filled().len() - filled) {
            Some(left) => this.left = left,
            None => return Poll::Ready(Err(io::Error::other("the server sends without end"))),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<S> AsyncTokioStream for Stream<S>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug,
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
