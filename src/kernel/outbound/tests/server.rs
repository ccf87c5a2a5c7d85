//! A server on loopback for tests of outbound requests: it answers by a script, and remembers who connected and what was
//! sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::kernel::outbound::{OutboundClient, OutboundOptions};

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Sends these bytes and closes.
    Bytes(String),
    /// Sends these bytes, then nothing, and keeps the connection open.
    Stall(String),
    /// Sends a body without end.
    Endless,
}

/// A reply of this status and media type.
pub(crate) fn reply(status: u16, media_type: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Bytes(format!(
        "HTTP/1.1 {status} Test\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

/// A JSON document.
pub(crate) fn json(status: u16, body: &str) -> Reply {
    reply(status, "application/json", body)
}

/// A reply with an extra header and no body.
pub(crate) fn with_header(status: u16, name: &str, value: &str) -> Reply {
    Reply::Bytes(format!(
        "HTTP/1.1 {status} Test\r\n{name}: {value}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ))
}

/// The server; it listens on every loopback address and ends with the value.
pub(crate) struct TestServer {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: Vec<IpAddr>,
    requests: Vec<String>,
}

impl TestServer {
    /// Answers each request, in order, by the next reply; the last one repeats.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        Self::listen(replies, None).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls(replies: Vec<Reply>, config: rustls::ServerConfig) -> Self {
        Self::listen(replies, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(replies: Vec<Reply>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(serve(listener, tls, replies, Arc::clone(&seen)));
        Self { port, seen, task }
    }

    /// Its URL on an open address: see [`client`].
    pub(crate) fn url(&self, path: &str) -> Url {
        self.url_on("127.0.0.2", path)
    }

    pub(crate) fn url_on(&self, host: &str, path: &str) -> Url {
        Url::parse(&format!("http://{host}:{}{path}", self.port)).unwrap()
    }

    /// The local address of every connection that was taken.
    pub(crate) fn connections(&self) -> Vec<IpAddr> {
        self.seen.lock().unwrap().connections.clone()
    }

    /// Every request, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that reaches `127.0.0.2` besides the internet, and no other loopback address.
pub(crate) fn client() -> OutboundClient {
    OutboundClient::new(options()).unwrap()
}

pub(super) fn options() -> OutboundOptions {
    OutboundOptions { allow_networks: vec!["127.0.0.2/32".parse().unwrap()], ..OutboundOptions::default() }
}

/// A connection, plain or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, replies: Vec<Reply>, seen: Arc<Mutex<Seen>>) {
    let mut kept = Vec::new();
    for turn in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        seen.lock().unwrap().connections.push(stream.local_addr().as_ref().map(SocketAddr::ip).unwrap());
        let mut stream: Box<dyn Stream> = match &tls {
            None => Box::new(stream),
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => Box::new(stream),
                Err(_) => continue,
            },
        };
        let Some(request) = read_request(&mut stream).await else { continue };
        seen.lock().unwrap().requests.push(request);
        match &replies[turn.min(replies.len() - 1)] {
            Reply::Bytes(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
            Reply::Stall(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                kept.push(stream);
            }
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await.unwrap();
                while stream.write_all(&[b' '; 16 * 1024]).await.is_ok() {}
            }
        }
    }
}

async fn read_request(stream: &mut dyn Stream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return Some(text);
            }
        }
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}
