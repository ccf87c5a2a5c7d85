//! What somebody missed: from a cursor to where the live feed is.
//!
//! To join both without a gap and without doubles: first take the live batches (keep them), then ask the history up to where
//! the feed then is, give what it has, and of the live batches those whose `after` that place does not cover. Ever after, all.

use sqlx::PgPool;

use super::window::{StepLimit, Window};
use super::{Batch, Cursor, FeedError, Snapshot};
use crate::realtime::store::outbox;

/// Reads what a feed has given. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History {
    pool: PgPool,
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
    /// The rest of the cursor's batch, then what came after that.
    windows: Vec<Window>,
}

impl History {
    pub(super) fn new(pool: PgPool, limit: StepLimit) -> Self {
        Self { pool, limit }
    }

    /// What came after `since`, up to a place that the feed has reached.
    pub async fn backlog(&self, since: &Cursor, until: Snapshot) -> Result<Backlog, FeedError> {
        // What goes while it is read is found by the step that misses it.
        if outbox::horizon(&self.pool).await?.hides_from(&since.before) {
            return Ok(Backlog::Resync);
        }
        let rest = Window::rest_of(since);
        let later = Window::between(since.epoch, since.after.clone(), until);
        let (pool, limit) = (self.pool.clone(), self.limit);
        Ok(Backlog::Missed(Missed { pool, limit, windows: vec![later, rest] }))
    }
}

impl Missed {
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
