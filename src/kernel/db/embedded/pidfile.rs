//! PostgreSQL's own lock file, `postmaster.pid`: what it says about a server on a data directory.
//!
//! Pure but for [`read`]. Format: one item a line, PostgreSQL's `src/include/utils/pidfile.h`.

use std::fs;
use std::path::{Path, PathBuf};

/// The items that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The postmaster's process.
    pub(super) pid: i32,
    /// Whether it takes connections (line 8 says `ready`).
    pub(super) is_ready: bool,
    /// Its port and the directory of its socket, as it says itself.
    pub(super) socket: Option<(u16, PathBuf)>,
}

/// The file of the cluster in `cluster`, if it is there and holds a process number.
pub(super) fn read(cluster: &Path) -> Option<PidFile> {
    parse(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
}

fn parse(text: &str) -> Option<PidFile> {
    let mut lines = text.lines();
    // A stand-alone backend (`postgres --single`) writes its number negated.
    let pid = lines.next()?.trim().parse::<i32>().ok()?.checked_abs()?;
    let port = lines.nth(2).and_then(|port| port.trim().parse().ok());
    let directory = lines.next().map(str::trim).filter(|directory| !directory.is_empty()).map(PathBuf::from);
    let is_ready = lines.nth(2).is_some_and(|status| status.trim() == "ready");
    (pid > 0).then(|| PidFile { pid, is_ready, socket: port.zip(directory) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_its_eighth_line_says_so() {
        let text = "4711\n/data\n1700000000\n5432\n/run\n\n  5432001  32769\nready   \n";
        let socket = Some((5432, PathBuf::from("/run")));
        assert_eq!(parse(text), Some(PidFile { pid: 4711, is_ready: true, socket: socket.clone() }));
        assert_eq!(
            parse(&text.replace("ready   ", "starting")),
            Some(PidFile { pid: 4711, is_ready: false, socket })
        );
    }

    #[test]
    fn a_file_that_is_still_being_written_is_not_ready() {
        assert_eq!(parse("-12\n/data\n"), Some(PidFile { pid: 12, is_ready: false, socket: None }));
        assert_eq!(parse(""), None);
        assert_eq!(parse("0\n"), None);
        assert_eq!(parse("garbage\n"), None);
    }
}
