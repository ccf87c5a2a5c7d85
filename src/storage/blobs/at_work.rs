//! Which blobs are on their way to the backend in this process, so that none is removed before it has arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The writers by what they write. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct AtWork {
    writers: Arc<Mutex<HashMap<Uuid, watch::Sender<()>>>>,
    /// What goes on although nobody waits for it: the end of a writer.
    pub(super) tasks: TaskTracker,
}

/// A writer that has not ended; it has when all that share this have dropped it.
#[derive(Clone)]
pub(super) struct Writing(#[expect(dead_code, reason = "held for its end")] Arc<Held>);

struct Held {
    all: AtWork,
    version: Uuid,
}

impl AtWork {
    /// A writer begins. A version has one in its life.
    pub(super) fn begin(&self, version: Uuid) -> Writing {
        self.lock().insert(version, watch::Sender::new(()));
        Writing(Arc::new(Held { all: self.clone(), version }))
    }

    /// Waits until nobody writes it.
    pub(super) async fn ended(&self, version: Uuid) {
        let writer = self.lock().get(&version).map(watch::Sender::subscribe);
        if let Some(mut writer) = writer {
            // Nothing is ever sent: this fails when the sender is gone.
            let _ = writer.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.lock().remove(&self.version);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_a_writer_waits_until_it_has_ended() {
        let (all, version) = (AtWork::default(), Uuid::from_u128(1));
        let writing = all.begin(version);
        let mut end = Box::pin(all.ended(version));
        assert_eq!((&mut end).now_or_never(), None);
        assert_eq!(all.ended(Uuid::from_u128(2)).now_or_never(), Some(()));
        drop(writing);
        end.await;
        all.ended(version).await;
    }
}
