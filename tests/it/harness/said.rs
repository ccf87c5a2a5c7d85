//! Keeps what servers under test have said, logs and error bodies, for the scan for secrets that `scripts/test` ends with.

use std::fs::OpenOptions;
use std::io::Write;

/// Adds the text to what has been said of this kind. Does nothing unless `GOFORWARD_TEST_SAID` names a folder.
pub fn keep(kind: &str, text: &[u8]) {
    let Some(folder) = std::env::var_os("GOFORWARD_TEST_SAID") else { return };
    let path = std::path::Path::new(&folder).join(kind);
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    // In one piece: tests add to it side by side.
    file.write_all(&[text, b"\n"].concat()).unwrap();
}
