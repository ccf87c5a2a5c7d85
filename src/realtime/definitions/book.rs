//! All definitions in memory, as they were a moment ago.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::rules::{AllRules, ChannelRules};
use crate::kernel::config::RealtimeConfig;
use crate::realtime::metrics;
use crate::realtime::store::definitions::{self, ListError};

/// How often they are read. Sockets look once a second at what holds for their channels, so a change holds within two.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest that reading them may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The definitions in force.
#[derive(Debug)]
pub(in crate::realtime) struct DefinitionBook {
    pool: PgPool,
    others: Arc<ChannelRules>,
    /// None until they are read: what is forbidden is not known before.
    rules: ArcSwapOption<AllRules>,
    /// Of two that read, the later puts into force what it finds after the earlier.
    reading: Mutex<()>,
}

impl DefinitionBook {
    /// Those that `pool` reads, over what the configuration says.
    pub(in crate::realtime) fn new(pool: PgPool, config: &RealtimeConfig) -> Self {
        Self {
            pool,
            others: Arc::new(ChannelRules::of_server(config)),
            rules: ArcSwapOption::empty(),
            reading: Mutex::default(),
        }
    }

    /// What holds for a channel of this name; none as long as that cannot be told.
    pub(in crate::realtime) fn rules(&self, name: &str) -> Option<Arc<ChannelRules>> {
        self.rules.load().as_ref().map(|rules| Arc::clone(rules.of(name)))
    }

    /// Reads them. Where that fails, what was read before stays in force.
    pub(in crate::realtime) async fn read(&self) -> Result<(), ListError> {
        let _turn = self.reading.lock().await;
        let stored = definitions::list(&self.pool).await?;
        let read: Vec<_> = stored.into_iter().map(|stored| stored.definition).collect();
        let is_known = self.rules.load().as_ref().is_some_and(|known| known.definitions == read);
        if !is_known {
            self.rules.store(Some(Arc::new(AllRules::new(read, Arc::clone(&self.others)))));
        }
        Ok(())
    }

    /// Keeps them as they are stored, until `stop`.
    pub(in crate::realtime) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let (mut failures, mut read_at) = (0_u32, Instant::now());
        loop {
            let read = timeout(PATIENCE, self.read());
            let Some(read) = stop.run_until_cancelled(read).await else { break };
            match read.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into())) {
                Ok(()) => (failures, read_at) = (0, Instant::now()),
                Err(error) => {
                    failures = failures.saturating_add(1);
                    if failures == 2 {
                        tracing::warn!(
                            "definitions of channels cannot be read; the ones known stay: {error}"
                        );
                    }
                }
            }
            metrics::definitions_age(read_at.elapsed());
            if stop.run_until_cancelled(sleep(PAUSE)).await.is_none() {
                break;
            }
        }
    }
}
