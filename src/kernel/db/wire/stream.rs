//! The byte stream to a server: TCP, TLS over TCP, or a Unix socket.
//!
//! Opens it and negotiates TLS; knows nothing of the protocol after that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::kernel::db::target::{Address, Host};

/// Whether to ask for TLS, and what a server's No means.
#[derive(Clone)]
pub(in crate::kernel::db) enum Encryption {
    /// Do not ask.
    Never,
    /// Ask, go on in the clear if the server has none.
    Offered(Arc<ClientConfig>),
    /// Ask, fail if the server has none.
    Required(Arc<ClientConfig>),
}

/// An open stream.
pub(in crate::kernel::db) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Stream {
    /// Opens a stream to `host`, with TLS as `encryption` says (a Unix socket never has it).
    pub(in crate::kernel::db) async fn open(host: &Host, encryption: &Encryption) -> io::Result<Self> {
        let name = match &host.address {
            Address::Unix(folder) => {
                let path = folder.join(format!(".s.PGSQL.{}", host.port));
                return Ok(Self::Unix(UnixStream::connect(path).await?));
            }
            Address::Tcp(name) => name,
        };
        let tcp = TcpStream::connect((name.as_str(), host.port)).await?;
        tcp.set_nodelay(true)?;
        let (config, required) = match encryption {
            Encryption::Never => return Ok(Self::Tcp(tcp)),
            Encryption::Offered(config) => (config, false),
            Encryption::Required(config) => (config, true),
        };
        Self::negotiate(tcp, name, config, required).await
    }

    async fn negotiate(
        mut tcp: TcpStream,
        name: &str,
        config: &Arc<ClientConfig>,
        required: bool,
    ) -> io::Result<Self> {
        let mut request = BytesMut::with_capacity(8);
        frontend::ssl_request(&mut request);
        tcp.write_all(&request).await?;
        // Exactly one byte is read before the handshake, so nothing sent in the clear is taken as if it were encrypted.
        match tcp.read_u8().await? {
            b'S' => {
                let name = ServerName::try_from(name.to_owned())
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a host name for TLS"))?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
                Ok(Self::Tls(Box::new(stream)))
            }
            b'N' if !required => Ok(Self::Tcp(tcp)),
            b'N' => Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the server does not offer TLS, which sslmode requires",
            )),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the server does not speak PostgreSQL's protocol",
            )),
        }
    }

    /// Whether a password may travel in the clear: nobody on the way can read it.
    pub(in crate::kernel::db) fn is_private(&self) -> bool {
        !matches!(self, Self::Tcp(_))
    }

    /// Whether TLS is in use.
    pub(in crate::kernel::db) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The server's certificate in DER, where TLS is in use.
    pub(in crate::kernel::db) fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => Some(stream.get_ref().1.peer_certificates()?.first()?.as_ref()),
            _ => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
