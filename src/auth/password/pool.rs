//! A pool for blocking work that refuses rather than queues without end.
//!
//! Work runs on tokio's blocking threads, never on those that serve requests. A caller who goes away while waiting gives
//! their place up at once; one who goes away during the computation leaves a slot that is taken until its end, because a
//! thread cannot be stopped. So what runs is bounded whatever clients do.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// The most that a pool may admit, running and waiting together.
pub(super) const MAX_ADMITTED: usize = 100_000;

/// So much work at once, and so much more that waits in order of arrival. Clones share the bounds.
#[derive(Clone, Debug)]
pub struct BoundedPool {
    /// One permit for everybody who runs or waits.
    places: Arc<Semaphore>,
    /// One permit for each unit of work that runs.
    slots: Arc<Semaphore>,
    concurrency: u32,
}

impl BoundedPool {
    /// A pool in which `concurrency` run and `queue` more wait.
    pub fn new(concurrency: NonZeroUsize, queue: usize) -> Self {
        let slots = concurrency.get().min(MAX_ADMITTED);
        let places = slots.saturating_add(queue).min(MAX_ADMITTED);
        Self {
            places: Arc::new(Semaphore::new(places)),
            slots: Arc::new(Semaphore::new(slots)),
            concurrency: u32::try_from(slots).unwrap_or(u32::MAX),
        }
    }

    /// Runs `work` when its turn comes. Work that needs several shares of the memory takes as many slots, at most all.
    pub async fn run<T: Send + 'static>(
        &self,
        shares: u32,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| PoolError::Busy)?;
        let wanted = shares.clamp(1, self.concurrency);
        let slot =
            Arc::clone(&self.slots).acquire_many_owned(wanted).await.map_err(|_| PoolError::Abandoned)?;
        let running = tokio::task::spawn_blocking(move || {
            let _until_the_end = (place, slot);
            work()
        });
        running.await.map_err(|_| PoolError::Abandoned)
    }
}

/// Why work gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// As many as may wait are waiting already: try again later.
    #[error("too many are waiting already")]
    Busy,
    /// The work panicked, or the runtime is shutting down.
    #[error("the work was abandoned")]
    Abandoned,
}
