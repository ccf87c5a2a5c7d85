//! The body of a request: its framing taken off, its digests and the signatures of its chunks checked, as it comes.
//!
//! Bytes are handed on at once, nothing is held back but a started line of the framing. So nothing that was handed on is
//! proved before the end: whoever writes it may commit only after [`Decoder::finish`], or the stream's regular end.

mod body;
mod checksum;
mod chunks;
mod decoder;
#[cfg(test)]
mod tests;

pub use body::{BodyError, Receipt, VerifiedBody};
pub use checksum::{Algorithm, Checksum};
pub use chunks::MAX_CHUNK;
pub use decoder::Decoder;

use super::error::S3Error;

/// What `x-amz-content-sha256` says the body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadHash {
    /// Any body: `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// The body with this SHA-256.
    Sha256([u8; 32]),
    /// A body in chunks: `STREAMING-...`.
    Chunked {
        /// Each chunk carries a signature.
        signed: bool,
        /// Headers follow the last chunk.
        trailers: bool,
    },
}

impl PayloadHash {
    /// Reads the header's value.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        match text {
            "UNSIGNED-PAYLOAD" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::Chunked { signed: true, trailers: false }),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Ok(Self::Chunked { signed: true, trailers: true })
            }
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::Chunked { signed: false, trailers: true }),
            other if other.starts_with("STREAMING-") => {
                Err(S3Error::NotImplemented("This x-amz-content-sha256".into()))
            }
            digest => {
                let mut sha256 = [0; 32];
                hex::decode_to_slice(digest, &mut sha256)
                    .map_err(|_| S3Error::InvalidParameter("x-amz-content-sha256"))?;
                Ok(Self::Sha256(sha256))
            }
        }
    }
}
