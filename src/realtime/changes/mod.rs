//! Where changes come from: a feed gives every committed change once and in order, and its history what somebody missed.
//!
//! Order: transactions by their highest `seq`, rows by `seq`. So rows come in the order they were written, and T1 precedes T2
//! whenever T1's commit had returned before T2's last write. A transaction that stays open holds up nobody: it comes with
//! the batch after its commit.
//!
//! `cursor.rs` is the place in a feed (pure). `feed.rs` reads the outbox that triggers write to, live; `history.rs` reads it
//! for those who come back; `window.rs` is what both do: a bounded step at a time.
//!
//! `registry.rs` is who wants what, `known.rs` what is known of the tables, `visibility.rs` asks PostgreSQL who sees a row,
//! `predicate` and `filter` decide without it where that is sure (pure), `delivery.rs` puts it all together, `payload.rs` is what
//! clients get (pure).

pub mod cursor;
mod delivery;
pub mod feed;
pub mod filter;
pub mod history;
mod known;
mod payload;
pub mod predicate;
mod registry;
mod row_image;
mod subscriptions;
pub mod value;
mod view;
mod visibility;
mod window;

use std::future::Future;

use chrono::{DateTime, Utc};

pub use cursor::{Cursor, CursorError, Epoch, Snapshot};
pub use feed::OutboxFeed;
pub use history::{Backlog, History, Missed};
pub(in crate::realtime) use payload::Event;
pub(in crate::realtime) use registry::Viewer;
pub use row_image::RowImage;
pub(in crate::realtime) use subscriptions::{CatchingUp, Changes, ChangesParts, Subscription};
pub use window::StepLimit;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A row is new.
    Insert,
    /// A row is another.
    Update,
    /// A row is gone.
    Delete,
    /// All rows are gone; which they were is not known.
    Truncate,
    /// A row of `realtime.messages` is new: to be sent to its topic.
    Message,
}

/// One change of one row, or of all.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its place in its transaction, and unique.
    pub seq: i64,
    /// The oid of the table; of a partition that of the root.
    pub relation: u32,
    /// What happened.
    pub kind: ChangeKind,
    /// When it was written, which is before the commit.
    pub written_at: DateTime<Utc>,
    /// The whole row as it was, of an update or delete.
    pub old: Option<RowImage>,
    /// The whole row as it is, of an insert or update, and of a message.
    pub new: Option<RowImage>,
}

/// What one transaction changed. A large one comes in several parts, in consecutive batches, all with its order.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its highest `seq`.
    pub order: i64,
    /// By `seq`; never empty.
    pub changes: Vec<Change>,
}

/// A step of a feed, bounded in rows and bytes. What became visible at once may take several: they share `before` and
/// `after`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The life of the database.
    pub epoch: Epoch,
    /// What had been given before.
    pub before: Snapshot,
    /// What will have been given after the last step.
    pub after: Snapshot,
    /// By order; never empty.
    pub transactions: Vec<Transaction>,
}

impl Batch {
    /// The cursor of a client that has seen everything up to this change.
    pub fn cursor(&self, transaction: &Transaction, change: &Change) -> Cursor {
        Cursor {
            epoch: self.epoch,
            before: self.before.clone(),
            after: self.after.clone(),
            order: transaction.order,
            seq: change.seq,
        }
    }
}

/// How far a feed is: everything that `seen` sees has been given, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The life of the database.
    pub epoch: Epoch,
    /// What is visible up to here.
    pub seen: Snapshot,
}

impl Position {
    /// The cursor of a client that has seen everything up to here.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, before: self.seen.clone(), after: self.seen.clone(), order: 0, seq: 0 }
    }
}

/// Why a feed or a history cannot go on where it was.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// What came in between is not known any more: everybody has to read anew. The feed goes on from now.
    #[error("changes are lost: the database is another, or was away for longer than changes are kept")]
    Resync,
    /// The connections were closed: the server stops.
    #[error("the feed is closed")]
    Closed,
    /// The database failed. A feed waits and goes on by itself; a history gives it to whoever asked.
    #[error("changes cannot be read: {0}")]
    Database(#[from] sqlx::Error),
}

/// A source of changes. [`OutboxFeed`] reads what triggers wrote down; the interface keeps the place for logical replication as
/// a second source.
pub trait ChangeFeed: Send {
    /// Waits for changes. To be called again after [`FeedError::Resync`], not after [`FeedError::Closed`]; outages are sat
    /// out. A call that is given up before it returns may give nothing twice and lose nothing.
    fn next(&mut self) -> impl Future<Output = Result<Batch, FeedError>> + Send;
}
