//! `Server-Timing`: how long each step of a request took, in milliseconds.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The steps of a request; those that were not needed are not told.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerTiming {
    /// Finding out who calls.
    pub jwt: Duration,
    /// Reading the request.
    pub parse: Option<Duration>,
    /// Deciding what to do.
    pub plan: Option<Duration>,
    /// The database.
    pub transaction: Option<Duration>,
    /// Making the answer.
    pub response: Duration,
}

impl ServerTiming {
    /// Only the caller is known yet.
    pub(super) fn new(jwt: Duration) -> Self {
        Self { jwt, parse: None, plan: None, transaction: None, response: Duration::ZERO }
    }

    /// Adds the header.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let steps = [
            ("jwt", Some(self.jwt)),
            ("parse", self.parse),
            ("plan", self.plan),
            ("transaction", self.transaction),
            ("response", Some(self.response)),
        ];
        let told: Vec<String> = steps
            .iter()
            .filter_map(|(name, took)| {
                Some(format!("{name};dur={:.1}", took.as_ref()?.as_secs_f64() * 1000.0))
            })
            .collect();
        if let Ok(value) = HeaderValue::try_from(told.join(", ")) {
            headers.insert(HeaderName::from_static("server-timing"), value);
        }
    }
}
