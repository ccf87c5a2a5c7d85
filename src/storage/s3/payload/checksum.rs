//! The checksums that S3 knows, as they come in headers and trailers: `x-amz-checksum-*` and `Content-MD5`, in base64.

use aws_lc_rs::digest as aws;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use md5::Digest as _;

use super::super::error::S3Error;

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC-32 of ISO 3309.
    Crc32,
    /// CRC-32C, Castagnoli.
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// MD5, of the header `Content-MD5`.
    Md5,
}

impl Algorithm {
    const ALL: [Self; 6] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256, Self::Md5];

    /// The header or trailer that carries it.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Md5 => "content-md5",
        }
    }

    /// The algorithm of a trailer. `Content-MD5` is none.
    pub fn of_trailer(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known != Self::Md5 && known.header().eq_ignore_ascii_case(name))
    }

    /// Bytes of a checksum.
    pub fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// A checksum and how it was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// How.
    pub algorithm: Algorithm,
    /// Its bytes, [`Algorithm::length`] of them.
    pub value: Vec<u8>,
}

impl Checksum {
    /// Reads the base64 of a header or trailer.
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, S3Error> {
        let value = STANDARD.decode(text.trim()).ok().filter(|value| value.len() == algorithm.length());
        let value = value.ok_or(S3Error::InvalidParameter(algorithm.header()))?;
        Ok(Self { algorithm, value })
    }

    /// All checksums in the headers of a request.
    pub fn declared(headers: &HeaderMap) -> Result<Vec<Self>, S3Error> {
        let mut declared = Vec::new();
        for algorithm in Algorithm::ALL {
            if let Some(value) = headers.get(algorithm.header()) {
                let text = value.to_str().map_err(|_| S3Error::InvalidParameter(algorithm.header()))?;
                declared.push(Self::parse(algorithm, text)?);
            }
        }
        Ok(declared)
    }

    /// As a header carries it.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.value)
    }
}

/// A checksum in the making.
pub(super) enum Hasher {
    Crc32(crc_fast::Digest),
    Crc64(crc_fast::Digest),
    Aws(aws::Context),
    Md5(md5::Md5),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Crc32c => Self::Crc32(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc64Nvme => Self::Crc64(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
            Algorithm::Sha1 => Self::Aws(aws::Context::new(&aws::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => Self::Aws(aws::Context::new(&aws::SHA256)),
            Algorithm::Md5 => Self::Md5(md5::Md5::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(digest) | Self::Crc64(digest) => digest.update(bytes),
            Self::Aws(context) => context.update(bytes),
            Self::Md5(digest) => digest.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            // The upper half of a CRC-32 is empty.
            Self::Crc32(digest) => digest.finalize().to_be_bytes()[4..].to_vec(),
            Self::Crc64(digest) => digest.finalize().to_be_bytes().to_vec(),
            Self::Aws(context) => context.finish().as_ref().to_vec(),
            Self::Md5(digest) => digest.finalize().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the CRC catalogue and the digests of "123456789".
    #[test]
    fn check_values() {
        let table = [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
            (Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
        ];
        for (algorithm, check) in table {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"1234");
            hasher.update(b"56789");
            let value = hasher.finish();
            assert_eq!((hex::encode(&value).as_str(), value.len()), (check, algorithm.length()));
        }
    }

    #[test]
    fn a_checksum_of_the_wrong_length_is_refused() {
        assert!(Checksum::parse(Algorithm::Crc32, "y/Q5Jg==").is_ok());
        for wrong in ["", "y/Q5", "y/Q5Jgo=", "****"] {
            assert!(Checksum::parse(Algorithm::Crc32, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn trailers_are_named_in_any_case() {
        assert_eq!(Algorithm::of_trailer("X-Amz-Checksum-CRC32C"), Some(Algorithm::Crc32c));
        assert_eq!(Algorithm::of_trailer("content-md5"), None);
    }
}
