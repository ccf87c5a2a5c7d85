//! How much memory all writers to a service take together: whoever has gathered more than a little of a part waits for its
//! turn, and reads no further meanwhile, so that its client waits too. A turn ends with its part, so that all get on. Nobody
//! holds one at leisure: a source that is slower than [`RATE`] over its turn loses it, and who has waited too long is told so.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

/// The share of a part that a writer may gather without a turn: small objects wait for nobody.
const FREE: usize = 8;

/// What a source must bring in a second of its turn on average, in bytes: a third of what a slow phone does.
const RATE: u64 = 16 * 1024;

/// The turns of all writers of a backend. Cheap to clone.
#[derive(Clone)]
pub(super) struct Memory {
    turns: Arc<Semaphore>,
    patience: Duration,
}

/// A part in memory.
pub(super) struct Turn {
    since: Instant,
    /// How much was gathered by then.
    from: usize,
    patience: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Memory {
    /// For `bytes` of parts of this size; one at least. `patience` is how long a turn is waited for, and how far a source may
    /// fall behind within its turn: whoever waits outlasts those that stall.
    pub(super) fn new(bytes: u64, part: usize, patience: Duration) -> Self {
        let turns = usize::try_from(bytes).unwrap_or(usize::MAX) / part.max(1);
        Self { turns: Arc::new(Semaphore::new(turns.clamp(1, Semaphore::MAX_PERMITS))), patience }
    }

    /// Waits for a turn in the order of asking, if a writer that has gathered so much of a part needs one.
    pub(super) async fn wait(
        &self,
        turn: &mut Option<Turn>,
        gathered: usize,
        part: usize,
    ) -> Result<(), Elapsed> {
        if turn.is_none() && gathered > part / FREE {
            let permit = timeout(self.patience, Arc::clone(&self.turns).acquire_owned()).await?;
            // Nobody closes it.
            *turn = permit.ok().map(|permit| Turn {
                since: Instant::now(),
                from: gathered,
                patience: self.patience,
                _permit: permit,
            });
        }
        Ok(())
    }
}

/// Waits for more of a part of which so much is gathered: without a turn as long as it takes, with one while its source keeps up.
pub(super) async fn in_time<T>(
    turn: Option<&Turn>,
    gathered: usize,
    more: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let Some(turn) = turn else { return Ok(more.await) };
    let earned = Duration::from_millis(gathered.saturating_sub(turn.from) as u64 * 1000 / RATE);
    timeout_at(turn.since + turn.patience + earned, more).await
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::future::join_all;
    use futures_util::{FutureExt, StreamExt, stream};
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};
    use uuid::Uuid;

    use super::super::{Blobs, WriteError};

    const PART: usize = 64 * 1024;
    const PIECE: usize = 1024;

    #[tokio::test]
    async fn many_writers_hold_no_more_parts_in_memory_than_there_are_turns_and_all_come_to_an_end() {
        let slow =
            ThrottleConfig { wait_put_per_call: Duration::from_millis(10), ..ThrottleConfig::default() };
        let store = ThrottledStore::new(InMemory::new(), slow);
        let blobs = Blobs::new(Arc::new(store), PART).within(2 * PART as u64, Duration::from_mins(1));
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

    #[tokio::test]
    async fn who_stalls_loses_the_turn_and_who_has_waited_too_long_is_told_so() {
        let blobs =
            Blobs::new(Arc::new(InMemory::new()), PART).within(PART as u64, Duration::from_millis(50));
        let write = |number, pieces, stalls| {
            let piece = || Ok::<_, Infallible>(Bytes::from(vec![b'x'; PIECE]));
            let rest = stream::pending().take(usize::from(stalls));
            let source = stream::iter((0..pieces).map(move |_| piece())).chain(rest);
            let blobs = blobs.clone();
            Box::pin(async move { blobs.write(Uuid::from_u128(number), source, u64::MAX).await })
        };
        let large = 2 * PART / PIECE + 1;
        let mut stalled = write(1, large + PART / PIECE / 8, true);
        assert!((&mut stalled).now_or_never().is_none());
        assert!(matches!(write(2, large, false).await, Err(WriteError::Busy)), "nobody looks after the turn");
        assert!(write(3, 2, false).await.is_ok(), "small ones need none");
        let (stalled, waiting) = tokio::join!(stalled, write(4, large, false));
        assert!(matches!(stalled, Err(WriteError::Stalled)), "{stalled:?}");
        assert_eq!(waiting.unwrap().size, (large * PIECE) as u64);
        assert_eq!(blobs.size(Uuid::from_u128(1)).await.unwrap(), None);
    }
}
