//! Turns the body of a request into content, and judges it at its end.

use bytes::Bytes;
use http::HeaderMap;
use subtle::ConstantTimeEq;

use super::super::error::S3Error;
use super::super::signature::ChunkSigner;
use super::PayloadHash;
use super::checksum::{Algorithm, Checksum, Hasher};
use super::chunks::Chunks;

const DECODED_LENGTH: &str = "x-amz-decoded-content-length";
const TRAILER: &str = "x-amz-trailer";

/// Incremental; see the module for what may be done with bytes before [`Decoder::finish`].
pub struct Decoder {
    chunks: Option<Chunks>,
    /// Of the whole content, from `x-amz-content-sha256`.
    sha256: Option<(Hasher, [u8; 32])>,
    /// What is computed, and what it must be; trailers tell at the end.
    checksums: Vec<(Algorithm, Hasher, Option<Checksum>)>,
    expected: Option<u64>,
    length: u64,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("expected", &self.expected)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// Prepares for a body. `digested` says whether the checksums in the headers are of this body.
    pub fn new(
        hash: &PayloadHash,
        signer: ChunkSigner,
        headers: &HeaderMap,
        digested: bool,
    ) -> Result<Self, S3Error> {
        let declared = if digested { Checksum::declared(headers)? } else { Vec::new() };
        let mut decoder = Self::of_plain(declared);
        decoder.expected = content_length(headers)?;
        let mut checksums = std::mem::take(&mut decoder.checksums);
        match hash {
            PayloadHash::Unsigned => {}
            PayloadHash::Sha256(sha256) => decoder.sha256 = Some((Hasher::new(Algorithm::Sha256), *sha256)),
            PayloadHash::Chunked { signed, trailers } => {
                decoder.expected = Some(decoded_length(headers)?);
                let announced = if *trailers { announced(headers)? } else { Vec::new() };
                for algorithm in &announced {
                    if checksums.iter().any(|(known, _, _)| known == algorithm) {
                        return Err(S3Error::invalid("A checksum is in the headers and in the trailers"));
                    }
                    checksums.push((*algorithm, Hasher::new(*algorithm), None));
                }
                decoder.chunks = Some(Chunks::new(signed.then_some(signer), announced));
            }
        }
        decoder.checksums = checksums;
        Ok(decoder)
    }

    /// Prepares for content without framing that must have these checksums.
    pub fn of_plain(checksums: Vec<Checksum>) -> Self {
        let hashed =
            |checksum: Checksum| (checksum.algorithm, Hasher::new(checksum.algorithm), Some(checksum));
        let checksums = checksums.into_iter().map(hashed).collect();
        Self { chunks: None, sha256: None, checksums, expected: None, length: 0 }
    }

    /// The length of the content, where the request says it.
    pub fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// Takes a piece of the body in; gives the content in it.
    pub fn push(&mut self, input: Bytes) -> Result<Vec<Bytes>, S3Error> {
        let mut content = Vec::new();
        match &mut self.chunks {
            Some(chunks) => chunks.push(input, &mut content)?,
            None if input.is_empty() => {}
            None => content.push(input),
        }
        for part in &content {
            self.length += part.len() as u64;
            if let Some((hasher, _)) = &mut self.sha256 {
                hasher.update(part);
            }
            for (_, hasher, _) in &mut self.checksums {
                hasher.update(part);
            }
        }
        match self.expected {
            Some(expected) if self.length > expected => {
                Err(S3Error::invalid("The body is longer than the request says"))
            }
            _ => Ok(content),
        }
    }

    /// The body is over: gives the checksums that hold.
    pub fn finish(self) -> Result<Vec<Checksum>, S3Error> {
        let trailers = self.chunks.map_or(Ok(Vec::new()), Chunks::finish)?;
        if self.expected.is_some_and(|expected| expected != self.length) {
            return Err(S3Error::invalid("The body is shorter than the request says"));
        }
        if let Some((hasher, sha256)) = self.sha256
            && !bool::from(hasher.finish().ct_eq(&sha256))
        {
            return Err(S3Error::InvalidChecksum("x-amz-content-sha256"));
        }
        let mut holding = Vec::with_capacity(self.checksums.len());
        for (algorithm, hasher, declared) in self.checksums {
            let value = hasher.finish();
            let told =
                declared.as_ref().or_else(|| trailers.iter().find(|known| known.algorithm == algorithm));
            let told = told.ok_or_else(|| S3Error::invalid("A trailer of the chunked body is missing"))?;
            if told.value != value {
                return Err(S3Error::InvalidChecksum(algorithm.header()));
            }
            holding.push(Checksum { algorithm, value });
        }
        Ok(holding)
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, S3Error> {
    number(headers, "content-length")
}

fn decoded_length(headers: &HeaderMap) -> Result<u64, S3Error> {
    number(headers, DECODED_LENGTH)?.ok_or(S3Error::MissingContentLength(DECODED_LENGTH))
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, S3Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).map(Some).ok_or(S3Error::InvalidParameter(name))
}

/// The trailers that `x-amz-trailer` announces. A body of a kind with trailers has one at least.
fn announced(headers: &HeaderMap) -> Result<Vec<Algorithm>, S3Error> {
    let mut announced = Vec::new();
    for value in headers.get_all(TRAILER) {
        let text = value.to_str().map_err(|_| S3Error::InvalidParameter(TRAILER))?;
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let algorithm = Algorithm::of_trailer(name).ok_or(S3Error::InvalidParameter(TRAILER))?;
            if !announced.contains(&algorithm) {
                announced.push(algorithm);
            }
        }
    }
    if announced.is_empty() {
        return Err(S3Error::invalid("A chunked body with trailers needs x-amz-trailer"));
    }
    Ok(announced)
}
