//! The Unix socket that takes the place of the public address: bound so that nobody can use it before its mode is set,
//! and removed with the server.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The file of a bound socket, removed when this is dropped unless another server has put its own there.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number of our file.
    identity: (u64, u64),
}

/// Binds a socket at `path`, in place of one that nobody answers on any more.
pub(super) async fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
        }
        _ => {}
    }
    // Under another name until its mode is right; renaming then replaces what an ended server has left behind.
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, Permissions::from_mode(mode))?;
    fs::rename(&draft, path)?;
    let identity = identity_of(path)?;
    Ok((listener, SocketFile { path: path.to_owned(), identity }))
}

fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity_of(&self.path).is_ok_and(|found| found == self.identity) {
            // Where it cannot be removed, the next server finds that nobody answers on it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
