//! Speaks with clamd: `INSTREAM` sends the bytes in chunks, each behind its length, and one of length 0 ends them
//! (clamd(8), "COMMANDS").

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::scanner::ScanError;
use crate::storage::blobs::BlobBytes;
use crate::storage::model::scan::Verdict;

/// The largest chunk.
const CHUNK: usize = 64 * 1024;
/// The longest answer that is read.
const LONGEST: u64 = 4096;
/// The longest wait for it to take a connection, or to say that it is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// What it says to have found where a limit of its own kept it from looking at all (`AlertExceedsMax`).
const BEYOND_LIMITS: &str = "Heuristics.Limits.Exceeded";

/// Where clamd is. The operator says so, thus no address is refused.
pub(super) enum Clamd {
    /// Host and port.
    Tcp(String),
    /// A socket on this machine.
    Unix(PathBuf),
}

impl Clamd {
    /// What it says of these bytes.
    pub(super) async fn scan(&self, bytes: BlobBytes) -> Result<Verdict, ScanError> {
        let unreachable = |error: io::Error| ScanError::Unreachable(error.to_string());
        let socket = self.connect().await.map_err(unreachable)?;
        match exchange(socket, bytes).await {
            // It hung up without a word: on these bytes, or on everybody.
            Err(ScanError::Io(error)) if !self.is_there().await => Err(unreachable(error)),
            outcome => outcome,
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Socket>> {
        let connecting = async {
            Ok(match self {
                Self::Tcp(address) => Box::new(TcpStream::connect(address).await?) as Box<dyn Socket>,
                Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            })
        };
        timeout(PATIENCE, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether it answers at all.
    async fn is_there(&self) -> bool {
        let asking = async {
            let mut socket = self.connect().await?;
            socket.write_all(b"zPING\0").await?;
            let mut answer = [0; 4];
            socket.read_exact(&mut answer).await?;
            io::Result::Ok(&answer == b"PONG")
        };
        matches!(timeout(PATIENCE, asking).await, Ok(Ok(true)))
    }
}

/// A connection of either kind.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

async fn exchange(mut socket: Box<dyn Socket>, mut bytes: BlobBytes) -> Result<Verdict, ScanError> {
    socket.write_all(b"zINSTREAM\0").await?;
    let mut broken = None;
    'sending: while let Some(piece) = bytes.next().await {
        // What cannot be read is not ended: it would be taken for the whole.
        let piece = piece.map_err(ScanError::Unreadable)?;
        for chunk in piece.chunks(CHUNK) {
            if let Err(error) = send(&mut socket, chunk).await {
                broken = Some(error);
                break 'sending;
            }
        }
    }
    if broken.is_none() {
        broken = send(&mut socket, &[]).await.err();
    }
    // Where it takes no more, it may have said why.
    let mut answer = Vec::new();
    let read = socket.take(LONGEST).read_to_end(&mut answer).await;
    if answer.is_empty() && broken.is_none() && read.is_ok() {
        broken = Some(io::ErrorKind::UnexpectedEof.into());
    }
    match (verdict(&answer), broken) {
        (Ok(Verdict::Clean) | Err(_), Some(error)) => Err(error.into()),
        (Ok(verdict), _) => Ok(verdict),
        (Err(unclear), None) => Err(read.err().map_or(unclear, ScanError::Io)),
    }
}

async fn send(socket: &mut (impl AsyncWrite + Unpin), chunk: &[u8]) -> io::Result<()> {
    let mut framed = BytesMut::with_capacity(4 + chunk.len());
    framed.extend_from_slice(&u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(chunk);
    socket.write_all(&framed).await?;
    socket.flush().await
}

/// What an answer means, as in `stream: Eicar-Test-Signature FOUND`.
fn verdict(answer: &[u8]) -> Result<Verdict, ScanError> {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim_end_matches(['\0', '\n']);
    let said = text.strip_prefix("stream: ").unwrap_or(text);
    match said.strip_suffix(" FOUND") {
        Some(found) if found.starts_with(BEYOND_LIMITS) => Ok(Verdict::TooLarge),
        Some(found) => Ok(Verdict::infected(found)),
        None if said == "OK" => Ok(Verdict::Clean),
        None if said.starts_with("INSTREAM size limit exceeded") => Ok(Verdict::TooLarge),
        None => Err(ScanError::Unclear(said.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_clamd_means_them() {
        for (answer, expected) in [
            ("stream: OK\0", Some(Verdict::Clean)),
            ("stream: OK\n", Some(Verdict::Clean)),
            ("stream: Win.Test.EICAR_HDB-1 FOUND\0", Some(Verdict::Infected("Win.Test.EICAR_HDB-1".into()))),
            ("INSTREAM size limit exceeded. ERROR\0", Some(Verdict::TooLarge)),
            ("stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0", Some(Verdict::TooLarge)),
            ("stream: Can't allocate memory ERROR\0", None),
            ("stream: OK ERROR\0", None),
            ("", None),
        ] {
            assert_eq!(verdict(answer.as_bytes()).ok(), expected, "{answer}");
        }
    }
}
