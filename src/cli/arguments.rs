//! The tree of commands and their arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use super::actions::Service;
use super::policy::PolicyCommand;
use super::realtime::{ChannelsCommand, RealtimeCommand};
use super::s3_keys::S3KeysCommand;
use super::storage::StorageCommand;

/// How to begin, below the list of commands.
const START: &str = "`goforward serve` needs no configuration. `goforward config print` shows all settings.";

/// How to set what has no flag, below the flags of `serve`.
const SETTINGS: &str = "Every setting, such as server.port, can stand in the file, in the environment \
    (GOFORWARD_SERVER__PORT=9000) or after --set. `goforward config print` shows all of them with their values.";

/// A complete backend on PostgreSQL in one binary.
#[derive(Debug, Parser)]
#[command(name = "goforward", version, about, propagate_version = true, after_help = START)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server, with a PostgreSQL of its own unless a database is configured
    #[command(after_help = SETTINGS)]
    Serve(Serve),
    /// Show the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the API URL, the API keys and the secrets of this installation
    #[command(args_conflicts_with_subcommands = true)]
    Keys {
        #[command(subcommand)]
        command: Option<KeysCommand>,
        #[command(flatten)]
        config: ConfigArguments,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the database and say what is missing, what that means, and the SQL that helps
    Doctor {
        #[command(flatten)]
        config: ConfigArguments,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask the running server whether it is ready; exit code 1 if not
    Health {
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Compare, change and show the rules of tables, and lint how the database is protected
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// List and change what holds for channels of realtime, by their names
    Channels {
        #[command(subcommand)]
        command: ChannelsCommand,
    },
    /// List and change the tables whose changes are followed
    Realtime {
        #[command(subcommand)]
        command: RealtimeCommand,
    },
    /// Make, list and delete access keys of the S3 protocol
    S3Keys {
        #[command(subcommand)]
        command: S3KeysCommand,
    },
    /// Look after the bytes of stored objects
    Storage {
        #[command(subcommand)]
        command: StorageCommand,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Encrypt stored secrets anew under auth.root_secret; those under auth.previous_root_secrets are opened
    Rotate {
        #[command(flatten)]
        config: ConfigArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every value and where it came from; secrets are masked
    Print {
        #[command(flatten)]
        config: ConfigArguments,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Only what differs from the defaults
        #[arg(long)]
        changed: bool,
    },
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ConfigArguments {
    /// Configuration file (YAML); also GOFORWARD_CONFIG
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Settings as in postgrest.conf; sets rest.profile to postgrest; also GOFORWARD_POSTGREST_CONFIG
    #[arg(long, value_name = "FILE")]
    pub(super) postgrest_config: Option<PathBuf>,
    /// Directory of the embedded PostgreSQL and the generated keys
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Any other key, as in --set rest.max_rows=500; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(super) set: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) config: ConfigArguments,
    /// Services to run, separated by commas: rest, auth; all unless given
    #[arg(long, value_name = "SERVICE", value_enum, value_delimiter = ',', hide_possible_values = true)]
    pub(super) only: Vec<Service>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Port of the admin listener (health and metrics)
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// How bad something must be to be logged: error, warn, info, debug, trace, off
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Serve {
    /// The flags that stand for keys of the configuration: flag, key, value.
    pub(super) fn flags(&self) -> Vec<(&'static str, &'static str, Value)> {
        let flags = [
            ("--host", "server.host", self.host.clone().map(Value::from)),
            ("--port", "server.port", self.port.map(Value::from)),
            ("--admin-port", "server.admin_port", self.admin_port.map(Value::from)),
            ("--log-level", "log.level", self.log_level.clone().map(Value::from)),
        ];
        flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?))).collect()
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, as in rest.max_rows=500")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
