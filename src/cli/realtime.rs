//! `goforward channels` and `goforward realtime`: their arguments, and what they ask of `app`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::actions::RealtimeTask;
use super::arguments::ConfigArguments;

/// The commands about definitions of channels.
#[derive(Debug, Subcommand)]
pub(super) enum ChannelsCommand {
    /// Lists the definitions
    List {
        #[command(flatten)]
        config: ConfigArguments,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Says what holds for all channels whose names fit a pattern, in place of what was said of it before
    Set {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(flatten)]
        definition: DefinitionArguments,
    },
    /// Removes the definition of a pattern
    Remove {
        #[command(flatten)]
        config: ConfigArguments,
        /// The pattern, as `goforward channels list` shows it
        #[arg(value_name = "PATTERN")]
        pattern: String,
    },
}

/// What holds for channels. What is not given is as the server's configuration says.
#[derive(Debug, Args)]
pub(super) struct DefinitionArguments {
    /// A name, in which each * stands for any text, as in 'room:*'
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// Accept private joins only
    #[arg(long)]
    private_only: bool,
    /// A role that may join and send; may be given several times; all unless given
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// The most channels joined to one topic on one node
    #[arg(long, value_name = "NUMBER")]
    max_members: Option<u32>,
    /// The largest payload of a message
    #[arg(long, value_name = "BYTES")]
    max_payload_bytes: Option<u32>,
    /// Messages per second that one joined channel may send
    #[arg(long, value_name = "NUMBER")]
    messages_per_second: Option<u32>,
    /// Keep what clients send to private channels for those who join later
    #[arg(long)]
    replay: bool,
}

/// The commands about tables whose changes are followed.
#[derive(Debug, Subcommand)]
pub(super) enum RealtimeCommand {
    /// Has the changes of a table followed from now on
    Publish {
        #[command(flatten)]
        config: ConfigArguments,
        /// The table, as in public.orders
        #[arg(value_name = "SCHEMA.TABLE")]
        table: String,
    },
    /// Has the changes of a table followed no more
    Withdraw {
        #[command(flatten)]
        config: ConfigArguments,
        /// The table, as in public.orders
        #[arg(value_name = "SCHEMA.TABLE")]
        table: String,
    },
    /// Lists the tables whose changes are followed
    Tables {
        #[command(flatten)]
        config: ConfigArguments,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl DefinitionArguments {
    /// As `POST /realtime/v1/api/definitions` takes it.
    fn into_fields(self) -> Map<String, Value> {
        let roles = (!self.role.is_empty()).then_some(self.role);
        let fields = [
            ("pattern", json!(self.pattern)),
            ("private_only", json!(self.private_only)),
            ("roles", json!(roles)),
            ("max_members", json!(self.max_members)),
            ("max_payload_bytes", json!(self.max_payload_bytes)),
            ("messages_per_second", json!(self.messages_per_second)),
            ("replay", json!(self.replay)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl ChannelsCommand {
    /// The task, and where the configuration comes from.
    pub(super) fn into_parts(self) -> (ConfigArguments, RealtimeTask) {
        match self {
            Self::List { config, json } => (config, RealtimeTask::ListDefinitions { json }),
            Self::Set { config, definition } => (config, RealtimeTask::Define(definition.into_fields())),
            Self::Remove { config, pattern } => (config, RealtimeTask::RemoveDefinition { pattern }),
        }
    }
}

impl RealtimeCommand {
    /// The task, and where the configuration comes from.
    pub(super) fn into_parts(self) -> (ConfigArguments, RealtimeTask) {
        match self {
            Self::Publish { config, table } => (config, RealtimeTask::Publish { table }),
            Self::Withdraw { config, table } => (config, RealtimeTask::Withdraw { table }),
            Self::Tables { config, json } => (config, RealtimeTask::ListTables { json }),
        }
    }
}
