//! The queue between those who log and the thread that writes: one buffer, swapped out whole.
//!
//! A line costs a lock and a copy, never a wake-up of the writer while it is busy: it takes everything that gathered
//! since its last write in one go. Lines that find the buffer full, or a place that takes none, are dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait to be written.
const LARGEST: usize = 8 << 20;
/// How long the writer lets lines gather after a write.
const GATHERING: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    is_closed: bool,
    /// Whether the writer sleeps until somebody wakes it.
    is_idle: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way into the queue; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct QueueWriter(Arc<Shared>);

impl QueueWriter {
    /// Lines that were dropped because the queue was full or what it writes to failed.
    pub(super) fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }
}

impl Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > LARGEST {
            state.dropped += 1;
            return Ok(line.len());
        }
        state.waiting.extend_from_slice(line);
        if std::mem::take(&mut state.is_idle) {
            self.0.wake.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for QueueWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The writing thread. Dropping it writes what is queued and ends it.
#[derive(Debug)]
pub(super) struct QueueWorker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a queue to `place`.
pub(super) fn start(place: impl Write + Send + 'static) -> io::Result<(QueueWriter, QueueWorker)> {
    let shared = Arc::new(Shared::default());
    let of_thread = Arc::clone(&shared);
    let thread = std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || write_until_closed(&of_thread, place))?;
    Ok((QueueWriter(Arc::clone(&shared)), QueueWorker { shared, thread: Some(thread) }))
}

fn write_until_closed(shared: &Shared, mut place: impl Write) {
    let mut batch = Vec::new();
    loop {
        let is_closed = {
            let mut state = shared.lock();
            while state.waiting.is_empty() && !state.is_closed {
                state.is_idle = true;
                state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.is_idle = false;
            std::mem::swap(&mut state.waiting, &mut batch);
            state.is_closed
        };
        // The log cannot tell that it cannot be written: the number of lost lines does.
        if place.write_all(&batch).and_then(|()| place.flush()).is_err() {
            shared.lock().dropped += memchr::memchr_iter(b'\n', &batch).count() as u64;
        }
        if is_closed && batch.is_empty() {
            return;
        }
        batch.clear();
        if !is_closed {
            let state = shared.lock();
            drop(shared.wake.wait_timeout_while(state, GATHERING, |state| !state.is_closed));
        }
    }
}

impl Drop for QueueWorker {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Place(Arc<Mutex<Vec<u8>>>);

    impl Write for Place {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_many_threads_arrive_whole_and_all() {
        let place = Place::default();
        let (writer, worker) = start(place.clone()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let mut writer = writer.clone();
                scope.spawn(move || {
                    for line in 0..1000 {
                        writer.write_all(format!("{thread}-{line}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        drop(worker);
        let text = String::from_utf8(place.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 4000);
        assert!(text.lines().all(|line| line.split_once('-').is_some()));
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_later_ones_written() {
        struct FullAtFirst(Place, bool);
        impl Write for FullAtFirst {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if std::mem::take(&mut self.1) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let place = Place::default();
        let (mut writer, worker) = start(FullAtFirst(place.clone(), true)).unwrap();
        writer.write_all(b"one\ntwo\n").unwrap();
        while writer.dropped() == 0 {
            std::thread::yield_now();
        }
        writer.write_all(b"three\n").unwrap();
        drop(worker);
        assert_eq!(writer.dropped(), 2);
        assert_eq!(place.0.lock().unwrap().as_slice(), b"three\n");
    }

    #[test]
    fn lines_beyond_the_limit_are_dropped_and_counted() {
        let shared = Arc::new(Shared::default());
        let mut writer = QueueWriter(shared);
        let line = vec![b'x'; LARGEST / 2];
        for _ in 0..3 {
            writer.write_all(&line).unwrap();
        }
        assert_eq!(writer.dropped(), 1);
    }
}
