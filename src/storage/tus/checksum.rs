//! `Upload-Checksum` (TUS 1.0, Checksum): what the bytes of one request must come to.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::storage::error::StorageError;

/// What `Tus-Checksum-Algorithm` says.
pub(super) const ALGORITHMS: &str = "sha1,md5,sha256";

/// A checksum that is computed while bytes come, against the one that was announced.
pub(super) struct Checksum {
    expected: Vec<u8>,
    running: Running,
}

enum Running {
    /// SHA-1 or SHA-256.
    Sha(digest::Context),
    Md5(Box<Md5>),
}

impl Checksum {
    /// Reads the header.
    pub(super) fn parse(header: &str) -> Result<Self, StorageError> {
        let invalid = |reason: &str| StorageError::InvalidRequest(reason.to_owned());
        let (name, value) = header
            .trim()
            .split_once(' ')
            .ok_or_else(|| invalid("Upload-Checksum must be an algorithm and a checksum in base64"))?;
        let (running, length) = match name {
            "sha1" => (Running::Sha(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)), 20),
            "sha256" => (Running::Sha(digest::Context::new(&digest::SHA256)), 32),
            "md5" => (Running::Md5(Box::default()), 16),
            _ => return Err(invalid("Upload-Checksum must be by one of sha1, md5 and sha256")),
        };
        let expected = STANDARD.decode(value.trim()).ok().filter(|bytes| bytes.len() == length);
        let expected = expected.ok_or_else(|| invalid("Upload-Checksum is no checksum in base64"))?;
        Ok(Self { expected, running })
    }

    /// Takes more bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Sha(context) => context.update(bytes),
            Running::Md5(context) => context.update(bytes),
        }
    }

    /// Whether the bytes are those that were meant. It finds damage, not forgery: nothing about it is secret.
    pub(super) fn holds(self) -> bool {
        match self.running {
            Running::Sha(context) => context.finish().as_ref() == self.expected,
            Running::Md5(context) => context.finalize()[..] == self.expected[..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_that_were_meant_or_not() {
        for (header, holds) in [
            ("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", true),
            ("md5 XUFAKrxLKna5cZ2REBfFkg==", true),
            ("sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", true),
            ("sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=", false),
        ] {
            let mut checksum = Checksum::parse(header).unwrap();
            for piece in [b"he".as_slice(), b"", b"llo"] {
                checksum.update(piece);
            }
            assert_eq!(checksum.holds(), holds, "{header}");
        }
    }

    #[test]
    fn other_algorithms_and_lengths_are_refused() {
        for header in
            ["", "sha1", "sha1 ", "sha1 AAAA", "crc32 AAAA", "md5 ?", "SHA1 qvTGHdzF6KLavt4PO0gs2a6pQ00="]
        {
            assert!(Checksum::parse(header).is_err(), "{header}");
        }
    }
}
