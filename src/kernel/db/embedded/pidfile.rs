//! PostgreSQL's own lock file, `postmaster.pid`: what it says about a server on a data directory.
//!
//! Pure but for [`read`]. Format: one item a line, PostgreSQL's `src/include/utils/pidfile.h`.

use std::fs;
use std::path::Path;

/// The items that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The postmaster's process.
    pub(super) pid: i32,
    /// Whether it takes connections (line 8 says `ready`).
    pub(super) is_ready: bool,
}

/// The file of the cluster in `cluster`, if it is there and holds a process number.
pub(super) fn read(cluster: &Path) -> Option<PidFile> {
    parse(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
}

fn parse(text: &str) -> Option<PidFile> {
    let mut lines = text.lines();
    // A stand-alone backend (`postgres --single`) writes its number negated.
    let pid = lines.next()?.trim().parse::<i32>().ok()?.checked_abs()?;
    let is_ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
    (pid > 0).then_some(PidFile { pid, is_ready })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_its_eighth_line_says_so() {
        let text = "4711\n/data\n1700000000\n5432\n/run\n\n  5432001  32769\nready   \n";
        assert_eq!(parse(text), Some(PidFile { pid: 4711, is_ready: true }));
        assert_eq!(
            parse(&text.replace("ready   ", "starting")),
            Some(PidFile { pid: 4711, is_ready: false })
        );
    }

    #[test]
    fn a_file_that_is_still_being_written_is_not_ready() {
        assert_eq!(parse("-12\n/data\n"), Some(PidFile { pid: 12, is_ready: false }));
        assert_eq!(parse(""), None);
        assert_eq!(parse("0\n"), None);
        assert_eq!(parse("garbage\n"), None);
    }
}
