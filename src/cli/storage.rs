//! `goforward storage`: its arguments, and what they ask of `app`.

use clap::Subcommand;

use super::actions::StorageTask;
use super::arguments::ConfigArguments;

/// The commands about the bytes of stored objects.
#[derive(Debug, Subcommand)]
pub(super) enum StorageCommand {
    /// Compare the bytes of objects with the rows about them, also beside a running server; exit code 1 if any differ
    Fsck {
        #[command(flatten)]
        config: ConfigArguments,
        /// Remove bytes and rows that nothing names, and mend rows of objects whose bytes are there
        #[arg(long)]
        repair: bool,
        /// Remove objects whose bytes are not there, too
        #[arg(long, requires = "repair")]
        remove_objects: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl StorageCommand {
    /// The task, and where the configuration comes from.
    pub(super) fn into_parts(self) -> (ConfigArguments, StorageTask) {
        match self {
            Self::Fsck { config, repair, remove_objects, json } => {
                (config, StorageTask::Check { repair, remove_objects, json })
            }
        }
    }
}
