//! The answer to a group, as its caller reads it: rows in order, the last cell of each in pieces.
//!
//! A reply holds no connection. Small answers are in it whole; of a large one it holds the pieces read ahead (bounded),
//! and the connection's task waits for the reader. Dropping a reply is always fine: the task ends the query.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::encode::Ending;
use super::error::DbError;
use super::frame::Column;
use super::spill::Spill;

/// The cells of a row but the last, and how long the last one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowHead {
    /// In text format; `None` is NULL.
    pub cells: Vec<Option<Bytes>>,
    /// Bytes that [`Reply::chunk`] will give for this row; `None` is NULL.
    pub last_len: Option<u32>,
}

/// How a group ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Rows returned or touched, by the command tag of the query.
    pub rows: u64,
}

/// A step of an answer.
#[derive(Debug)]
pub(in crate::kernel::db) enum Event {
    Row(RowHead),
    Piece(Bytes),
}

/// Some steps of an answer, and its end where that is known.
#[derive(Debug, Default)]
pub(in crate::kernel::db) struct Batch {
    pub(in crate::kernel::db) events: Vec<Event>,
    /// No row follows, though the end may still be unknown.
    pub(in crate::kernel::db) rows_complete: bool,
    pub(in crate::kernel::db) end: Option<Result<Completion, DbError>>,
}

/// What the caller of a deciding group decided.
pub(in crate::kernel::db) type Decision = Ending;

/// The first part of an answer.
#[derive(Debug, Default)]
pub(in crate::kernel::db) struct Answer {
    pub(in crate::kernel::db) columns: Option<Arc<[Column]>>,
    pub(in crate::kernel::db) first: Batch,
    pub(in crate::kernel::db) rest: Option<mpsc::Receiver<Batch>>,
    pub(in crate::kernel::db) decision: Option<oneshot::Sender<Decision>>,
    /// Whether the group may have written something, should the connection be lost.
    pub(in crate::kernel::db) is_write: bool,
}

/// The answer to a group.
pub struct Reply {
    columns: Option<Arc<[Column]>>,
    events: VecDeque<Event>,
    /// What follows `events` where the answer was stored.
    spill: Option<Spill>,
    rows_complete: bool,
    end: Option<Result<Completion, DbError>>,
    rest: Option<mpsc::Receiver<Batch>>,
    decision: Option<oneshot::Sender<Decision>>,
    is_write: bool,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("end", &self.end).finish_non_exhaustive()
    }
}

impl Reply {
    pub(in crate::kernel::db) fn new(answer: Answer) -> Self {
        Self {
            columns: answer.columns,
            events: answer.first.events.into(),
            spill: None,
            rows_complete: answer.first.rows_complete,
            end: answer.first.end,
            rest: answer.rest,
            decision: answer.decision,
            is_write: answer.is_write,
        }
    }

    /// The columns of the query, in order.
    pub fn columns(&self) -> &[Column] {
        self.columns.as_deref().unwrap_or_default()
    }

    /// The next row, or `None` after the last. What is left of the row before is skipped.
    ///
    /// An error may also come after rows; then those rows are void, and the transaction was rolled back.
    pub async fn next_row(&mut self) -> Result<Option<RowHead>, DbError> {
        loop {
            match self.next_event().await? {
                Some(Event::Row(head)) => return Ok(Some(head)),
                Some(Event::Piece(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next piece (at most 64 KiB) of the last cell of the current row, or `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, DbError> {
        self.fill().await?;
        match self.events.pop_front() {
            Some(Event::Piece(piece)) => Ok(Some(piece)),
            Some(row) => {
                self.events.push_front(row);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Commits a deciding group. Whether that worked is known at [`Reply::finish`] or [`Reply::buffered`].
    pub fn commit(&mut self) {
        self.decide(Ending::Commit);
    }

    /// Rolls a deciding group back after checking its deferred constraints, whose violation is then the outcome.
    pub fn rollback_checked(&mut self) {
        self.decide(Ending::CheckedRollback);
    }

    fn decide(&mut self, ending: Ending) {
        if let Some(decision) = self.decision.take() {
            // A task that is gone has lost the connection; the end says so.
            let _ = decision.send(ending);
        }
    }

    /// Reads to the end of the transaction and says how it ended. A deciding group that is undecided is rolled back.
    pub async fn finish(mut self) -> Result<Completion, DbError> {
        self.decision = None;
        loop {
            self.events.clear();
            if let Some(end) = self.end {
                return end;
            }
            self.receive().await;
        }
    }

    /// Waits for the end of the transaction, keeping the rest of the answer: up to `memory` bytes here, what is more in
    /// an unlinked temporary file. Afterwards everything that was not read yet can be read as before, and the
    /// transaction is known to have ended well.
    pub async fn buffered(&mut self, memory: usize) -> Result<(), DbError> {
        self.decision = None;
        let mut held: usize = self.events.iter().map(Event::size).sum();
        loop {
            if let Some(Err(error)) = &self.end {
                return Err(error.clone());
            }
            if self.end.is_some() {
                break;
            }
            let known = self.events.len();
            self.receive().await;
            if self.spill.is_none() {
                held += self.events.range(known..).map(Event::size).sum::<usize>();
                if held <= memory {
                    continue;
                }
                self.spill = Some(Spill::create().await?);
            }
            if let Some(spill) = &mut self.spill {
                spill.write(self.events.drain(known..)).await?;
            }
        }
        if let Some(spill) = &mut self.spill {
            spill.rewind().await?;
        }
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Option<Event>, DbError> {
        self.fill().await?;
        Ok(self.events.pop_front())
    }

    /// Makes sure that there is an event unless there is none left.
    async fn fill(&mut self) -> Result<(), DbError> {
        while self.events.is_empty() {
            if let Some(spill) = &mut self.spill {
                if spill.read(&mut self.events).await? {
                    continue;
                }
                self.spill = None;
            }
            match &self.end {
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok(_)) => return Ok(()),
                None if self.rows_complete => return Ok(()),
                None => self.receive().await,
            }
        }
        Ok(())
    }

    /// Takes the next batch; without one the connection is gone.
    async fn receive(&mut self) {
        let batch = match &mut self.rest {
            Some(rest) => rest.recv().await,
            None => None,
        };
        match batch {
            Some(batch) => {
                self.events.extend(batch.events);
                self.rows_complete |= batch.rows_complete;
                self.end = batch.end;
            }
            // A stream is cut off without a word only when it was full for too long.
            None if self.is_write => self.end = Some(Err(DbError::lost(true))),
            None => self.end = Some(Err(DbError::ClientGone)),
        }
    }
}

impl Event {
    /// About what it takes in memory.
    fn size(&self) -> usize {
        match self {
            Self::Row(head) => 64 + head.cells.iter().flatten().map(|cell| cell.len() + 32).sum::<usize>(),
            Self::Piece(piece) => piece.len() + 32,
        }
    }
}
