//! The framing `aws-chunked`: `<hex size>[;chunk-signature=..]\r\n<bytes>\r\n`, a last chunk of size 0, and trailers.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Buf, Bytes};

use super::super::error::S3Error;
use super::super::signature::ChunkSigner;
use super::checksum::{Algorithm, Checksum};

/// The largest chunk, in bytes (contract section 10).
pub const MAX_CHUNK: u64 = 8 * 1024 * 1024;
/// The longest line of the framing. A line is all that is held back.
const MAX_LINE: usize = 8 * 1024;
/// How many trailers are taken.
const MAX_TRAILERS: usize = 8;

const SIGNATURE: &str = "chunk-signature=";
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Where in the framing the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the line before a chunk.
    Head,
    /// In a chunk; so many bytes are still to come.
    Data(u64),
    /// In the line end behind a chunk.
    DataEnd,
    /// In the lines behind the last chunk.
    Trailers,
    /// Behind everything.
    End,
}

/// Takes the framing off.
pub(super) struct Chunks {
    at: At,
    line: Vec<u8>,
    /// `None` where chunks are not signed.
    signer: Option<ChunkSigner>,
    chunk: Context,
    chunk_signature: Vec<u8>,
    /// The trailers that were announced, in the order of the header.
    announced: Vec<Algorithm>,
    trailers: Vec<Checksum>,
    /// As they are signed: `name:value\n` each.
    signed_trailers: String,
    trailers_hold: bool,
}

impl Chunks {
    pub(super) fn new(signer: Option<ChunkSigner>, announced: Vec<Algorithm>) -> Self {
        Self {
            at: At::Head,
            line: Vec::new(),
            signer,
            chunk: Context::new(&SHA256),
            chunk_signature: Vec::new(),
            announced,
            trailers: Vec::new(),
            signed_trailers: String::new(),
            trailers_hold: false,
        }
    }

    /// Takes bytes in and hands on what of them is content.
    pub(super) fn push(&mut self, mut input: Bytes, content: &mut Vec<Bytes>) -> Result<(), S3Error> {
        while input.has_remaining() {
            match self.at {
                At::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let part = input.split_to(take);
                    if self.signer.is_some() {
                        self.chunk.update(&part);
                    }
                    content.push(part);
                    let left = left - take as u64;
                    self.at = if left == 0 { At::DataEnd } else { At::Data(left) };
                }
                At::Head | At::DataEnd | At::Trailers => {
                    if let Some(line) = self.take_line(&mut input)? {
                        self.line_ends(&line)?;
                    }
                }
                // Some clients send one line end more.
                At::End => match input.get_u8() {
                    b'\r' | b'\n' => {}
                    _ => return Err(S3Error::invalid("The chunked body goes on behind its end")),
                },
            }
        }
        Ok(())
    }

    /// The body is over: checks that the framing is too, and gives the trailers.
    pub(super) fn finish(mut self) -> Result<Vec<Checksum>, S3Error> {
        // The line end of the last line may be missing.
        if self.at == At::Trailers && !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.line_ends(&line)?;
        }
        match self.at {
            At::Trailers | At::End if self.is_complete() => Ok(self.trailers),
            At::Trailers | At::End => Err(S3Error::invalid("A trailer of the chunked body is missing")),
            At::Head | At::Data(_) | At::DataEnd => {
                Err(S3Error::invalid("The chunked body ends before its last chunk"))
            }
        }
    }

    fn take_line(&mut self, input: &mut Bytes) -> Result<Option<Vec<u8>>, S3Error> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let part = input.split_to(end.map_or(input.len(), |end| end + 1));
        if self.line.len() + part.len() > MAX_LINE {
            return Err(S3Error::invalid("A line of the chunked body is too long"));
        }
        self.line.extend_from_slice(&part);
        Ok(end.is_some().then(|| std::mem::take(&mut self.line)))
    }

    fn line_ends(&mut self, line: &[u8]) -> Result<(), S3Error> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.at {
            At::Head => self.head(line),
            At::DataEnd if line.is_empty() => self.chunk_ends(),
            At::Trailers => self.trailer(line),
            At::DataEnd | At::Data(_) | At::End => Err(S3Error::invalid("A chunk is longer than it says")),
        }
    }

    fn head(&mut self, line: &[u8]) -> Result<(), S3Error> {
        let wrong = || S3Error::invalid("A chunk does not begin with its size");
        let line = String::from_utf8_lossy(line);
        let (size, extension) = line.split_once(';').unwrap_or((&line, ""));
        if size.is_empty() || size.len() > 16 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let size = u64::from_str_radix(size, 16).map_err(|_| wrong())?;
        if size > MAX_CHUNK {
            return Err(S3Error::invalid("A chunk is larger than 8 MB"));
        }
        if self.signer.is_some() {
            let signature = extension.trim().strip_prefix(SIGNATURE).ok_or(S3Error::SignatureDoesNotMatch)?;
            self.chunk_signature = signature.as_bytes().to_vec();
        }
        if size > 0 {
            self.at = At::Data(size);
            return Ok(());
        }
        self.check_chunk()?;
        self.at = At::Trailers;
        Ok(())
    }

    fn chunk_ends(&mut self) -> Result<(), S3Error> {
        self.at = At::Head;
        self.check_chunk()
    }

    fn check_chunk(&mut self) -> Result<(), S3Error> {
        let Some(signer) = &mut self.signer else { return Ok(()) };
        let digest = std::mem::replace(&mut self.chunk, Context::new(&SHA256)).finish();
        if signer.follows(digest.as_ref(), &self.chunk_signature) {
            Ok(())
        } else {
            Err(S3Error::SignatureDoesNotMatch)
        }
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), S3Error> {
        if line.is_empty() {
            // Some clients put an empty line between trailers and their signature.
            if self.is_complete() {
                self.at = At::End;
            }
            return Ok(());
        }
        let line = std::str::from_utf8(line).map_err(|_| S3Error::invalid("A trailer is not text"))?;
        let (name, value) = line.split_once(':').ok_or_else(|| S3Error::invalid("A trailer has no name"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == TRAILER_SIGNATURE {
            return self.trailers_end(value);
        }
        let algorithm = Algorithm::of_trailer(&name).filter(|known| self.announced.contains(known));
        let algorithm = algorithm.ok_or_else(|| S3Error::invalid("A trailer was not announced"))?;
        let again = self.trailers.iter().any(|known| known.algorithm == algorithm);
        if again || self.trailers_hold || self.trailers.len() == MAX_TRAILERS {
            return Err(S3Error::invalid("A trailer is out of place"));
        }
        self.trailers.push(Checksum::parse(algorithm, value)?);
        self.signed_trailers.extend([name.as_str(), ":", value, "\n"]);
        Ok(())
    }

    fn trailers_end(&mut self, signature: &str) -> Result<(), S3Error> {
        let Some(signer) = &mut self.signer else { return Ok(()) };
        if self.trailers_hold || self.announced.is_empty() {
            return Err(S3Error::invalid("A trailer is out of place"));
        }
        if !signer.closes(&self.signed_trailers, signature.as_bytes()) {
            return Err(S3Error::SignatureDoesNotMatch);
        }
        self.trailers_hold = true;
        Ok(())
    }

    /// Whether all that was announced has come, and its signature (H06).
    fn is_complete(&self) -> bool {
        let signed = self.signer.is_none() || self.announced.is_empty() || self.trailers_hold;
        signed && self.trailers.len() == self.announced.len()
    }
}
