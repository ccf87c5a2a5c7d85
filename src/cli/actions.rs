//! What the commands need done, as a trait, and what they get back. `app` does it; the command line only asks
//! and prints.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::kernel::config::{ConfigError, Environment, Loaded};
use crate::kernel::secret::Secret;
use crate::kernel::telemetry::{LogLevels, LogSink};

/// Any failure; its text is shown as one line.
pub type ActionError = Box<dyn std::error::Error + Send + Sync>;

/// What the commands need done.
pub trait Actions {
    /// Runs the server until it is asked to stop; calls `options.on_ready` once it answers.
    fn serve(&self, loaded: Loaded, options: ServeOptions) -> impl Future<Output = Result<(), ActionError>>;

    /// Finds the keys of this installation; starts nothing.
    fn keys(&self, loaded: Loaded) -> impl Future<Output = Result<Keys, ActionError>>;

    /// Seals what the database holds anew, under the root secret of the configuration; servers may run meanwhile.
    fn rotate_keys(&self, loaded: Loaded) -> impl Future<Output = Result<KeyRotation, ActionError>>;

    /// Asks the server of this configuration, on this machine, whether it is ready; an error says why it is not.
    fn health(&self, loaded: Loaded) -> impl Future<Output = Result<(), ActionError>>;

    /// Checks the database.
    fn doctor(&self, loaded: Loaded) -> impl Future<Output = Result<Vec<Finding>, ActionError>>;

    /// Compares, changes or shows the rules of tables, or lints the database; needs no running server.
    fn policy(
        &self,
        loaded: Loaded,
        task: PolicyTask,
    ) -> impl Future<Output = Result<PolicyReport, ActionError>>;

    /// Lists or changes definitions of channels, or the tables whose changes are followed; needs no running server. Gives the
    /// text to print.
    fn realtime(
        &self,
        loaded: Loaded,
        task: RealtimeTask,
    ) -> impl Future<Output = Result<String, ActionError>>;

    /// Makes, lists or takes away access keys of the S3 protocol; needs no running server. Gives the text to print.
    fn s3_keys(&self, loaded: Loaded, task: S3KeyTask) -> impl Future<Output = Result<String, ActionError>>;

    /// Compares the bytes of stored objects with the rows about them; servers may run meanwhile.
    fn storage(
        &self,
        loaded: Loaded,
        task: StorageTask,
    ) -> impl Future<Output = Result<StorageReport, ActionError>>;
}

/// What to do with access keys of the S3 protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3KeyTask {
    /// Make one.
    Create {
        /// What people call it.
        name: String,
        /// The role of its holder; that of servers unless given.
        role: Option<String>,
        /// The user as whom its holder acts.
        subject: Option<String>,
        /// As JSON, and not as text for people.
        json: bool,
    },
    /// List them.
    List {
        /// As JSON, and not as text for people.
        json: bool,
    },
    /// Take one away.
    Delete {
        /// Its id.
        id: String,
    },
}

/// What to do with the bytes of stored objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageTask {
    /// Compare them with the rows about them.
    Check {
        /// Mend what can be mended without loss.
        repair: bool,
        /// Remove objects that have no bytes, too.
        remove_objects: bool,
        /// As JSON, and not as text for people.
        json: bool,
    },
}

/// What was found about the bytes of stored objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageReport {
    /// Text to print as it is.
    pub text: String,
    /// Whether the exit code shall say that there is something to do.
    pub differs: bool,
}

/// What to do with channels and the tables that are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RealtimeTask {
    /// List the definitions of channels.
    ListDefinitions {
        /// As JSON, and not as text for people.
        json: bool,
    },
    /// Store a definition, as `POST /realtime/v1/api/definitions` takes it, in place of the one of its pattern.
    Define(serde_json::Map<String, serde_json::Value>),
    /// Remove the definition of a pattern.
    RemoveDefinition {
        /// The pattern.
        pattern: String,
    },
    /// List the tables whose changes are followed.
    ListTables {
        /// As JSON, and not as text for people.
        json: bool,
    },
    /// Have the changes of a table followed.
    Publish {
        /// The table, as schema and name with a dot between.
        table: String,
    },
    /// Have them followed no more.
    Withdraw {
        /// The table, as schema and name with a dot between.
        table: String,
    },
}

/// What to do with the rules of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyTask {
    /// Compare files, stored rules and PostgreSQL.
    Diff(PolicyFiles),
    /// Store the rules of files, and bring PostgreSQL to them.
    Apply(PolicyFiles),
    /// Store the rules of a pack, and bring PostgreSQL to them.
    ApplyPack(PackChoice),
    /// Give the stored rules as files.
    Export {
        /// The folder to write to; none to print them.
        dir: Option<PathBuf>,
    },
    /// List the packs.
    Packs,
    /// Say why a caller may or may not do something with a table.
    Explain {
        /// The question, as `POST /security/v1/explain` takes it.
        question: serde_json::Value,
        /// As JSON, and not as text for people.
        json: bool,
    },
    /// Say what is wrong with how the database is protected.
    Lint {
        /// As JSON, and not as text for people.
        json: bool,
        /// How bad a finding must be for the exit code to say so.
        fail_on: Threshold,
    },
}

/// Files with rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Single files.
    pub files: Vec<PathBuf>,
    /// A folder of files.
    pub dir: Option<PathBuf>,
    /// Whether stored rules of tables that no file names are to go.
    pub prune: bool,
}

/// A pack for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackChoice {
    /// The pack's name.
    pub pack: String,
    /// The table, as schema and name with a dot between; the first exposed schema without one.
    pub table: String,
    /// The parameters that are set.
    pub settings: Vec<(String, String)>,
}

/// What was found or done about the rules of tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyReport {
    /// Text to print as it is.
    pub text: String,
    /// What differs, or what was changed.
    pub entries: Vec<PolicyEntry>,
    /// What could not be done, a line each.
    pub failures: Vec<String>,
    /// Whether the exit code shall say that there is something to do.
    pub differs: bool,
}

/// One difference or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEntry {
    /// In one line.
    pub title: String,
    /// The rules that differ, or the SQL.
    pub details: Vec<String>,
}

/// Receives the report once the server answers.
pub type OnReady = Box<dyn FnOnce(StartReport) + Send>;

/// Reads all sources of the configuration once more.
pub type Reload = Box<dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync>;

/// How to serve, beyond the configuration.
pub struct ServeOptions {
    /// Services to run; all if empty.
    pub only: Vec<Service>,
    /// Levels of the logs, for changing them while the server runs.
    pub logs: LogLevels,
    /// Reads the configuration again, for what may change while the server runs.
    pub reload: Reload,
    /// Where the log lines go, for counting those that were dropped.
    pub log_sink: LogSink,
    /// Receives the report once the server answers.
    pub on_ready: OnReady,
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions").field("only", &self.only).finish_non_exhaustive()
    }
}

/// A service that can run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// The auto-generated REST service, on a database that is served as it is.
    Rest,
    /// Accounts, sessions and keys; the database is prepared for them.
    Auth,
    /// Broadcast, presence and changes over WebSockets; the database is prepared for them.
    Realtime,
    /// Files in buckets; the database is prepared for them.
    Storage,
}

/// The keys of an installation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    /// Where clients reach the server.
    pub api_url: String,
    /// API key of anonymous callers.
    pub anon_key: Option<Secret>,
    /// API key of servers that may do everything.
    pub service_role_key: Option<Secret>,
    /// Secret that signs tokens.
    pub jwt_secret: Option<Secret>,
    /// Connection URL of the database's owner.
    pub database_url: Option<Secret>,
}

/// What became of sealed values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRotation {
    /// What was done, a line for each kind of values.
    pub lines: Vec<String>,
    /// What could not be done, a line each.
    pub failures: Vec<String>,
}

/// What the operator should know once the server answers.
#[derive(Debug, Clone)]
pub struct StartReport {
    /// What the server is used for.
    pub environment: Environment,
    /// URL and keys.
    pub keys: Keys,
    /// Where the admin listener answers.
    pub admin_url: Option<String>,
    /// The data directory of the embedded database.
    pub data_dir: Option<PathBuf>,
    /// The database in words, as in `PostgreSQL 17.10, embedded`.
    pub database: String,
    /// From the start of the process to now, in milliseconds.
    pub started_in_millis: u64,
}

/// How bad a finding of the linter must be to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Threshold {
    /// Problems only.
    Problem,
    /// Problems and warnings.
    Warning,
    /// Everything.
    Note,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Good,
    /// Works in another way than usual.
    Note,
    /// Something does not work.
    Problem,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in one sentence.
    pub title: String,
    /// What it means for the service.
    pub meaning: String,
    /// SQL that helps.
    pub sql: Option<String>,
}
