//! The data directory: its lock, its sub-directories, and who may use them.
//!
//! ```text
//! goforward.lock            held by the running goforward (flock), with its process number inside
//! postgres-passwords.json   passwords of the logins, 0600, ours
//! postgres/                 the cluster, 0700, the account's
//! run/                      the socket's directory, 0700, the account's (elsewhere if the path is too long)
//! binaries/                 fetched or unpacked PostgreSQL programs
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::account::{self, Account};
use super::error::{EXISTING_CLUSTER_MB, EmbeddedError, NEW_CLUSTER_MB, io_error};

/// `sun_path` is 108 bytes with its NUL on Linux and 104 on others; PostgreSQL appends `/.s.PGSQL.<port>.lock`.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The cluster's directory in a data directory.
pub(super) const CLUSTER: &str = "postgres";
/// The file of the logins' passwords in a data directory.
pub(super) const PASSWORDS: &str = "postgres-passwords.json";
/// The usual directory of the socket in a data directory.
pub(super) const SOCKETS: &str = "run";

/// A prepared and locked data directory.
#[derive(Debug)]
pub(super) struct Home {
    /// Canonical.
    pub(super) path: PathBuf,
    /// The account that runs PostgreSQL, if it is not the one that runs us.
    pub(super) account: Option<Account>,
    /// Held for its lock.
    _lock: File,
}

impl Home {
    /// Creates what is missing, takes the lock, and checks that PostgreSQL will be able to work here.
    pub(super) fn open(directory: &Path, configured_account: Option<&str>) -> Result<Self, EmbeddedError> {
        let owner = fs::metadata(directory.join(CLUSTER)).ok().map(|found| found.uid());
        let account = account::choose(configured_account, owner)?;
        if let Some(account) = &account {
            refuse_unreachable(directory, account)?;
        }
        // Never writable for others, whatever the file-creation mask: it holds the project's secrets.
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(io_error("create", directory))?;
        let path = fs::canonicalize(directory).map_err(io_error("open", directory))?;
        let lock = take_lock(&path)?;
        if let Some(account) = &account {
            // Ours to open: only the right to pass through, not to list.
            let mode = fs::metadata(&path).map_err(io_error("read", &path))?.mode();
            if account::first_unreachable(&path, account).is_some() {
                set_mode(&path, (mode & 0o7777) | 0o011)?;
            }
            if let Some(directory) = account::first_unreachable(&path, account) {
                return Err(EmbeddedError::Unreachable { directory, account: account.name.clone() });
            }
        }
        Ok(Self { path, account, _lock: lock })
    }

    /// The cluster's directory.
    pub(super) fn cluster(&self) -> PathBuf {
        self.path.join(CLUSTER)
    }

    /// The file that keeps the logins' passwords.
    pub(super) fn passwords(&self) -> PathBuf {
        self.path.join(PASSWORDS)
    }

    /// Where fetched programs are kept.
    pub(super) fn binaries(&self) -> PathBuf {
        self.path.join("binaries")
    }

    /// The directory for the socket of `port`: in the data directory, or a short one elsewhere.
    pub(super) fn socket_directory(&self, port: u16) -> Result<PathBuf, EmbeddedError> {
        let digest = hex::encode(Sha256::digest(self.path.as_os_str().as_encoded_bytes()));
        let short = format!("goforward-{}", &digest[..12]);
        let runtime =
            std::env::var_os("XDG_RUNTIME_DIR").filter(|_| self.account.is_none()).map(PathBuf::from);
        let candidates = [
            Some(self.path.join(SOCKETS)),
            runtime.map(|directory| directory.join(&short)),
            Some(Path::new("/run").join(&short)),
            Some(std::env::temp_dir().join(&short)),
        ];
        let mut tried = Vec::new();
        for candidate in candidates.into_iter().flatten() {
            match self.try_socket_directory(&candidate, port) {
                Ok(()) => return Ok(candidate),
                Err(reason) => tried.push(format!("{}: {reason}", candidate.display())),
            }
        }
        Err(EmbeddedError::SocketDirectory { tried: tried.join("; ") })
    }

    fn try_socket_directory(&self, directory: &Path, port: u16) -> Result<(), String> {
        let longest = directory.join(format!(".s.PGSQL.{port}.lock"));
        if longest.as_os_str().len() > MAX_SOCKET_PATH {
            return Err("path too long".to_owned());
        }
        self.create_owned(directory).map_err(|error| error.to_string())?;
        // Outside the data directory somebody else may have made it first, or a link in its place.
        let found = fs::symlink_metadata(directory).map_err(|error| error.to_string())?;
        if !found.is_dir() || found.uid() != self.owner() {
            return Err("belongs to somebody else".to_owned());
        }
        match (&self.account, directory.parent()) {
            (Some(account), Some(parent)) if account::first_unreachable(parent, account).is_some() => {
                Err(format!("account {:?} cannot enter it", account.name))
            }
            _ => Ok(()),
        }
    }

    /// The user id that PostgreSQL runs under.
    fn owner(&self) -> u32 {
        self.account.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid)
    }

    /// Makes a private directory of the account; an existing one of ours is handed over.
    pub(super) fn create_owned(&self, directory: &Path) -> Result<(), EmbeddedError> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => self.give(directory),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let inside = directory.starts_with(&self.path);
                if inside { self.give(directory) } else { Ok(()) }
            }
            Err(error) => Err(io_error("create", directory)(error)),
        }
    }

    /// Gives one file or directory to the account.
    pub(super) fn give(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some(account) = &self.account else { return Ok(()) };
        // Never through a link: what the account can write to, it could have replaced by one.
        lchown(path, Some(account.uid), Some(account.gid)).map_err(io_error("hand over", path))
    }

    /// Gives a whole tree to the account, if its root is not its own already. Links are not followed.
    pub(super) fn give_tree(&self, root: &Path) -> Result<(), EmbeddedError> {
        let Some(account) = &self.account else { return Ok(()) };
        let found = fs::metadata(root).map_err(io_error("read", root))?;
        if found.uid() == account.uid {
            return Ok(());
        }
        let mut pending = vec![root.to_owned()];
        while let Some(path) = pending.pop() {
            if fs::symlink_metadata(&path).map_err(io_error("read", &path))?.is_dir() {
                for entry in fs::read_dir(&path).map_err(io_error("read", &path))? {
                    pending.push(entry.map_err(io_error("read", &path))?.path());
                }
            }
            lchown(&path, Some(account.uid), Some(account.gid)).map_err(io_error("hand over", &path))?;
        }
        Ok(())
    }

    /// Refuses where the file system has too little space for a start.
    pub(super) fn refuse_full(&self, is_new: bool) -> Result<(), EmbeddedError> {
        let needed_mb = if is_new { NEW_CLUSTER_MB } else { EXISTING_CLUSTER_MB };
        let Ok(found) = rustix::fs::statvfs(&self.path) else { return Ok(()) };
        let free_mb = found.f_bavail.saturating_mul(found.f_frsize) >> 20;
        if free_mb < needed_mb {
            return Err(EmbeddedError::NoSpace { path: self.path.clone(), needed_mb });
        }
        Ok(())
    }
}

/// Looks at the part of the way that exists, before anything is created.
fn refuse_unreachable(directory: &Path, account: &Account) -> Result<(), EmbeddedError> {
    let absolute = std::path::absolute(directory).map_err(io_error("find", directory))?;
    let mut parents = absolute.ancestors().skip(1);
    let Some(existing) = parents.find_map(|parent| fs::canonicalize(parent).ok()) else {
        return Ok(());
    };
    match account::first_unreachable(&existing, account) {
        Some(directory) => Err(EmbeddedError::Unreachable { directory, account: account.name.clone() }),
        None => Ok(()),
    }
}

fn take_lock(home: &Path) -> Result<File, EmbeddedError> {
    let path = home.join("goforward.lock");
    let failed = || io_error("lock", &path);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed())?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let pid = Some(pid.trim()).filter(|pid| !pid.is_empty()).unwrap_or("unknown").to_owned();
            return Err(EmbeddedError::AlreadyRunning { path: home.to_owned(), pid });
        }
        Err(error) => return Err(failed()(error.into())),
    }
    file.set_len(0).map_err(failed())?;
    file.rewind().map_err(failed())?;
    writeln!(file, "{}", std::process::id()).map_err(failed())?;
    Ok(file)
}

/// Sets the permission bits of a path.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io_error("change the mode of", path))
}

/// Writes a file of mode 0600 whole or not at all, and makes it durable; it belongs to `owner` or else to us.
pub(super) fn write_private(path: &Path, text: &[u8], owner: Option<&Account>) -> Result<(), EmbeddedError> {
    let part = path.with_extension("part");
    let failed = || io_error("write", path);
    let _ = fs::remove_file(&part);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(failed())?;
    file.write_all(text).map_err(failed())?;
    if let Some(owner) = owner {
        fchown(&file, Some(owner.uid), Some(owner.gid)).map_err(failed())?;
    }
    file.sync_all().map_err(failed())?;
    fs::rename(&part, path).map_err(failed())
}
