//! A log file that begins anew when it is large enough: `app.log` becomes `app.log.1`, that `app.log.2`, and
//! so on; the oldest is deleted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file and how large it may get.
#[derive(Debug)]
pub(super) struct SizeRotatingFile {
    path: PathBuf,
    file: File,
    written: u64,
    largest: u64,
    keep: usize,
}

impl SizeRotatingFile {
    /// Opens or creates the file and goes on at its end.
    pub(super) fn open(path: &Path, largest: u64, keep: usize) -> io::Result<Self> {
        let file = append(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, written, largest, keep })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep).rev() {
            match std::fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, numbered(1))?;
        self.file = append(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for SizeRotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let more = bytes.len() as u64;
        if self.written > 0 && self.written + more > self.largest {
            // A file that cannot be moved goes on growing: better than losing lines.
            if self.rotate().is_err() {
                self.written = 0;
            }
        }
        self.file.write_all(bytes)?;
        self.written += more;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_moved_aside_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut file = SizeRotatingFile::open(&path, 10, 2).unwrap();
        for line in ["first\n", "second\n", "third\n", "fourth\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).ok();
        assert_eq!(read("app.log").as_deref(), Some("fourth\n"));
        assert_eq!(read("app.log.1").as_deref(), Some("third\n"));
        assert_eq!(read("app.log.2").as_deref(), Some("second\n"));
        assert_eq!(read("app.log.3"), None);
        drop(file);
        let mut again = SizeRotatingFile::open(&path, 10, 2).unwrap();
        again.write_all(b"fifth\n").unwrap();
        assert_eq!(read("app.log.1").as_deref(), Some("fourth\n"));
    }
}
