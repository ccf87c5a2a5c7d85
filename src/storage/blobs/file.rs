//! The bytes of a file, step by step.
//!
//! What the system has in memory is read where it is asked for: to hand a step to another thread costs more than to copy it.
//! Everything else is read by threads that may wait for the disk, a step ahead of what is sent.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::{JoinHandle, spawn_blocking};

use super::read::BlobBytes;

/// How many bytes are read at a time: so many that what a read costs beside copying does not count, and so few that they
/// are in the processor's cache when they are sent.
const STEP: usize = 256 * 1024;
/// How many steps are taken in a row while others wait for the thread.
const TURN: u32 = 8;
/// How many buffers are kept for later.
const KEPT: usize = 32;

/// Opens a file of this length if that needs no look at the disk. Whatever else there is to say of it is found out by whoever
/// may wait.
#[cfg(target_os = "linux")]
pub(super) fn open_at_hand(path: &Path, length: u64) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?);
    let found = file.metadata().ok()?;
    (found.is_file() && found.len() == length).then_some(file)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open_at_hand(_: &Path, _: u64) -> Option<File> {
    None
}

/// The bytes of a file within a range.
pub(super) fn file_bytes(file: File, range: Range<u64>, buffers: &Buffers) -> BlobBytes {
    let buffers = buffers.clone();
    let reading =
        Reading { file: Arc::new(file), buffers, at: range.start, end: range.end, steps: 0, ahead: None };
    let pieces = stream::try_unfold(reading, async |mut reading: Reading| {
        Ok(reading.next().await?.map(|bytes| (bytes, reading)))
    });
    pieces.boxed()
}

struct Reading {
    file: Arc<File>,
    buffers: Buffers,
    /// Where the next step begins.
    at: u64,
    end: u64,
    steps: u32,
    /// The next step, where it is read by a thread; then all that follow are.
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.ahead.is_none() {
            if self.at == self.end {
                return Ok(None);
            }
            self.steps += 1;
            if self.steps.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
            if let Some(bytes) = self.at_hand() {
                self.at += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            self.ahead = self.read_ahead();
        }
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        let bytes = ahead.await.map_err(io::Error::other)??;
        self.ahead = self.read_ahead();
        Ok(Some(bytes))
    }

    /// How many bytes the next step has.
    fn step(&self) -> usize {
        usize::try_from(self.end - self.at).map_or(STEP, |left| left.min(STEP))
    }

    /// As much of the next step as can be had without waiting for the disk.
    #[cfg(target_os = "linux")]
    fn at_hand(&self) -> Option<Bytes> {
        use rustix::io::{ReadWriteFlags, preadv2};

        let mut buffer = self.buffers.take(self.step());
        let mut space = [io::IoSliceMut::new(buffer.space())];
        // Any error is found again by whoever may wait.
        let read = preadv2(&*self.file, &mut space, self.at, ReadWriteFlags::NOWAIT).ok()?;
        (read > 0).then(|| buffer.filled(read))
    }

    #[cfg(not(target_os = "linux"))]
    fn at_hand(&self) -> Option<Bytes> {
        None
    }

    /// Has the next step read by a thread.
    fn read_ahead(&mut self) -> Option<JoinHandle<io::Result<Bytes>>> {
        let (at, step) = (self.at, self.step());
        if step == 0 {
            return None;
        }
        self.at += step as u64;
        let (file, mut buffer) = (Arc::clone(&self.file), self.buffers.take(step));
        Some(spawn_blocking(move || {
            file.read_exact_at(buffer.space(), at)?;
            Ok(buffer.filled(step))
        }))
    }
}

/// Memory that is used again: to be given fresh memory takes as long as to fill it. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Box<[u8]>>>>);

/// Memory for a step, which goes back when nobody has its bytes any more.
struct Buffer {
    memory: Box<[u8]>,
    length: usize,
    home: Buffers,
}

impl Buffers {
    /// For so many bytes, at most [`STEP`]. For a few, memory of that size: a client may take its time, and there may be many.
    fn take(&self, length: usize) -> Buffer {
        let kept = if length > STEP / 4 { self.lock().pop() } else { None };
        let size = if length > STEP / 4 { STEP } else { length };
        let memory = kept.unwrap_or_else(|| vec![0; size].into());
        Buffer { memory, length, home: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Box<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn space(&mut self) -> &mut [u8] {
        self.memory.get_mut(..self.length).unwrap_or_default()
    }

    /// Its first bytes, which have been written.
    fn filled(mut self, length: usize) -> Bytes {
        self.length = length;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.memory.len() == STEP {
            let mut kept = self.home.lock();
            if kept.len() < KEPT {
                kept.push(std::mem::take(&mut self.memory));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn any_range_of_a_file_is_read_whoever_reads_it() {
        let bytes: Vec<u8> = (0..3 * STEP + 1000).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let buffers = Buffers::default();
        for (start, end) in
            [(0, bytes.len()), (0, 0), (7, 8), (STEP - 1, 2 * STEP + 1), (3 * STEP, bytes.len())]
        {
            for by_threads in [false, true] {
                let range = start as u64..end as u64;
                let mut reading = Reading {
                    file: Arc::new(file.try_clone().unwrap()),
                    buffers: buffers.clone(),
                    at: range.start,
                    end: range.end,
                    steps: 0,
                    ahead: None,
                };
                if by_threads {
                    reading.ahead = reading.read_ahead();
                }
                let mut read = Vec::new();
                while let Some(piece) = reading.next().await.unwrap() {
                    read.extend_from_slice(&piece);
                }
                assert!(read == bytes[start..end], "{start}..{end}, by threads: {by_threads}");
            }
        }
        assert!((1..=2).contains(&buffers.lock().len()), "memory is used again");
    }

    #[test]
    fn only_a_file_of_the_right_length_is_at_hand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"hello").unwrap();
        // Not every file system can tell.
        if open_at_hand(&path, 5).is_some() {
            assert!(open_at_hand(&path, 4).is_none());
            assert!(open_at_hand(folder.path(), std::fs::metadata(folder.path()).unwrap().len()).is_none());
            assert!(open_at_hand(&folder.path().join("other"), 0).is_none());
        }
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error_and_no_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"short").unwrap();
        let outcome: Result<Vec<Bytes>, _> = file_bytes(file, 0..10, &Buffers::default()).try_collect().await;
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
