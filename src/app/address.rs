//! Where a running server answers: as clients on this machine name it, and told to other commands by a file in its data
//! directory.

use std::path::{Path, PathBuf};

/// Host and port as a client on this machine names them: whoever listens everywhere is reached on the loopback address.
pub(super) fn on_this_machine(host: &str, port: u16) -> String {
    match host {
        "0.0.0.0" | "*" | "*4" | "!4" => format!("127.0.0.1:{port}"),
        "::" | "[::]" | "*6" | "!6" => format!("[::1]:{port}"),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}

/// The file, removed when the server stops.
pub(super) struct AddressFile(PathBuf);

fn file_in(directory: &Path) -> PathBuf {
    directory.join("api-url")
}

impl AddressFile {
    /// Writes the URL down. A failure only costs the other commands this knowledge.
    pub(super) fn write(directory: &Path, url: &str) -> Self {
        let path = file_in(directory);
        if let Err(error) = std::fs::write(&path, url) {
            tracing::warn!("cannot write {}: {error}", path.display());
        }
        Self(path)
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Somebody may have removed the data directory meanwhile.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The URL of the server that runs on this data directory, if one said so.
pub(super) fn of_running(directory: &Path) -> Option<String> {
    std::fs::read_to_string(file_in(directory)).ok().filter(|url| !url.is_empty())
}
