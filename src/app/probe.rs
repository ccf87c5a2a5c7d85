//! Asks a running server whether it is ready, for `goforward health`: what a container's health check calls.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::address;
use crate::app::error::AppError;
use crate::kernel::config::Config;

/// Longer than the server's own check takes at most.
const PATIENCE: Duration = Duration::from_secs(4);
/// Far more than the answer to a probe.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// Whether the server with this configuration, on this machine, can serve requests.
pub(super) async fn ready(config: &Config) -> Result<(), AppError> {
    let address = probed(config)?;
    let answer = match tokio::time::timeout(PATIENCE, ask(&address)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(ErrorKind::TimedOut, "no answer in time")),
    };
    let answer = answer.map_err(|cause| AppError::NoAnswer { address: address.clone(), cause })?;
    match reason(&answer) {
        None => Ok(()),
        Some(reason) => Err(AppError::NotReady { address, reason }),
    }
}

/// Where the probes are: on the admin listener if there is one, which says more.
fn probed(config: &Config) -> Result<String, AppError> {
    let server = &config.server;
    let (host, port) = match server.admin_port {
        Some(port) => (&server.admin_host, port),
        None if config.rest.prefix.is_empty() => {
            return Err(AppError::NoProbe("server.admin_port is not set"));
        }
        None => (&server.host, server.port),
    };
    if port == 0 {
        return Err(AppError::NoProbe("the port is 0, so a free one was taken"));
    }
    Ok(address::on_this_machine(host, port))
}

async fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Why the server is not ready; none if it is.
fn reason(answer: &str) -> Option<String> {
    let status = answer.split_ascii_whitespace().nth(1).unwrap_or("nothing");
    if answer.starts_with("HTTP/1.1 ") && status == "200" {
        return None;
    }
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let told = serde_json::from_str::<Value>(body).ok();
    let told = told.as_ref().and_then(|body| body["reason"].as_str());
    Some(told.map_or_else(|| format!("it answers with {status}"), ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Config)) -> Result<String, String> {
        let mut config = Config::default();
        change(&mut config);
        probed(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_probe_is_asked_where_the_server_listens() {
        assert_eq!(with(|_| {}).unwrap(), "127.0.0.1:8000");
        for (host, expected) in [
            ("0.0.0.0", "127.0.0.1:8000"),
            ("::", "[::1]:8000"),
            ("::1", "[::1]:8000"),
            ("db.local", "db.local:8000"),
        ] {
            assert_eq!(with(|config| config.server.host = host.to_owned()).unwrap(), expected);
        }
        assert_eq!(with(|config| config.server.admin_port = Some(9)).unwrap(), "127.0.0.1:9");
        let error = with(|config| config.server.port = 0).unwrap_err();
        assert!(error.contains("server.admin_port"), "{error}");
        let error = with(|config| config.rest.prefix.clear()).unwrap_err();
        assert!(error.contains("server.admin_port"), "{error}");
    }

    #[test]
    fn only_200_is_ready_and_the_reason_is_passed_on() {
        let answer = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nx: y\r\n\r\n{body}");
        assert_eq!(reason(&answer("200 OK", "{}")), None);
        let told = answer("503 Service Unavailable", r#"{"status":"unavailable","reason":"no catalog"}"#);
        assert_eq!(reason(&told).as_deref(), Some("no catalog"));
        assert_eq!(reason(&answer("503 x", "{}")).as_deref(), Some("it answers with 503"));
        assert_eq!(reason("SSH-2.0-x").as_deref(), Some("it answers with nothing"));
        assert_eq!(reason("220 200 hello").as_deref(), Some("it answers with 200"));
    }
}
