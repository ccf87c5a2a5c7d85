//! What somebody missed: from a cursor to where the live feed is.
//!
//! To join both without a gap and without doubles: first take the live batches (keep them), then ask the history, give what
//! it has, and then of the live batches those whose `after` is not covered by [`Missed::until`]. Ever after, all.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::timeout;

use super::window::{StepLimit, Window};
use super::{Batch, Cursor, FeedError, Position, Snapshot};
use crate::realtime::store::outbox;

/// How long the feed of this node may be behind that of the node that gave out a cursor.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads what a feed has given. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History {
    pool: PgPool,
    position: watch::Receiver<Option<Position>>,
    limit: StepLimit,
}

/// What became of a cursor.
#[derive(Debug)]
pub enum Backlog {
    /// What came after it is not all there any more, or it is of another life of the database: read anew.
    Resync,
    /// Everything that came after it.
    Missed(Missed),
}

/// What was missed, read a step at a time; no connection is held between the steps.
#[derive(Debug)]
pub struct Missed {
    pool: PgPool,
    limit: StepLimit,
    until: Snapshot,
    /// The rest of the cursor's batch, then what came after that.
    windows: Vec<Window>,
}

impl History {
    pub(super) fn new(pool: PgPool, position: watch::Receiver<Option<Position>>, limit: StepLimit) -> Self {
        Self { pool, position, limit }
    }

    /// What came after `since`, up to where the feed is now.
    pub async fn backlog(&self, since: &Cursor) -> Result<Backlog, FeedError> {
        match self.reached(since).await? {
            Some(until) => self.backlog_to(since, until).await,
            None => Ok(Backlog::Resync),
        }
    }

    /// What came after `since`, up to a place that the feed has reached.
    pub async fn backlog_to(&self, since: &Cursor, until: Snapshot) -> Result<Backlog, FeedError> {
        // What goes while it is read is found by the step that misses it.
        if outbox::horizon(&self.pool).await?.hides_from(&since.before) {
            return Ok(Backlog::Resync);
        }
        let rest = Window::rest_of(since);
        let later = Window::between(since.epoch, since.after.clone(), until.clone());
        let (pool, limit) = (self.pool.clone(), self.limit);
        Ok(Backlog::Missed(Missed { pool, limit, until, windows: vec![later, rest] }))
    }

    /// Where the feed is, once it has seen what the cursor has; `None` if it never will.
    pub async fn reached(&self, since: &Cursor) -> Result<Option<Snapshot>, FeedError> {
        let mut position = self.position.clone();
        let decided = |position: &Option<Position>| {
            position.as_ref().is_some_and(|now| now.epoch != since.epoch || now.seen.covers(&since.after))
        };
        let reached = timeout(PATIENCE, position.wait_for(decided)).await;
        match reached {
            Err(_) => Ok(None),
            Ok(Err(_)) => Err(FeedError::Closed),
            Ok(Ok(position)) => {
                let now = position.as_ref().filter(|now| now.epoch == since.epoch);
                Ok(now.map(|now| now.seen.clone()))
            }
        }
    }
}

impl Missed {
    /// Where it ends: live batches that this covers hold nothing new.
    pub fn until(&self) -> &Snapshot {
        &self.until
    }

    /// The next step; `None` at the end. [`FeedError::Resync`] if what was still to be read has been removed meanwhile.
    pub async fn next(&mut self) -> Result<Option<Batch>, FeedError> {
        while let Some(window) = self.windows.last_mut() {
            let mut connection = self.pool.acquire().await?;
            if let Some(batch) = window.step(&mut *connection, self.limit).await? {
                return Ok(Some(batch));
            }
            self.windows.pop();
        }
        Ok(None)
    }
}
