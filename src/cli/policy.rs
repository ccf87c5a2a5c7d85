//! `goforward policy`: its arguments, what it asks of `app`, and what it prints.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::actions::{PackChoice, PolicyFiles, PolicyReport, PolicyTask, Threshold};
use super::arguments::ConfigArguments;

/// The commands about the rules of tables.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Shows where files, stored rules and PostgreSQL differ; changes nothing; exit code 1 if they do
    Diff {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(flatten)]
        files: FileArguments,
    },
    /// Stores the rules of files or of a pack, and brings PostgreSQL to what all stored rules ask for
    Apply {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(flatten)]
        files: FileArguments,
        /// Rules for a common case, see `goforward policy packs`
        #[arg(long, value_name = "PACK", requires = "table", conflicts_with_all = ["file", "dir", "prune"])]
        pack: Option<String>,
        /// The table that the pack is for, as in public.orders
        #[arg(long, value_name = "SCHEMA.TABLE", requires = "pack")]
        table: Option<String>,
        /// A parameter of the pack, as in owner=customer_id; may be given several times
        #[arg(long = "with", value_name = "NAME=VALUE", requires = "pack", value_parser = name_and_value)]
        with: Vec<(String, String)>,
    },
    /// Prints the stored rules as YAML, or writes a file for each table
    Export {
        #[command(flatten)]
        config: ConfigArguments,
        /// The folder to write to; made if it is not there
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Says why a caller may or may not do something with a table; exit code 1 if it may not
    Explain {
        #[command(flatten)]
        config: ConfigArguments,
        /// The table, as in public.orders
        #[arg(value_name = "SCHEMA.TABLE")]
        table: String,
        /// What the caller wants to do: select, insert, update, delete
        #[arg(value_name = "VERB")]
        verb: String,
        /// The caller's claims as a JSON object; without any it is an anonymous one
        #[arg(long, value_name = "JSON", value_parser = json_object, default_value = "{}")]
        claims: Value,
        /// The key of the row in question as a JSON object, as in '{"id": 7}'
        #[arg(long, value_name = "JSON", value_parser = json_object)]
        key: Option<Value>,
        /// Where the caller comes from
        #[arg(long, value_name = "IP")]
        address: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists the packs and their parameters
    Packs,
    /// Says what is wrong with how the database is protected, why, and how to fix it; changes nothing
    Lint {
        #[command(flatten)]
        config: ConfigArguments,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// How bad a finding must be for the exit code 1
        #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = Threshold::Problem)]
        fail_on: Threshold,
    },
}

/// Where rules are read from.
#[derive(Debug, Default, Args)]
pub(super) struct FileArguments {
    /// A file with rules, one YAML document a table; may be given several times
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// A folder of such files (*.yaml, *.yml)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Whether stored rules of tables that no file names are to go
    #[arg(long)]
    prune: bool,
}

fn json_object(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.is_object() {
        Ok(value)
    } else {
        Err("expected a JSON object, as in {\"role\": \"authenticated\"}".to_owned())
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, as in owner=customer_id")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

impl PolicyCommand {
    /// The task, and where the configuration comes from.
    pub(super) fn into_parts(self) -> (ConfigArguments, PolicyTask) {
        match self {
            Self::Diff { config, files } => (config, PolicyTask::Diff(files.into())),
            Self::Apply { config, pack: Some(pack), table, with, .. } => {
                let table = table.unwrap_or_default();
                (config, PolicyTask::ApplyPack(PackChoice { pack, table, settings: with }))
            }
            Self::Apply { config, files, .. } => (config, PolicyTask::Apply(files.into())),
            Self::Export { config, dir } => (config, PolicyTask::Export { dir }),
            Self::Packs => (ConfigArguments::default(), PolicyTask::Packs),
            Self::Explain { config, table, verb, claims, key, address, json } => {
                let (schema, table) = table.split_once('.').unwrap_or(("public", &table));
                let mut question = json!({"claims": claims, "schema": schema, "table": table, "verb": verb});
                if let Some(key) = key {
                    question["key"] = key;
                }
                if let Some(address) = address {
                    question["address"] = address.into();
                }
                (config, PolicyTask::Explain { question, json })
            }
            Self::Lint { config, json, fail_on } => (config, PolicyTask::Lint { json, fail_on }),
        }
    }
}

impl From<FileArguments> for PolicyFiles {
    fn from(arguments: FileArguments) -> Self {
        Self { files: arguments.file, dir: arguments.dir, prune: arguments.prune }
    }
}

/// The report as text: differences or changes first, then what failed.
pub(super) fn report_text(report: &PolicyReport) -> String {
    let mut text = report.text.clone();
    for entry in &report.entries {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", entry.title);
        for line in &entry.details {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}
