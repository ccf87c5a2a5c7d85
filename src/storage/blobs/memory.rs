//! How much memory all writers to a service take together: whoever has gathered more than a little of a part waits for its
//! turn, and reads no further meanwhile, so that its client waits too. A turn ends with its part, so that all get on.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The share of a part that a writer may gather without a turn: small objects wait for nobody.
const FREE: usize = 8;

/// The turns of all writers of a backend. Cheap to clone.
#[derive(Clone)]
pub(super) struct Memory(Arc<Semaphore>);

/// A part in memory.
pub(super) type Turn = OwnedSemaphorePermit;

impl Memory {
    /// For `bytes` of parts of this size; one at least.
    pub(super) fn new(bytes: u64, part: usize) -> Self {
        let turns = usize::try_from(bytes).unwrap_or(usize::MAX) / part.max(1);
        Self(Arc::new(Semaphore::new(turns.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Waits for a turn in the order of asking, if a writer that has gathered so much of a part needs one.
    pub(super) async fn wait(&self, turn: &mut Option<Turn>, gathered: usize, part: usize) {
        if turn.is_none() && gathered > part / FREE {
            // Nobody closes it.
            *turn = Arc::clone(&self.0).acquire_owned().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::future::join_all;
    use futures_util::{StreamExt, stream};
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};
    use uuid::Uuid;

    use super::super::Blobs;

    const PART: usize = 64 * 1024;
    const PIECE: usize = 1024;

    #[tokio::test]
    async fn many_writers_hold_no_more_parts_in_memory_than_there_are_turns_and_all_come_to_an_end() {
        let slow =
            ThrottleConfig { wait_put_per_call: Duration::from_millis(10), ..ThrottleConfig::default() };
        let store = ThrottledStore::new(InMemory::new(), slow);
        let blobs = Blobs::new(Arc::new(store), PART).within(2 * PART as u64);
        let read: Vec<Arc<AtomicUsize>> = (0..20).map(|_| Arc::default()).collect();
        let most = AtomicUsize::new(0);
        let writers = read.iter().enumerate().map(|(number, mine)| {
            let (blobs, read, most) = (blobs.clone(), &read, &most);
            let source = stream::iter(0..4 * PART / PIECE).then(move |_| async move {
                tokio::task::yield_now().await;
                mine.fetch_add(PIECE, Ordering::Relaxed);
                // What lies in memory of all, were nothing sent: no more than what is read of a part that is begun.
                let large = read.iter().filter(|one| one.load(Ordering::Relaxed) % PART > PART / 8 + PIECE);
                most.fetch_max(large.count(), Ordering::Relaxed);
                Ok::<_, Infallible>(Bytes::from(vec![b'x'; PIECE]))
            });
            async move { blobs.write(Uuid::from_u128(number as u128), source, u64::MAX).await }
        });
        let written = join_all(writers).await;
        assert!(written.iter().all(|one| one.as_ref().is_ok_and(|one| one.size == 4 * PART as u64)));
        assert!(most.load(Ordering::Relaxed) <= 2, "{most:?}");
    }
}
