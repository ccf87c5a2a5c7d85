//! The result of a statement group: leading columns first, then the body in pieces, never held whole.
//!
//! A small body is taken at once, so that its connection is free; a large one is forwarded as it arrives. An error
//! midway ends the connection to the client, never the body.

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;

use crate::kernel::db::lanes::Lanes;
use crate::kernel::db::wire::{DbError, Group, Reply, RowHead};
use crate::rest::core::render::{ResultColumn, Shape};
use crate::rest::core::response::ResultHead;
use crate::rest::file_urls::Splice;

/// A body up to this size, in bytes, is taken whole before the answer starts.
const WHOLE: usize = 64 * 1024;
/// Lines are collected to pieces of at least this size, in bytes.
const PIECE: usize = 16 * 1024;
/// How much of a write's body is kept in memory until its transaction has ended, in bytes; the rest goes to a file.
const SETTLED_MEMORY: usize = 1 << 20;
/// The OID of `jsonb`, whose binary form starts with a version byte.
const JSONB_OID: u32 = 3802;

/// Runs a statement whose one column is small and for ourselves, and reads all of it.
pub(super) async fn read_all(lanes: &Lanes, group: Group) -> Result<Vec<u8>, DbError> {
    let mut reply = lanes.run(group).await?;
    let mut text = Vec::new();
    while reply.next_row().await?.is_some() {
        while let Some(piece) = reply.chunk().await? {
            text.extend_from_slice(&piece);
        }
    }
    reply.finish().await?;
    Ok(text)
}

/// The body of an answer.
pub(super) struct ResultBody {
    /// Its length in bytes, if known.
    pub length: Option<u64>,
    /// The bytes.
    pub body: Body,
}

impl ResultBody {
    /// A body that is all there.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { length: u64::try_from(bytes.len()).ok(), body: Body::from(bytes) }
    }
}

/// A statement that has answered its first row.
pub(super) struct Running {
    reply: Reply,
    first: RowHead,
    shape: Shape,
    /// Bytes at the start of the body that are not the body's.
    skip: usize,
    splice: Option<Splice>,
}

impl Running {
    /// Runs `group` and waits for its first row. What `splice` finds in the body is replaced.
    pub(super) async fn start(
        lanes: &Lanes,
        group: Group,
        shape: Shape,
        splice: Option<Splice>,
    ) -> Result<Self, DbError> {
        let mut reply = lanes.run(group).await?;
        let Some(first) = reply.next_row().await? else {
            return Err(DbError::Internal("the statement returned no row"));
        };
        let is_jsonb = reply.columns().last().is_some_and(|column| column.type_oid == JSONB_OID);
        Ok(Self { skip: usize::from(is_jsonb && first.last_len.is_some()), reply, first, shape, splice })
    }

    /// What the leading columns say.
    pub(super) fn head(&self) -> ResultHead {
        if self.shape == Shape::PlanText {
            return ResultHead::default();
        }
        let text = |column: ResultColumn| -> Option<String> {
            let cell = self.first.cells.get(column as usize)?.as_ref()?;
            Some(String::from_utf8_lossy(cell).into_owned())
        };
        let number = |column: ResultColumn| text(column).and_then(|text| text.parse().ok());
        ResultHead {
            total: number(ResultColumn::Total),
            rows: number(ResultColumn::Rows).unwrap_or_default(),
            headers: text(ResultColumn::Headers),
            status: text(ResultColumn::Status),
            location: text(ResultColumn::Location),
            inserted: number(ResultColumn::Inserted),
        }
    }

    /// The length in bytes of a body that is one piece, before anything in it is replaced.
    pub(super) fn body_length(&self) -> Option<u64> {
        let length = usize::try_from(self.first.last_len.unwrap_or(0)).ok()?;
        (self.shape == Shape::Whole).then(|| (length - self.skip) as u64)
    }

    /// Keeps what a deciding group did.
    pub(super) fn commit(&mut self) {
        self.reply.commit();
    }

    /// Undoes what a deciding group did, deferred constraints checked.
    pub(super) fn rollback_checked(&mut self) {
        self.reply.rollback_checked();
    }

    /// Waits for the end of the transaction; the body is not wanted.
    pub(super) async fn finish(self) -> Result<(), DbError> {
        self.reply.finish().await.map(drop)
    }

    /// Waits for the end of the transaction and keeps the body.
    pub(super) async fn settle(&mut self) -> Result<(), DbError> {
        self.reply.buffered(SETTLED_MEMORY).await
    }

    /// The body.
    pub(super) async fn body(self) -> Result<ResultBody, DbError> {
        let length = self.body_length().filter(|_| self.splice.is_none());
        let mut pieces = Pieces::new(self);
        let mut start = BytesMut::new();
        while let Some(piece) = pieces.next().await? {
            if start.is_empty() && length == Some(piece.len() as u64) {
                pieces.finish().await?;
                return Ok(ResultBody::whole(piece));
            }
            start.extend_from_slice(&piece);
            if start.len() > WHOLE {
                let rest = stream::try_unfold((Some(start.freeze()), Some(pieces)), forward);
                return Ok(ResultBody { length, body: Body::from_stream(rest) });
            }
        }
        pieces.finish().await?;
        Ok(ResultBody::whole(start.freeze()))
    }
}

type Forwarding = (Option<Bytes>, Option<Pieces>);

/// One step of a forwarded body: first what was read ahead, then what arrives, then whether it ended well.
async fn forward((ahead, pieces): Forwarding) -> Result<Option<(Bytes, Forwarding)>, DbError> {
    if let Some(ahead) = ahead {
        return Ok(Some((ahead, (None, pieces))));
    }
    let Some(mut pieces) = pieces else { return Ok(None) };
    if let Some(piece) = pieces.next().await? {
        return Ok(Some((piece, (None, Some(pieces)))));
    }
    pieces.finish().await?;
    Ok(None)
}

/// The pieces of a body, put together from the rows of a result.
struct Pieces {
    reply: Reply,
    shape: Shape,
    skip: usize,
    /// The row being read, from 0.
    row: usize,
    is_done: bool,
    splice: Option<Splice>,
}

impl Pieces {
    fn new(running: Running) -> Self {
        let Running { reply, shape, skip, splice, .. } = running;
        Self { reply, shape, skip, row: 0, is_done: false, splice }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, DbError> {
        loop {
            let piece = self.next_as_sent().await?;
            let Some(splice) = &mut self.splice else { return Ok(piece) };
            let Some(piece) = piece else {
                let rest = splice.rest();
                return Ok((!rest.is_empty()).then_some(rest));
            };
            let piece = splice.replaced(piece);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// As PostgreSQL sends it.
    async fn next_as_sent(&mut self) -> Result<Option<Bytes>, DbError> {
        if self.is_done {
            return Ok(None);
        }
        match self.shape {
            Shape::Whole => self.next_of_whole().await,
            Shape::Lines { .. } | Shape::PlanText => self.next_lines().await,
        }
    }

    async fn next_of_whole(&mut self) -> Result<Option<Bytes>, DbError> {
        while let Some(mut piece) = self.reply.chunk().await? {
            let skipped = self.skip.min(piece.len());
            self.skip -= skipped;
            let piece = piece.split_off(skipped);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        self.is_done = true;
        Ok(None)
    }

    async fn next_lines(&mut self) -> Result<Option<Bytes>, DbError> {
        let mut lines = BytesMut::with_capacity(PIECE);
        while lines.len() < PIECE {
            if let Some(piece) = self.reply.chunk().await? {
                lines.extend_from_slice(&piece);
                continue;
            }
            if ends_line(self.shape, self.row) {
                lines.put_u8(b'\n');
            }
            if self.reply.next_row().await?.is_none() {
                self.is_done = true;
                break;
            }
            self.row += 1;
            if begins_line(self.shape, self.row) {
                lines.put_u8(b'\n');
            }
        }
        Ok((!lines.is_empty()).then(|| lines.freeze()))
    }

    async fn finish(self) -> Result<(), DbError> {
        self.reply.finish().await.map(drop)
    }
}

/// Whether a line end stands before the cell of a row. CSV puts line ends between lines, so that none follows the last.
fn begins_line(shape: Shape, row: usize) -> bool {
    shape == Shape::Lines { has_header: true } && row > 1
}

/// Whether a line end follows the cell of a row. The first row of lines is the header: CSV ends it always, NDJSON has
/// none.
fn ends_line(shape: Shape, row: usize) -> bool {
    match shape {
        Shape::Whole => false,
        Shape::Lines { has_header: true } => row == 0,
        Shape::Lines { has_header: false } => row > 0,
        Shape::PlanText => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body that these cells make.
    fn body(shape: Shape, cells: &[&str]) -> String {
        let end = |is_there: bool| if is_there { "\n" } else { "" };
        let cell =
            |(row, cell)| format!("{}{cell}{}", end(begins_line(shape, row)), end(ends_line(shape, row)));
        cells.iter().enumerate().map(cell).collect()
    }

    #[test]
    fn csv_has_line_ends_between_lines_and_one_after_the_header() {
        let csv = Shape::Lines { has_header: true };
        assert_eq!(body(csv, &["id,name"]), "id,name\n");
        assert_eq!(body(csv, &["id,name", "1,a"]), "id,name\n1,a");
        assert_eq!(body(csv, &["id,name", "1,a", "2,b"]), "id,name\n1,a\n2,b");
    }

    #[test]
    fn ndjson_ends_every_line_and_has_no_header() {
        let ndjson = Shape::Lines { has_header: false };
        assert_eq!(body(ndjson, &[""]), "");
        assert_eq!(body(ndjson, &["", "{}", "{}"]), "{}\n{}\n");
    }

    #[test]
    fn an_execution_plan_ends_every_line_and_a_whole_body_none() {
        assert_eq!(body(Shape::PlanText, &["a", "b"]), "a\nb\n");
        assert_eq!(body(Shape::Whole, &["[]"]), "[]");
    }
}
