//! Takes backend frames out of the read buffer, large rows in steps.
//!
//! Owns the read buffer of a connection. A row that fits in the buffer comes whole; the last cell of a larger one comes
//! in pieces as the bytes arrive, so memory does not depend on the size of a result. Every length is checked against a
//! cap before anything is reserved: the server is trusted with data, not with our memory.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::backend as tags;

use super::error::SqlError;
use super::reply::RowHead;

/// The size of the read buffer and the largest piece of a cell.
pub(in crate::kernel::db) const STEP: usize = 64 * 1024;
/// The cells before the last of one row may take this much together.
const MAX_ROW_HEAD: usize = 16 * 1024 * 1024;
/// Any other frame (an error, a row description).
const MAX_FRAME: usize = 16 * 1024 * 1024;
/// Rows up to this size are copied out, so that a waiting reader does not keep the whole read buffer alive.
const COPY_LIMIT: usize = 16 * 1024;

/// A column of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The OID of its type.
    pub type_oid: u32,
}

/// A backend frame, reduced to what the client acts on.
#[derive(Debug)]
pub(in crate::kernel::db) enum Frame {
    ParseComplete,
    BindComplete,
    CloseComplete,
    NoData,
    /// A statement ended; how many rows it touched.
    Complete(u64),
    /// The transaction state after a Sync: `I`, `T` or `E`.
    Ready(u8),
    Columns(Arc<[Column]>),
    /// A row; the last cell follows as pieces unless it came whole.
    Row(RowHead, Option<Bytes>),
    Piece(Bytes),
    /// A row that nobody wants.
    Skipped,
    Error(Box<SqlError>),
    Notice(Box<SqlError>),
    /// A server parameter changed.
    Parameter,
    /// A frame that has no place in this conversation.
    Unexpected,
}

/// The read buffer and what is known of the frame at its front.
pub(in crate::kernel::db) struct FrameReader {
    buffer: BytesMut,
    /// Bytes of the current last cell that are still to come.
    in_cell: usize,
    /// Bytes of an unwanted frame that are still to come.
    to_skip: usize,
}

impl FrameReader {
    pub(in crate::kernel::db) fn new() -> Self {
        Self { buffer: BytesMut::with_capacity(STEP), in_cell: 0, to_skip: 0 }
    }

    /// The buffer to read into, with room for at least a page.
    pub(in crate::kernel::db) fn space(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < 4096 {
            self.buffer.reserve(STEP);
        }
        &mut self.buffer
    }

    /// The tag and body of the next frame as they are, for the login conversation.
    pub(in crate::kernel::db) fn next_raw(&mut self) -> io::Result<Option<(u8, Bytes)>> {
        let Some((tag, total)) = self.header()? else { return Ok(None) };
        if total > MAX_FRAME {
            return Err(invalid("a frame is too large"));
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        let body = Bytes::copy_from_slice(&self.buffer[5..total]);
        self.buffer.advance(total);
        Ok(Some((tag, body)))
    }

    fn header(&self) -> io::Result<Option<(u8, usize)>> {
        let Some(head) = self.buffer.first_chunk::<5>() else { return Ok(None) };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        if !(4..=0x7fff_ffff).contains(&length) {
            return Err(invalid("a frame has an impossible length"));
        }
        Ok(Some((head[0], length as usize + 1)))
    }

    /// The next frame, or `None` until more bytes arrive. Rows come as [`Frame::Skipped`] unless wanted.
    pub(in crate::kernel::db) fn next(&mut self, want_rows: bool) -> io::Result<Option<Frame>> {
        if self.to_skip > 0 {
            let step = self.to_skip.min(self.buffer.len());
            self.buffer.advance(step);
            self.to_skip -= step;
            return Ok((self.to_skip == 0).then_some(Frame::Skipped));
        }
        if self.in_cell > 0 {
            return Ok(self.piece(want_rows));
        }
        let Some((tag, total)) = self.header()? else { return Ok(None) };
        if tag == tags::DATA_ROW_TAG {
            return self.row(total, want_rows);
        }
        if total > MAX_FRAME {
            return Err(invalid("a frame is too large"));
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        let frame = parse(tag, &self.buffer[5..total])?;
        self.buffer.advance(total);
        Ok(Some(frame))
    }

    fn piece(&mut self, want_rows: bool) -> Option<Frame> {
        let step = self.in_cell.min(self.buffer.len()).min(STEP);
        if step == 0 {
            return None;
        }
        self.in_cell -= step;
        if !want_rows {
            self.buffer.advance(step);
            return Some(Frame::Skipped);
        }
        Some(Frame::Piece(self.take(step)))
    }

    fn row(&mut self, total: usize, want_rows: bool) -> io::Result<Option<Frame>> {
        if !want_rows {
            let step = total.min(self.buffer.len());
            self.buffer.advance(step);
            self.to_skip = total - step;
            return Ok((self.to_skip == 0).then_some(Frame::Skipped));
        }
        if self.buffer.len() >= total {
            self.buffer.advance(5);
            let body = self.take(total - 5);
            let Some((head, offset)) = row_head(&body)? else { return Err(invalid("a row is cut short")) };
            let end = offset + head.last_len.map_or(0, |length| length as usize);
            if end != body.len() {
                return Err(invalid("a row's length does not fit its cells"));
            }
            let last = head.last_len.map(|_| body.slice(offset..end));
            return Ok(Some(Frame::Row(head, last)));
        }
        if total <= STEP / 2 {
            return Ok(None);
        }
        // A large row: give its head as soon as it is complete, then the last cell in pieces.
        let body_length = total - 5;
        match walk_row(&self.buffer[5..], |_| {})? {
            Some((offset, last_len)) => {
                let last = last_len.map_or(0, |length| length as usize);
                if offset + last != body_length {
                    return Err(invalid("a row's length does not fit its cells"));
                }
                self.buffer.advance(5);
                let head = Bytes::copy_from_slice(&self.buffer[..offset]);
                self.buffer.advance(offset);
                self.in_cell = last;
                let Some((head, _)) = row_head(&head)? else { return Err(invalid("a row is cut short")) };
                Ok(Some(Frame::Row(head, None)))
            }
            None if self.buffer.len() > MAX_ROW_HEAD => Err(invalid("the head of a row is too large")),
            None => Ok(None),
        }
    }

    /// The next bytes as their own allocation where they are few.
    fn take(&mut self, length: usize) -> Bytes {
        if length <= COPY_LIMIT {
            let bytes = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            bytes
        } else {
            self.buffer.split_to(length).freeze()
        }
    }
}

/// Where the last cell of a row is, and how long (`None` is NULL).
type LastCell = (usize, Option<u32>);

/// How many cells a row has, once that is there.
fn cell_count(body: &[u8]) -> Option<usize> {
    body.first_chunk::<2>().map(|count| usize::from(u16::from_be_bytes(*count)))
}

/// Walks over the cells of a row up to the last, of which only the length need be there; `None` until that is so.
/// `visit` gets the place of each cell before the last.
fn walk_row(body: &[u8], mut visit: impl FnMut(Option<Range<usize>>)) -> io::Result<Option<LastCell>> {
    let Some(count) = cell_count(body) else { return Ok(None) };
    let mut offset = 2;
    for at in 1..=count {
        let Some(length) = body.get(offset..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
        let length = match i32::from_be_bytes(*length) {
            -1 => None,
            length => Some(u32::try_from(length).map_err(|_| invalid("a cell has an impossible length"))?),
        };
        offset += 4;
        if at == count {
            return Ok(Some((offset, length)));
        }
        let end = offset + length.unwrap_or(0) as usize;
        if end > body.len() {
            return Ok(None);
        }
        visit(length.map(|_| offset..end));
        offset = end;
    }
    Ok(Some((offset, None)))
}

/// The head of a row and where its last cell starts; `None` where the row is cut short before that.
fn row_head(body: &Bytes) -> io::Result<Option<(RowHead, usize)>> {
    let mut cells = Vec::with_capacity(cell_count(body).unwrap_or(0).saturating_sub(1));
    let last = walk_row(body, |cell| cells.push(cell.map(|range| body.slice(range))))?;
    Ok(last.map(|(offset, last_len)| (RowHead { cells, last_len }, offset)))
}

fn parse(tag: u8, body: &[u8]) -> io::Result<Frame> {
    Ok(match tag {
        tags::PARSE_COMPLETE_TAG => Frame::ParseComplete,
        tags::BIND_COMPLETE_TAG => Frame::BindComplete,
        tags::CLOSE_COMPLETE_TAG => Frame::CloseComplete,
        tags::NO_DATA_TAG => Frame::NoData,
        tags::EMPTY_QUERY_RESPONSE_TAG => Frame::Complete(0),
        tags::COMMAND_COMPLETE_TAG => Frame::Complete(affected(body)),
        tags::READY_FOR_QUERY_TAG => Frame::Ready(*body.first().ok_or_else(|| invalid("no state"))?),
        tags::ROW_DESCRIPTION_TAG => Frame::Columns(columns(body)?),
        tags::ERROR_RESPONSE_TAG => Frame::Error(Box::new(SqlError::parse(body))),
        tags::NOTICE_RESPONSE_TAG => Frame::Notice(Box::new(SqlError::parse(body))),
        tags::PARAMETER_STATUS_TAG | tags::NOTIFICATION_RESPONSE_TAG => Frame::Parameter,
        _ => Frame::Unexpected,
    })
}

/// The number at the end of a command tag: `INSERT 0 3`, `SELECT 1`.
fn affected(tag: &[u8]) -> u64 {
    let mut count: u64 = 0;
    let mut scale: u64 = 1;
    for byte in tag.iter().rev().skip_while(|byte| **byte == 0) {
        if !byte.is_ascii_digit() {
            break;
        }
        count = count.saturating_add(u64::from(byte - b'0').saturating_mul(scale));
        scale = scale.saturating_mul(10);
    }
    count
}

fn columns(body: &[u8]) -> io::Result<Arc<[Column]>> {
    let short = || invalid("a row description is cut short");
    let count = usize::from(u16::from_be_bytes(*body.first_chunk::<2>().ok_or_else(short)?));
    let mut rest = &body[2..];
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let end = memchr::memchr(0, rest).ok_or_else(short)?;
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        // After the name: table OID (4), column (2), type OID (4), size (2), modifier (4), format (2).
        let fixed = rest.get(end + 1..end + 19).ok_or_else(short)?;
        let type_oid = u32::from_be_bytes([fixed[6], fixed[7], fixed[8], fixed[9]]);
        columns.push(Column { name, type_oid });
        rest = &rest[end + 19..];
    }
    Ok(columns.into())
}

pub(in crate::kernel::db) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u16(u16::try_from(cells.len()).unwrap());
        for cell in cells {
            body.put_i32(cell.map_or(-1, |cell| i32::try_from(cell.len()).unwrap()));
            body.extend_from_slice(cell.unwrap_or_default());
        }
        let mut frame = vec![b'D'];
        frame.put_i32(i32::try_from(body.len() + 4).unwrap());
        frame.extend(body);
        frame
    }

    fn feed(reader: &mut FrameReader, bytes: &[u8]) {
        reader.space().extend_from_slice(bytes);
    }

    #[test]
    fn a_small_row_comes_whole_wherever_the_bytes_are_cut() {
        let frame = row(&[Some(b"1"), None, Some(b"body")]);
        for cut in 1..frame.len() {
            let mut reader = FrameReader::new();
            feed(&mut reader, &frame[..cut]);
            assert!(reader.next(true).unwrap().is_none());
            feed(&mut reader, &frame[cut..]);
            let Some(Frame::Row(head, last)) = reader.next(true).unwrap() else { panic!("no row") };
            assert_eq!(head.cells, [Some(Bytes::from_static(b"1")), None]);
            assert_eq!((head.last_len, last.as_deref()), (Some(4), Some(&b"body"[..])));
            assert!(reader.buffer.is_empty());
        }
    }

    #[test]
    fn the_last_cell_of_a_large_row_comes_in_pieces() {
        let body = vec![7u8; 300_000];
        let frame = row(&[Some(b"1"), Some(&body)]);
        let mut reader = FrameReader::new();
        let mut heads = 0;
        let mut received = 0;
        for chunk in frame.chunks(50_000) {
            feed(&mut reader, chunk);
            while let Some(frame) = reader.next(true).unwrap() {
                match frame {
                    Frame::Row(head, last) => {
                        heads += 1;
                        assert_eq!((head.last_len, last), (Some(300_000), None));
                    }
                    Frame::Piece(piece) => {
                        assert!(piece.len() <= STEP);
                        received += piece.len();
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((heads, received), (1, 300_000));
        assert!(reader.buffer.is_empty());
    }

    #[test]
    fn unwanted_rows_are_dropped_as_they_arrive() {
        let frame = row(&[Some(&vec![7u8; 300_000])]);
        let mut reader = FrameReader::new();
        let mut skipped = 0;
        for chunk in frame.chunks(10_000) {
            feed(&mut reader, chunk);
            while let Some(frame) = reader.next(false).unwrap() {
                assert!(matches!(frame, Frame::Skipped));
                skipped += 1;
            }
            assert!(reader.buffer.is_empty());
        }
        assert_eq!(skipped, 1);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for bytes in [&b"D\xff\xff\xff\xff"[..], b"Z\0\0\0\x03", b"D\0\0\0\x0b\0\x01\xff\xff\xff\xf0z"] {
            let mut reader = FrameReader::new();
            feed(&mut reader, bytes);
            assert!(reader.next(true).is_err(), "{bytes:?}");
        }
        let mut lying = row(&[Some(b"abc")]);
        lying[10] = 1;
        let mut reader = FrameReader::new();
        feed(&mut reader, &lying);
        assert!(reader.next(true).is_err());
    }

    #[test]
    fn command_tags_end_in_the_number_of_rows() {
        assert_eq!(affected(b"INSERT 0 12\0"), 12);
        assert_eq!(affected(b"SELECT 1\0"), 1);
        assert_eq!(affected(b"BEGIN\0"), 0);
    }
}
