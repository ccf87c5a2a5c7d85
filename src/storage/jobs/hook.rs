//! A scanner behind an address: it gets the bytes as the body of a POST and answers with a verdict as JSON.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::scanner::{About, ScanError};
use crate::kernel::outbound::{OutboundClient, OutboundError, Request};
use crate::kernel::secret::Secret;
use crate::storage::blobs::BlobBytes;
use crate::storage::model::scan::Verdict;

/// The largest answer, in bytes.
const LARGEST: usize = 64 * 1024;

/// The hook.
pub(super) struct Hook {
    pub(super) url: Url,
    /// Tells it who asks.
    pub(super) token: Option<Secret>,
    pub(super) client: OutboundClient,
    pub(super) time_limit: Duration,
}

/// `{"verdict": "clean"}`, or `{"verdict": "infected", "found": "Eicar-Test-Signature"}`.
#[derive(Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
enum Answer {
    Clean,
    Infected {
        #[serde(default)]
        found: String,
    },
}

impl Hook {
    /// What it says of these bytes.
    pub(super) async fn scan(&self, about: About<'_>, bytes: BlobBytes) -> Result<Verdict, ScanError> {
        let mut request = Request::post(self.url.clone(), "application/octet-stream", "")
            .time_limit(self.time_limit)
            .size_limit(LARGEST);
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        for (name, value) in [
            ("x-object-version", about.version.to_string()),
            ("x-object-bucket", encoded(about.bucket)),
            ("x-object-name", encoded(about.name)),
            ("x-object-size", about.size.to_string()),
        ] {
            let Ok(value) = HeaderValue::try_from(value) else { continue };
            request = request.header(HeaderName::from_static(name), value);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = self.client.send_stream(request, bytes).await.map_err(|error| match error {
            OutboundError::Connect(_) => ScanError::Unreachable(error.to_string()),
            error => error.into(),
        })?;
        match answer.status {
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Verdict::TooLarge),
            status if status.is_success() => read(&answer.body),
            status => Err(ScanError::Unclear(format!("status {}", status.as_u16()))),
        }
    }
}

fn read(body: &[u8]) -> Result<Verdict, ScanError> {
    match serde_json::from_slice(body) {
        Ok(Answer::Clean) => Ok(Verdict::Clean),
        Ok(Answer::Infected { found }) => Ok(Verdict::infected(&found)),
        Err(error) => Err(ScanError::Unclear(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_word_clean_is_clean() {
        for (body, expected) in [
            (r#"{"verdict":"clean"}"#, Some(Verdict::Clean)),
            (r#"{"verdict":"infected","found":"Eicar"}"#, Some(Verdict::Infected("Eicar".into()))),
            (r#"{"verdict":"infected"}"#, Some(Verdict::Infected(String::new()))),
            (r#"{"verdict":"Clean"}"#, None),
            (r#"{"clean":true}"#, None),
            ("clean", None),
            ("", None),
        ] {
            assert_eq!(read(body.as_bytes()).ok(), expected, "{body}");
        }
    }
}
