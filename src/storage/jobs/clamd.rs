//! Speaks with clamd: `INSTREAM` sends the bytes in chunks, each behind its length, and one of length 0 ends them
//! (clamd(8), "COMMANDS").

use std::path::PathBuf;

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::scanner::ScanError;
use crate::storage::blobs::BlobBytes;
use crate::storage::model::scan::Verdict;

/// The largest chunk.
const CHUNK: usize = 64 * 1024;
/// The longest answer that is read.
const LONGEST: u64 = 4096;

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
        match self {
            Self::Tcp(address) => exchange(TcpStream::connect(address).await?, bytes).await,
            Self::Unix(path) => exchange(UnixStream::connect(path).await?, bytes).await,
        }
    }
}

async fn exchange(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    mut bytes: BlobBytes,
) -> Result<Verdict, ScanError> {
    socket.write_all(b"zINSTREAM\0").await?;
    let mut broken = None;
    'sending: while let Some(piece) = bytes.next().await {
        // What cannot be read is not ended: it would be taken for the whole.
        let piece = piece?;
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
    match (verdict(&answer), broken) {
        (Ok(Verdict::Clean) | Err(_), Some(error)) => Err(error.into()),
        (Ok(verdict), _) => Ok(verdict),
        (Err(unclear), None) => Err(read.err().map_or(unclear, ScanError::Io)),
    }
}

async fn send(socket: &mut (impl AsyncWrite + Unpin), chunk: &[u8]) -> std::io::Result<()> {
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
        Some(found) => Ok(Verdict::Infected(found.to_owned())),
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
            ("stream: Can't allocate memory ERROR\0", None),
            ("stream: OK ERROR\0", None),
            ("", None),
        ] {
            assert_eq!(verdict(answer.as_bytes()).ok(), expected, "{answer}");
        }
    }
}
