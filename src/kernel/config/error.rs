//! What can be wrong with the configuration, each as one line that says where it is and what to do.
//! Values of secrets never appear.

use std::path::{Path, PathBuf};

use super::source::Source;

/// Why the configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key that does not exist.
    #[error("{}unknown key `{key}`; {}", at(place), way_on(nearest.as_deref()))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Where it was written.
        place: Source,
        /// The key that comes nearest.
        nearest: Option<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("{}`{key}` must be {expected}, not {got}", at(place))]
    WrongValue {
        /// The key.
        key: String,
        /// Where the value was written.
        place: Source,
        /// What it has to be.
        expected: String,
        /// What it is; masked for secrets.
        got: String,
    },
    /// A value that is right by itself and cannot be used as things are.
    #[error("{}`{key}` {reason}", at(place))]
    Refused {
        /// The key.
        key: String,
        /// Where the value was written.
        place: Source,
        /// Why, and what to do.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file that is not written as it should be.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
}

/// The place as the beginning of a line; nothing for a value that nobody has written anywhere.
fn at(place: &Source) -> String {
    if *place == Source::Default { String::new() } else { format!("{place}: ") }
}

/// What to do about a key that does not exist.
fn way_on(nearest: Option<&str>) -> String {
    match nearest {
        Some(near) => format!("did you mean `{near}`?"),
        None => "docs/configuration.md lists all keys".to_owned(),
    }
}

impl ConfigError {
    /// A file that cannot be read.
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: error.to_string() }
    }
}

/// Most bytes of a configuration file; a larger one is not a configuration.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Reads a small text file.
pub(super) fn read_file(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read;
    let fail = |error: std::io::Error| ConfigError::unreadable(path, &error);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let reason = "larger than 4 MB".to_owned();
        return Err(ConfigError::Unreadable { path: path.to_owned(), reason });
    }
    Ok(text)
}
