//! Who scans, whatever language it speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use url::Url;
use uuid::Uuid;

use super::SettingError;
use super::clamd::Clamd;
use super::hook::Hook;
use crate::kernel::config::ScanConfig;
use crate::kernel::outbound::{OutboundClient, OutboundError};
use crate::storage::blobs::BlobBytes;
use crate::storage::model::scan::Verdict;

const URL: &str = "storage.scan.url";
/// How the error of a job begins that failed since the scanner is away: what it failed for is no fault of its object.
pub(super) const UNREACHABLE: &str = "the scanner cannot be reached";

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    /// It cannot be reached, whatever it would be asked about. Written as [`UNREACHABLE`] begins.
    #[error("{away}: {0}", away = UNREACHABLE)]
    Unreachable(String),
    /// The exchange broke, or took too long.
    #[error("the scanner cannot be asked: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes cannot be read.
    #[error("the object cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// There are none under this version: it may have been replaced.
    #[error("the object has no bytes")]
    Missing,
    /// There are more or fewer bytes than the object says.
    #[error("the object has another size than it says")]
    OtherSize,
    /// The same, of a hook.
    #[error("the scanner cannot be asked: {0}")]
    Outbound(#[from] OutboundError),
    /// It says something else than a verdict.
    #[error("the scanner gives no verdict: {0}")]
    Unclear(String),
    /// It called something clean of which it did not take all bytes.
    #[error("the scanner did not read the object to its end")]
    Unread,
}

/// What is told of an object beside its bytes.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) version: Uuid,
    pub(super) bucket: &'a str,
    pub(super) name: &'a str,
    /// In bytes.
    pub(super) size: u64,
}

enum Kind {
    Clamd(Clamd),
    Hook(Hook),
}

/// The configured scanner.
pub struct Scanner(Kind);

impl Scanner {
    /// As the configuration says; none where nothing is scanned. A hook is called through `client`.
    pub fn new(config: &ScanConfig, client: OutboundClient) -> Result<Option<Self>, SettingError> {
        let Some(url) = config.url.as_deref() else { return Ok(None) };
        let kind = match url.split_once(':') {
            Some(("unix", path)) => Kind::Clamd(Clamd::Unix(path.trim_start_matches("//").into())),
            Some(("tcp", address)) => Kind::Clamd(Clamd::Tcp(tcp(address)?)),
            Some(("http" | "https", _)) => {
                let url = Url::parse(url).map_err(|error| SettingError::new(URL, error.to_string()))?;
                Kind::Hook(Hook {
                    url,
                    token: config.token.clone(),
                    client,
                    time_limit: config.time_limit.get(),
                })
            }
            _ => return Err(SettingError::new(URL, "must begin with tcp:, unix:, http: or https:")),
        };
        Ok(Some(Self(kind)))
    }

    /// What it says of an object. It is clean only where all of its bytes went out.
    pub(super) async fn scan(&self, about: About<'_>, bytes: BlobBytes) -> Result<Verdict, ScanError> {
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let bytes = bytes.inspect(move |piece| {
            let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            counter.fetch_add(length, Ordering::SeqCst);
        });
        let bytes = bytes.boxed();
        let verdict = match &self.0 {
            Kind::Clamd(clamd) => clamd.scan(bytes).await?,
            Kind::Hook(hook) => hook.scan(about, bytes).await?,
        };
        if verdict == Verdict::Clean && sent.load(Ordering::SeqCst) != about.size {
            return Err(ScanError::Unread);
        }
        Ok(verdict)
    }
}

/// Host and port.
fn tcp(address: &str) -> Result<String, SettingError> {
    let address = address.trim_start_matches("//").trim_end_matches('/');
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(_) => Ok(address.to_owned()),
        None => Err(SettingError::new(URL, "must be like tcp://127.0.0.1:3310")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::outbound::OutboundOptions;

    #[test]
    fn the_scheme_says_who_scans() {
        let client = OutboundClient::new(OutboundOptions::default()).unwrap();
        let made = |url: Option<&str>| {
            let config = ScanConfig { url: url.map(str::to_owned), ..ScanConfig::default() };
            Scanner::new(&config, client.clone())
        };
        assert!(made(None).unwrap().is_none());
        for (url, expected) in [
            ("tcp://127.0.0.1:3310", "127.0.0.1:3310"),
            ("tcp://[::1]:3310/", "[::1]:3310"),
            ("tcp:clamd:3310", "clamd:3310"),
            ("unix:/run/clamd.ctl", "/run/clamd.ctl"),
            ("unix:///run/clamd.ctl", "/run/clamd.ctl"),
            ("https://scanner.example.com/scan", "https://scanner.example.com/scan"),
        ] {
            let scanner = made(Some(url)).unwrap().unwrap();
            let place = match scanner.0 {
                Kind::Clamd(Clamd::Tcp(address)) => address,
                Kind::Clamd(Clamd::Unix(path)) => path.display().to_string(),
                Kind::Hook(hook) => hook.url.to_string(),
            };
            assert_eq!(place, expected);
        }
        for wrong in ["", "clamd", "tcp://clamd", "tcp://:3310", "tcp://clamd:x", "ftp://x", "https://"] {
            assert!(made(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
