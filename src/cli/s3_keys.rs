//! `goforward s3-keys`: its arguments, and what they ask of `app`.

use clap::Subcommand;

use super::actions::S3KeyTask;
use super::arguments::ConfigArguments;

/// The commands about access keys of the S3 protocol.
#[derive(Debug, Subcommand)]
pub(super) enum S3KeysCommand {
    /// Makes a key and prints it; its secret is not shown again
    Create {
        #[command(flatten)]
        config: ConfigArguments,
        /// What people call it
        #[arg(value_name = "NAME", default_value = "")]
        name: String,
        /// The role under which its holder acts; service_role, which passes all policies, unless given
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
        /// The user as whom its holder acts, by claim `sub`
        #[arg(long, value_name = "ID", requires = "role")]
        subject: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists the keys, without their secrets
    List {
        #[command(flatten)]
        config: ConfigArguments,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Takes a key away; requests that are signed with it are refused from now on
    Delete {
        #[command(flatten)]
        config: ConfigArguments,
        /// The access key id
        #[arg(value_name = "ID")]
        id: String,
    },
}

impl S3KeysCommand {
    /// The task, and where the configuration comes from.
    pub(super) fn into_parts(self) -> (ConfigArguments, S3KeyTask) {
        match self {
            Self::Create { config, name, role, subject, json } => {
                (config, S3KeyTask::Create { name, role, subject, json })
            }
            Self::List { config, json } => (config, S3KeyTask::List { json }),
            Self::Delete { config, id } => (config, S3KeyTask::Delete { id }),
        }
    }
}
