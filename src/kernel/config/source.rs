//! Where a value of the configuration came from, and the single entries that the sources give.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// Nobody set it and `rest.profile: postgrest` has its own default.
    Profile,
    /// The configuration file, or a file in PostgREST's form.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(
        /// Its name.
        String,
    ),
    /// A file that an environment variable names.
    SecretFile {
        /// Name of the variable.
        variable: String,
        /// The file.
        path: PathBuf,
    },
    /// The command line.
    Flag(
        /// The flag, as in `--port`.
        String,
    ),
    /// A setting in the database.
    Database(
        /// Its name, as in `pgrst.db_max_rows`.
        String,
    ),
    /// The program that embeds goforward.
    Program,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Profile => f.write_str("default of the postgrest profile"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::SecretFile { variable, path } => write!(f, "{} (from {variable})", path.display()),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Database(name) => write!(f, "database setting {name}"),
            Self::Program => f.write_str("program"),
        }
    }
}

/// One value of one source, its key already known to exist.
#[derive(Clone)]
pub(super) struct Entry {
    /// Dotted path; one name longer than the key's for a name in a map.
    pub(super) path: Vec<String>,
    /// The value.
    pub(super) value: Value,
    /// Where it came from.
    pub(super) source: Source,
}

impl fmt::Debug for Entry {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.join("."), self.source)
    }
}
