//! Why the embedded PostgreSQL could not be used: each reason is one line that says what to do.
//!
//! The texts go to the operator's terminal and log, never to API clients. They hold paths and account names, no secrets.

use std::io;
use std::path::{Path, PathBuf};

/// A reason for which the embedded PostgreSQL does not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// A setting of the operator that cannot be one.
    #[error(
        "embedded.settings.{name:?} is not a PostgreSQL setting with a value on one line; correct or remove it"
    )]
    Setting {
        /// Its name.
        name: String,
    },
    /// Nothing installed, nothing bundled, nothing could be fetched.
    #[error(
        "no PostgreSQL found ({reason}): install PostgreSQL {minimum} or newer with the distribution's package \
         manager, or set embedded.binaries to a folder that holds `initdb` and `postgres`, or set database.url to use \
         a PostgreSQL that runs elsewhere",
        minimum = super::OLDEST_MAJOR
    )]
    NoBinaries {
        /// What was tried last and how it failed.
        reason: String,
    },
    /// The configured folder cannot be used.
    #[error("embedded.binaries is {}: {reason}; name a folder that holds `initdb` and `postgres`", path.display())]
    BinariesUnusable {
        /// The configured folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data directory was made by a major version that is not at hand.
    #[error(
        "the data in {} was made by PostgreSQL {wanted}, but {found}: install PostgreSQL {wanted} or set \
         embedded.binaries to its folder, or choose another --data-dir",
        path.display()
    )]
    OtherMajor {
        /// The cluster's directory.
        path: PathBuf,
        /// Its major version.
        wanted: u32,
        /// Which versions were found, as a phrase.
        found: String,
    },
    /// The configured account does not exist.
    #[error(
        "embedded.account is {name:?}, which is no account of this machine: create it with `useradd --system {name}` or name another"
    )]
    UnknownAccount {
        /// The configured name.
        name: String,
    },
    /// Started as root, and no account to run PostgreSQL under.
    #[error(
        "PostgreSQL refuses to run as root and none of the accounts {tried} exists: create one with `useradd --system \
         goforward`, or start goforward as another user"
    )]
    NoAccount {
        /// The names that were looked up.
        tried: String,
    },
    /// The user of this process has no entry in the passwd database, which initdb needs.
    #[error(
        "this process runs as user id {uid}, which has no account entry, and PostgreSQL needs one: run as a named user, or set database.url"
    )]
    NamelessUser {
        /// The effective user id.
        uid: u32,
    },
    /// A directory on the way cannot be entered by the account that runs PostgreSQL.
    #[error(
        "PostgreSQL runs as account {account:?}, which cannot enter {}: allow it with `chmod o+x {}`, or choose a place \
         elsewhere with --data-dir",
        directory.display(), directory.display()
    )]
    Unreachable {
        /// The directory without search permission.
        directory: PathBuf,
        /// The account that needs it.
        account: String,
    },
    /// Another goforward holds the data directory.
    #[error("{} is in use by another goforward (process {pid}): stop that one, or choose another --data-dir", path.display())]
    AlreadyRunning {
        /// The data directory.
        path: PathBuf,
        /// The other process, or `unknown`.
        pid: String,
    },
    /// A PostgreSQL that is not ours runs on the data and does not stop.
    #[error("process {pid} runs PostgreSQL on {} and cannot be stopped ({reason}): stop it first", path.display())]
    StillRunning {
        /// The cluster's directory.
        path: PathBuf,
        /// The process.
        pid: i32,
        /// Why not.
        reason: String,
    },
    /// The file system is full.
    #[error("no space left for {}: free at least {needed_mb} MB there, or choose another --data-dir", path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// What is needed to go on.
        needed_mb: u64,
    },
    /// A file or directory that this process may not use.
    #[error("no permission to {action} {}: give the directory to the user that runs goforward (`chown -R`), or choose another --data-dir", path.display())]
    Permission {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The cluster's directory holds something else.
    #[error("{} is not empty and holds no PostgreSQL data: move it away, or choose another --data-dir", path.display())]
    NotACluster {
        /// The directory.
        path: PathBuf,
    },
    /// There is a cluster, but not the file with its passwords.
    #[error("{} is missing or damaged, and without it the database cannot be opened: restore it from a backup, or choose another --data-dir", path.display())]
    Passwords {
        /// The file.
        path: PathBuf,
    },
    /// The server refuses the password in our file.
    #[error("PostgreSQL refuses the password of `postgres` in {}: put the right one there, or restore the file from a backup", path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// No directory with a path short enough for a Unix socket.
    #[error(
        "no usable directory for the Unix socket (tried {tried}): choose a --data-dir with a shorter path"
    )]
    SocketDirectory {
        /// The directories and what was wrong.
        tried: String,
    },
    /// The loopback port is taken.
    #[error("port {port} on 127.0.0.1 is taken: choose another embedded.loopback_port, or leave it out")]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// `initdb` failed for a reason without a variant of its own.
    #[error("initdb failed: {message}")]
    Initdb {
        /// Its last lines.
        message: String,
    },
    /// PostgreSQL did not start for a reason without a variant of its own.
    #[error("PostgreSQL did not start: {message}")]
    Start {
        /// Its last lines.
        message: String,
    },
    /// Another failure of the operating system.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The start was called off.
    #[error("the start of PostgreSQL was cancelled")]
    Cancelled,
}

/// Space that a new cluster and its first write-ahead log need, in MB.
pub(super) const NEW_CLUSTER_MB: u64 = 150;
/// Space below which an existing cluster is not started, in MB: one more segment of write-ahead log and some air.
pub(super) const EXISTING_CLUSTER_MB: u64 = 32;

/// Sorts an operating system's error into the variants above.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            EmbeddedError::Permission { action, path }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            EmbeddedError::NoSpace { path, needed_mb: NEW_CLUSTER_MB }
        }
        _ => EmbeddedError::Io { action, path, source },
    }
}
