//! Looking a password up among the leaked ones: in a local list, or at an endpoint that learns five hex digits only.
//!
//! Both speak the format of Have I Been Pwned: lines of an upper-case SHA-1 digest and a count, sorted by digest. SHA-1 is
//! the index of those lists; it protects nothing here.

use std::cmp::Ordering;
use std::fs::File;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::config::LeakedCheck;
use super::pool::{BoundedPool, PoolError};
use crate::kernel::secret::Secret;

/// Hex digits of a digest.
const DIGITS: usize = 40;

/// Hex digits that an endpoint is told.
const PREFIX_DIGITS: usize = 5;

/// More than any line has: 40 digits, a colon, a count, a line end.
const LINE_BYTES: u64 = 80;

/// Up to this many bytes, and that is many lines, the list is read through instead of halved.
const WINDOW_BYTES: u64 = 4096;

/// How many look-ups read the list at once, and how many more wait.
const READERS: (NonZeroUsize, usize) = (NonZeroUsize::new(4).unwrap(), 1024);

/// The future of [`RangeSource::range`].
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<String, RangeError>> + Send + 'a>>;

/// Port: an endpoint that answers five hex digits with all the rests of digests that it knows, a line each:
/// `<35 hex digits>:<count>`. Whoever implements it bounds the time and the size of the answer.
pub trait RangeSource: Send + Sync {
    /// The lines for these five upper-case hex digits.
    fn range<'a>(&'a self, prefix: &'a str) -> Reading<'a>;
}

/// The endpoint did not answer, for the reason given.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the endpoint of leaked passwords did not answer: {0}")]
pub struct RangeError(pub String);

/// Where leaked passwords are looked up.
#[derive(Clone)]
pub enum LeakedPasswords {
    /// Nowhere: no password is known to be leaked.
    Off,
    /// In a local list.
    File(LeakedFile),
    /// At an endpoint.
    Endpoint(Arc<dyn RangeSource>),
}

/// A look-up that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LeakedError {
    /// The list cannot be read.
    #[error("the list of leaked passwords cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The list is not what it should be.
    #[error("the list of leaked passwords is no sorted list of SHA-1 digests")]
    Malformed,
    /// The endpoint gave no answer.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Too many look-ups at once.
    #[error("the list of leaked passwords: {0}")]
    Pool(#[from] PoolError),
}

impl LeakedPasswords {
    /// What the configuration asks for. `connect` makes the port to an endpoint from its base address.
    pub fn open(
        check: &LeakedCheck,
        connect: impl FnOnce(&str) -> Arc<dyn RangeSource>,
    ) -> Result<Self, LeakedError> {
        Ok(match check {
            LeakedCheck::Off => Self::Off,
            LeakedCheck::File(path) => Self::File(LeakedFile::open(path)?),
            LeakedCheck::Endpoint(address) => Self::Endpoint(connect(address)),
        })
    }

    /// Whether the password is known to be leaked.
    pub async fn contain(&self, password: &Secret) -> Result<bool, LeakedError> {
        match self {
            Self::Off => Ok(false),
            Self::File(list) => list.contains(fingerprint(password)).await,
            Self::Endpoint(source) => {
                let fingerprint = fingerprint(password);
                let (prefix, rest) = fingerprint.split_at(PREFIX_DIGITS);
                Ok(lists(&source.range(prefix).await?, rest))
            }
        }
    }
}

/// SHA-1 in upper-case hex.
fn fingerprint(password: &Secret) -> String {
    hex::encode_upper(digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose().as_bytes()))
}

/// Whether one of the lines is about these digits. A count of zero pads answers and means nothing.
fn lists(lines: &str, digits: &str) -> bool {
    lines.lines().filter_map(Entry::read).any(|entry| entry.is_about(digits))
}

/// A line of a list.
struct Entry<'a> {
    digits: &'a str,
    count: &'a str,
}

impl<'a> Entry<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let line = line.trim_ascii();
        let (digits, count) = line.split_once(':').unwrap_or((line, "1"));
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then_some(Self { digits, count })
    }

    /// A line of a list of whole digests.
    fn whole(line: &'a str) -> Result<Self, LeakedError> {
        Self::read(line).filter(|entry| entry.digits.len() == DIGITS).ok_or(LeakedError::Malformed)
    }

    fn is_about(&self, digits: &str) -> bool {
        self.digits.eq_ignore_ascii_case(digits) && !self.count.bytes().all(|byte| byte == b'0')
    }
}

/// A local list, searched by halving it in the file: a look-up reads a few KiB, however long the list is.
///
/// The file is opened anew each time, so that a newer list can be moved into its place.
#[derive(Clone, Debug)]
pub struct LeakedFile {
    path: PathBuf,
    pool: BoundedPool,
}

impl LeakedFile {
    /// Takes the list in use after a look at its first line.
    pub fn open(path: &Path) -> Result<Self, LeakedError> {
        let first = line_at(&File::open(path)?, 0)?;
        Entry::whole(&first)?;
        let (readers, queue) = READERS;
        Ok(Self { path: path.to_owned(), pool: BoundedPool::new(readers, queue) })
    }

    async fn contains(&self, digits: String) -> Result<bool, LeakedError> {
        let path = self.path.clone();
        self.pool.run(1, move || search(&File::open(path)?, &digits)).await?
    }
}

/// Whether the list is about these digits.
///
/// The line looked for begins at `low` or later and ends before `high`. Both are where lines begin, or the end of the list.
fn search(list: &File, digits: &str) -> Result<bool, LeakedError> {
    let (mut low, mut high) = (0, list.metadata()?.len());
    while high - low > WINDOW_BYTES {
        // Lines are short, so one begins between the middle of a window and its end.
        let start = next_line(list, low + (high - low) / 2)?;
        let line = line_at(list, start)?;
        let entry = Entry::whole(&line)?;
        match entry.digits.to_ascii_uppercase().as_str().cmp(digits) {
            Ordering::Less => low = start,
            Ordering::Equal => return Ok(entry.is_about(digits)),
            Ordering::Greater => high = start,
        }
    }
    let window = read(list, low, high - low)?;
    Ok(lists(std::str::from_utf8(&window).map_err(|_| LeakedError::Malformed)?, digits))
}

/// Where the first line after this position begins.
fn next_line(list: &File, position: u64) -> Result<u64, LeakedError> {
    let bytes = read(list, position, LINE_BYTES)?;
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(LeakedError::Malformed)?;
    Ok(position + end as u64 + 1)
}

/// The line that begins at this position; nothing at the end of the list.
fn line_at(list: &File, position: u64) -> Result<String, LeakedError> {
    let mut bytes = read(list, position, LINE_BYTES)?;
    bytes.truncate(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len()));
    String::from_utf8(bytes).map_err(|_| LeakedError::Malformed)
}

/// At most so many bytes from a position: fewer only at the end of the file.
fn read(list: &File, position: u64, count: u64) -> Result<Vec<u8>, LeakedError> {
    let mut bytes = vec![0; usize::try_from(count).map_err(|_| LeakedError::Malformed)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match list.read_at(&mut bytes[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
