//! The texts that commands print. Secrets are shown where the operator asked for them by `goforward keys`, and at the
//! start only on a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use serde_json::{Value, json};

use super::actions::{Finding, Keys, StartReport};
use crate::kernel::secret::Secret;

/// The text without line breaks.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is wrong with the usage as one line, from the paragraphs that clap writes.
pub(super) fn usage_line(text: &str) -> String {
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let parts: Vec<&str> = said
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .collect();
    format!("{}; for more information, try '--help'", parts.join("; "))
}

/// The keys by their names.
fn named(keys: &Keys) -> [(&'static str, Option<&str>); 5] {
    fn text(secret: Option<&Secret>) -> Option<&str> {
        secret.map(Secret::expose)
    }
    [
        ("api_url", Some(&keys.api_url)),
        ("anon_key", text(keys.anon_key.as_ref())),
        ("service_role_key", text(keys.service_role_key.as_ref())),
        ("jwt_secret", text(keys.jwt_secret.as_ref())),
        ("database_url", text(keys.database_url.as_ref())),
    ]
}

/// The keys as one JSON object; what there is not is null.
pub(super) fn keys_json(keys: &Keys) -> String {
    let object: Value = named(keys).into_iter().map(|(name, text)| (name.to_owned(), json!(text))).collect();
    format!("{object:#}\n")
}

/// The keys as lines; what there is not is left out.
pub(super) fn keys_text(keys: &Keys) -> String {
    let mut text = String::new();
    for (name, value) in named(keys) {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:16}  {value}");
        }
    }
    text
}

/// The findings as a JSON list.
pub(super) fn findings_json(findings: &[Finding]) -> String {
    let list: Value = findings
        .iter()
        .map(|finding| {
            json!({
                "severity": finding.severity.as_str(), "title": finding.title,
                "meaning": finding.meaning, "sql": finding.sql,
            })
        })
        .collect();
    format!("{list:#}\n")
}

/// The findings as paragraphs.
pub(super) fn findings_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "[{}] {}", finding.severity.as_str(), finding.title);
        for line in finding.meaning.lines() {
            let _ = writeln!(text, "    {line}");
        }
        for line in finding.sql.iter().flat_map(|sql| sql.lines()) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}

/// The report as paragraphs for a terminal.
pub(super) fn start_text(report: &StartReport) -> String {
    let mut text = format!(
        "\n  goforward {} is ready after {} ms ({})\n\n",
        env!("CARGO_PKG_VERSION"),
        report.started_in_millis,
        report.environment
    );
    let data_dir = report.data_dir.as_ref().map(|path| path.display().to_string());
    let keys = &report.keys;
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let rows = [
        ("API URL", Some(keys.api_url.clone())),
        ("Admin URL", report.admin_url.clone()),
        ("Database", Some(report.database.clone())),
        ("Data", data_dir),
        ("Anon key", secret(&keys.anon_key)),
        ("Service key", secret(&keys.service_role_key)),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:12} {value}");
        }
    }
    text.push_str(
        "\n  The service key may do everything: keep it on servers. `goforward keys` shows all again.\n\n",
    );
    text
}

/// Tells the operator that the server answers: a report with secrets on a terminal; elsewhere one log line
/// without secrets, so that the log stays one stream.
pub(super) fn show_start(report: &StartReport) {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        // The server runs on without a reader.
        let _ = out.write_all(start_text(report).as_bytes());
        return;
    }
    drop(out);
    let data_dir = report.data_dir.as_ref().map(|path| path.display().to_string());
    tracing::info!(
        api_url = report.keys.api_url,
        admin_url = report.admin_url,
        anon_key = report.keys.anon_key.as_ref().map(Secret::expose),
        database = report.database,
        data_dir,
        environment = report.environment.as_str(),
        started_in_millis = report.started_in_millis,
        "goforward is ready"
    );
}
