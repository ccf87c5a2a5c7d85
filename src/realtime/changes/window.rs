//! What became visible between two snapshots, in steps: bounded in memory whatever its size, in order, transactions whole
//! or in consecutive parts.

use std::collections::{HashMap, VecDeque};

use sqlx::postgres::PgExecutor;

use super::{Batch, Cursor, Epoch, FeedError, Snapshot, Transaction};
use crate::realtime::store::outbox::{self, Plan, Planned, Written};

/// How many transactions are planned at once: 32 bytes each.
const MOST_PLANNED: usize = 20_000;

/// How much one step may hold; a single row may always be larger.
#[derive(Clone, Copy, Debug)]
pub struct StepLimit {
    /// Rows.
    pub rows: i64,
    /// Bytes, as PostgreSQL stores them; the text is of the same order.
    pub bytes: i64,
}

impl Default for StepLimit {
    fn default() -> Self {
        Self { rows: 1000, bytes: 4 << 20 }
    }
}

/// What is left to read between two snapshots.
#[derive(Debug)]
pub(super) struct Window {
    epoch: Epoch,
    before: Snapshot,
    after: Snapshot,
    planned: VecDeque<Planned>,
    /// Whether there may be more than is planned.
    is_cut: bool,
    /// What was read last.
    order: i64,
    seq: i64,
}

impl Window {
    /// What a plan of everything that is visible now holds.
    pub(super) fn live(epoch: Epoch, before: Snapshot, plan: Plan) -> Self {
        let is_cut = plan.transactions.len() >= MOST_PLANNED;
        Self { epoch, before, after: plan.now, planned: plan.transactions.into(), is_cut, order: 0, seq: 0 }
    }

    /// What is left of the batch that a cursor stands in.
    pub(super) fn rest_of(cursor: &Cursor) -> Self {
        let (before, after) = (cursor.before.clone(), cursor.after.clone());
        Self { order: cursor.order, seq: cursor.seq, ..Self::between(cursor.epoch, before, after) }
    }

    /// Everything between two snapshots.
    pub(super) fn between(epoch: Epoch, before: Snapshot, after: Snapshot) -> Self {
        let is_cut = before != after;
        Self { epoch, before, after, planned: VecDeque::new(), is_cut, order: 0, seq: 0 }
    }

    /// The plan of a live window.
    pub(super) async fn plan(
        connection: impl PgExecutor<'_>,
        before: &Snapshot,
    ) -> Result<Plan, sqlx::Error> {
        outbox::plan(connection, (before, None), (0, 0), MOST_PLANNED).await
    }

    /// The next step; `None` at the end. On failure nothing was taken, and the step can be tried again.
    pub(super) async fn step<C>(
        &mut self,
        connection: &mut C,
        limit: StepLimit,
    ) -> Result<Option<Batch>, FeedError>
    where
        for<'c> &'c mut C: PgExecutor<'c>,
    {
        if self.planned.is_empty() {
            if !self.is_cut {
                return Ok(None);
            }
            self.extend(&mut *connection).await?;
        }
        let Some(first) = self.planned.front().copied() else { return Ok(None) };
        let transactions = if first.rows > limit.rows || first.size > limit.bytes {
            vec![self.part(connection, first, limit).await?]
        } else {
            self.whole(connection, limit).await?
        };
        let (epoch, before, after) = (self.epoch, self.before.clone(), self.after.clone());
        Ok(Some(Batch { epoch, before, after, transactions }))
    }

    async fn extend(&mut self, connection: impl PgExecutor<'_>) -> Result<(), FeedError> {
        let window = (&self.before, Some(&self.after));
        let plan = outbox::plan(connection, window, (self.order, self.seq), MOST_PLANNED).await?;
        if plan.horizon.hides_from(&self.before) {
            return Err(FeedError::Resync);
        }
        self.is_cut = plan.transactions.len() >= MOST_PLANNED;
        self.planned = plan.transactions.into();
        Ok(())
    }

    /// As many whole transactions as fit.
    async fn whole(
        &mut self,
        connection: impl PgExecutor<'_>,
        limit: StepLimit,
    ) -> Result<Vec<Transaction>, FeedError> {
        let is_begun = self.planned.front().is_some_and(|first| first.order == self.order);
        let seq = if is_begun { self.seq } else { 0 };
        let (mut rows, mut bytes) = (0, 0);
        let fits = |planned: &&Planned| {
            rows += planned.rows;
            bytes += planned.size;
            rows <= limit.rows && bytes <= limit.bytes
        };
        // The rest of one that was begun goes alone: `seq` is not for the others.
        let most = if is_begun { 1 } else { usize::MAX };
        let chosen: Vec<Planned> = self.planned.iter().take(most).take_while(fits).copied().collect();
        let written = outbox::rows(connection, chosen.iter().map(|planned| planned.xid), seq).await?;
        let transactions = grouped(&chosen, written)?;
        self.planned.drain(..chosen.len());
        if let Some(last) = chosen.last() {
            (self.order, self.seq) = (last.order, last.order);
        }
        Ok(transactions)
    }

    /// A part of a transaction that does not fit.
    async fn part(
        &mut self,
        connection: impl PgExecutor<'_>,
        planned: Planned,
        limit: StepLimit,
    ) -> Result<Transaction, FeedError> {
        let seq = if planned.order == self.order { self.seq } else { 0 };
        let written = outbox::part(connection, planned.xid, seq, (limit.rows, limit.bytes)).await?;
        let Some((_, last)) = written.last() else { return Err(FeedError::Resync) };
        (self.order, self.seq) = (planned.order, last.seq);
        let count = i64::try_from(written.len()).unwrap_or(i64::MAX);
        if last.seq == planned.order {
            // The last row there is, and so all of them, unless some were removed meanwhile.
            if count != planned.rows {
                return Err(FeedError::Resync);
            }
            self.planned.pop_front();
        } else if let Some(front) = self.planned.front_mut() {
            front.rows -= count;
        }
        let changes = written.into_iter().map(|(_, change)| change).collect();
        Ok(Transaction { order: planned.order, changes })
    }
}

/// Sorts rows into their transactions. What was planned must be there: rows go when their partition is emptied.
fn grouped(planned: &[Planned], written: Vec<Written>) -> Result<Vec<Transaction>, FeedError> {
    let mut changes: HashMap<u64, Vec<_>> = HashMap::with_capacity(planned.len());
    for (xid, change) in written {
        changes.entry(xid).or_default().push(change);
    }
    let mut transactions = Vec::with_capacity(planned.len());
    for planned in planned {
        let changes = changes.remove(&planned.xid).unwrap_or_default();
        if i64::try_from(changes.len()) != Ok(planned.rows) {
            return Err(FeedError::Resync);
        }
        transactions.push(Transaction { order: planned.order, changes });
    }
    Ok(transactions)
}
