//! PostgreSQL's standard error goes into our log, line by line, each line bounded; the last lines are kept for errors.
//!
//! Levels: what PostgreSQL calls ERROR is a statement that failed and was answered to whoever sent it, so it is `info`
//! here; FATAL ends one connection (`warn`); PANIC ends the server (`error`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

/// Longer lines are cut here.
const MAX_LINE_BYTES: usize = 4096;
/// How many lines are kept to explain a failed start.
const KEPT_LINES: usize = 6;
const TARGET: &str = "postgres";

/// The last lines of a process, shared between the task that reads and the one that explains.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Forgets what was said: before a new attempt.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The kept lines as one.
    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

/// Reads until the writers are gone.
pub(super) async fn forward(stream: impl AsyncRead + Unpin, tail: Tail) {
    let mut reader = BufReader::new(stream);
    while let Some(line) = next_line(&mut reader).await {
        let line = String::from_utf8_lossy(&line);
        let (severity, text) = split(line.trim_end());
        if text.is_empty() {
            continue;
        }
        match severity {
            Severity::Debug => tracing::debug!(target: TARGET, "{text}"),
            Severity::Info => tracing::info!(target: TARGET, "{text}"),
            Severity::Warning => tracing::warn!(target: TARGET, "{text}"),
            Severity::Error => tracing::error!(target: TARGET, "{text}"),
        }
        tail.push(text.to_owned());
    }
}

/// One line without its end, cut at [`MAX_LINE_BYTES`]; `None` at the end or on an error.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf().await.ok()?;
        if chunk.is_empty() {
            return (!line.is_empty()).then_some(line);
        }
        let end = memchr::memchr(b'\n', chunk);
        let taken = end.unwrap_or(chunk.len());
        let room = MAX_LINE_BYTES.saturating_sub(line.len()).min(taken);
        line.extend_from_slice(&chunk[..room]);
        reader.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Some(line);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Debug,
    Info,
    Warning,
    Error,
}

/// The severity of a line and its text without the word for it (`LOG:  text`, PostgreSQL manual 20.8.2).
fn split(line: &str) -> (Severity, &str) {
    let Some((word, text)) = line.split_once(":  ") else { return (Severity::Info, line.trim()) };
    let severity = match word {
        "LOG" | "INFO" | "NOTICE" | "ERROR" => Severity::Info,
        "WARNING" | "FATAL" => Severity::Warning,
        "PANIC" => Severity::Error,
        "DEBUG1" | "DEBUG2" | "DEBUG3" | "DEBUG4" | "DEBUG5" => Severity::Debug,
        // DETAIL, HINT, CONTEXT and the like keep their word: it says how they belong to the line before.
        _ => return (Severity::Info, line.trim()),
    };
    (severity, text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_of_postgresql_become_ours() {
        assert_eq!(split("LOG:  ready"), (Severity::Info, "ready"));
        assert_eq!(split("ERROR:  duplicate key"), (Severity::Info, "duplicate key"));
        assert_eq!(split("FATAL:  no pg_hba.conf entry"), (Severity::Warning, "no pg_hba.conf entry"));
        assert_eq!(split("PANIC:  could not write"), (Severity::Error, "could not write"));
        assert_eq!(split("HINT:  try this"), (Severity::Info, "HINT:  try this"));
        assert_eq!(split("\tcontinued"), (Severity::Info, "continued"));
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_only_the_last_are_kept() {
        let mut text = "x".repeat(3 * MAX_LINE_BYTES);
        text.push_str("\nLOG:  last");
        let tail = Tail::default();

        for _ in 0..KEPT_LINES {
            forward(text.as_bytes(), tail.clone()).await;
        }

        assert!(tail.text().ends_with("| last"));
        assert!(tail.text().len() < KEPT_LINES * (MAX_LINE_BYTES + 3));
    }
}
