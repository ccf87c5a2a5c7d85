//! The canonical request: the one text that client and server agree on for a request.

use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};

use super::super::error::S3Error;
use super::super::query::Query;

/// Everything but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ENCODED_IN_PATHS: &AsciiSet = &ENCODED.remove(b'/');

/// The parts of a request that a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as the client sent it: with the public prefix, still encoded.
    pub path: &'a str,
    /// The host as the client addressed it: `Host`, or what a trusted proxy says it was.
    pub host: &'a str,
    /// The query.
    pub query: &'a Query,
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// How the path was written when it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathForm {
    /// Every byte but the unreserved ones encoded, as the specification has it.
    Encoded,
    /// As it was sent: some clients sign what they send.
    Sent,
}

impl SignedRequest<'_> {
    /// Builds the text. `without` names a query parameter that is left out: the signature itself.
    ///
    /// A header that is signed but not there makes the signature wrong.
    pub(super) fn canonical(
        &self,
        signed_headers: &[String],
        payload_hash: &str,
        without: Option<&str>,
        path: PathForm,
    ) -> Result<String, S3Error> {
        let path = match path {
            PathForm::Encoded => {
                percent_encode(&percent_decode_str(self.path).collect::<Vec<u8>>(), ENCODED_IN_PATHS)
                    .to_string()
            }
            PathForm::Sent => self.path.to_owned(),
        };
        let mut text = format!("{}\n{path}\n{}\n", self.method, self.canonical_query(without));
        for name in signed_headers {
            let value = self.canonical_header(name).ok_or(S3Error::SignatureDoesNotMatch)?;
            text.extend([name.as_str(), ":", &value, "\n"]);
        }
        text.extend(["\n", &signed_headers.join(";"), "\n", payload_hash]);
        Ok(text)
    }

    fn canonical_query(&self, without: Option<&str>) -> String {
        let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let mut pairs: Vec<(String, String)> = self
            .query
            .iter()
            .filter(|(name, _)| Some(*name) != without)
            .map(|(name, value)| (encode(name), encode(value)))
            .collect();
        pairs.sort_unstable();
        let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }

    fn canonical_header(&self, name: &str) -> Option<String> {
        if name == "host" {
            return Some(self.host.to_owned());
        }
        let mut values = self.headers.get_all(name).iter().peekable();
        values.peek()?;
        let values: Vec<String> = values
            .map(|value| {
                let text = String::from_utf8_lossy(value.as_bytes());
                text.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        Some(values.join(","))
    }

    /// One value of a header as text; more than one is refused.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>, S3Error> {
        let mut values = self.headers.get_all(name).iter();
        let Some(first) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(S3Error::invalid(format!("The header {name} is given more than once")));
        }
        let text = first.to_str().map_err(|_| S3Error::invalid(format!("The header {name} is not text")))?;
        Ok(Some(text))
    }
}

/// A key as `encoding-type=url` writes it: encoded, its slashes kept.
pub(in super::super) fn encode_path(text: &str) -> String {
    utf8_percent_encode(text, ENCODED_IN_PATHS).to_string()
}
