//! A group on its way: matches the server's frames to the statements of the group.
//!
//! Pure bookkeeping, no I/O. Any frame that does not fit the script is a protocol error, and the connection is then
//! given up: guessing where an answer belongs could hand one caller's rows to another.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::encode::{Parses, Script, abandon};
use super::error::{SqlError, Stage};
use super::frame::{Column, Frame, invalid};
use super::reply::Event;
use super::statements::Statements;

/// What a frame meant for the group.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kernel::db) enum Progress {
    /// Nothing to act on.
    Going,
    /// The query's rows are complete (its end may still fail).
    RowsComplete,
    /// A statement failed; the server ignores everything up to the Sync.
    Failed,
    /// The server closes the connection.
    Closing,
    /// The group is over, with the transaction state after it.
    Over(u8),
}

/// A group whose frames were written.
pub(in crate::kernel::db) struct Flight {
    pub(in crate::kernel::db) script: Script,
    at: usize,
    /// Rows and pieces that are not handed out yet.
    pub(in crate::kernel::db) events: Vec<Event>,
    /// How many bytes of cells `events` holds.
    pub(in crate::kernel::db) waiting_bytes: usize,
    /// How many bytes of cells came in all.
    pub(in crate::kernel::db) total_bytes: usize,
    pub(in crate::kernel::db) columns: Option<Arc<[Column]>>,
    /// Rows touched by the query.
    pub(in crate::kernel::db) rows: u64,
    pub(in crate::kernel::db) error: Option<Box<SqlError>>,
    /// Whether the server has answered anything, so the group may have had effects.
    pub(in crate::kernel::db) is_touched: bool,
    /// Whether the query's rows are complete.
    pub(in crate::kernel::db) rows_complete: bool,
    /// Whether rows are dropped as they come.
    pub(in crate::kernel::db) discards: bool,
}

impl Flight {
    pub(in crate::kernel::db) fn new(mut script: Script) -> Self {
        let columns = script.columns.take();
        Self {
            script,
            at: 0,
            events: Vec::new(),
            waiting_bytes: 0,
            total_bytes: 0,
            columns,
            rows: 0,
            error: None,
            is_touched: false,
            rows_complete: false,
            discards: false,
        }
    }

    /// Whether rows that come now are for the caller.
    pub(in crate::kernel::db) fn wants_rows(&self) -> bool {
        !self.discards && self.stage() == Some(Stage::Query)
    }

    fn stage(&self) -> Option<Stage> {
        self.script.steps.get(self.at).map(|step| step.stage)
    }

    fn parses(&self) -> Parses {
        self.script.steps.get(self.at).map_or(Parses::Nothing, |step| step.parses)
    }

    /// Takes the next frame.
    pub(in crate::kernel::db) fn take(
        &mut self,
        frame: Frame,
        statements: &mut Statements,
    ) -> io::Result<Progress> {
        match frame {
            Frame::Notice(notice) => {
                tracing::debug!(code = notice.code, message = notice.message, "notice of PostgreSQL");
                return Ok(Progress::Going);
            }
            // Close frames of earlier statements may be answered in between.
            Frame::Parameter | Frame::CloseComplete => return Ok(Progress::Going),
            Frame::Error(error) => return Ok(self.fail(error)),
            Frame::Ready(state) => return self.end(state, statements),
            _ if self.error.is_some() => return Err(invalid("an answer after an error")),
            _ => self.is_touched = true,
        }
        match frame {
            Frame::ParseComplete => match self.parses() {
                Parses::Nothing => {}
                Parses::Settings(ticket) => statements.confirm_settings(ticket),
                Parses::Query(id) => statements.confirm(id),
            },
            Frame::BindComplete | Frame::Skipped => {}
            Frame::NoData if self.stage() == Some(Stage::Query) => self.describe(&Arc::from([]), statements),
            Frame::Columns(columns) if self.stage() == Some(Stage::Query) => {
                self.describe(&columns, statements);
            }
            Frame::Row(head, last) if self.wants_rows() => {
                self.count(head.cells.iter().flatten().map(Bytes::len).sum::<usize>() + 16);
                self.events.push(Event::Row(head));
                if let Some(last) = last.filter(|last| !last.is_empty()) {
                    self.count(last.len());
                    self.events.push(Event::Piece(last));
                }
            }
            Frame::Piece(piece) if self.wants_rows() => {
                self.count(piece.len());
                self.events.push(Event::Piece(piece));
            }
            Frame::Complete(rows) => {
                let stage = self.stage().ok_or_else(|| invalid("an answer to nothing"))?;
                self.at += 1;
                if stage == Stage::Query {
                    self.rows = rows;
                    self.rows_complete = true;
                    return Ok(Progress::RowsComplete);
                }
            }
            _ => return Err(invalid("a frame that does not belong here")),
        }
        Ok(Progress::Going)
    }

    fn count(&mut self, bytes: usize) {
        self.waiting_bytes += bytes;
        self.total_bytes += bytes;
    }

    fn describe(&mut self, columns: &Arc<[Column]>, statements: &mut Statements) {
        if let Parses::Query(id) = self.parses() {
            statements.describe(id, columns);
        }
        self.columns = Some(Arc::clone(columns));
    }

    fn fail(&mut self, mut error: Box<SqlError>) -> Progress {
        let fatal = error.is_fatal();
        // An error between the last statement and ReadyForQuery is the commit's.
        error.stage = self.stage().unwrap_or(Stage::End);
        if fatal {
            self.error.get_or_insert(error);
            return Progress::Closing;
        }
        self.is_touched = true;
        self.error.get_or_insert(error);
        Progress::Failed
    }

    fn end(&mut self, state: u8, statements: &mut Statements) -> io::Result<Progress> {
        if self.script.undecided {
            return Err(invalid("an end that was not asked for"));
        }
        if self.error.is_none() && self.at != self.script.steps.len() {
            return Err(invalid("an end before the last statement"));
        }
        for step in &self.script.steps {
            abandon(statements, step.parses);
        }
        Ok(Progress::Over(state))
    }

    /// Forgets rows that nobody will read, and those to come.
    pub(in crate::kernel::db) fn discard(&mut self) {
        self.discards = true;
        self.events = Vec::new();
        self.waiting_bytes = 0;
    }
}
