//! The part of a stored answer that does not fit in memory: an unlinked temporary file.
//!
//! The file has no name, so it is gone with the reply whatever happens. It is written to its end, rewound, and read once.

use std::collections::VecDeque;
use std::io::{self, SeekFrom};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::error::{DbError, Unavailable};
use super::frame::{STEP, invalid};
use super::reply::{Event, RowHead};

const ROW: u8 = 0;
const PIECE: u8 = 1;
/// Stands for NULL where a length is.
const NULL: u32 = u32::MAX;

/// An answer's tail on disk.
pub(super) struct Spill {
    file: File,
    buffer: BytesMut,
}

impl Spill {
    pub(super) async fn create() -> Result<Self, DbError> {
        let file = tokio::task::spawn_blocking(tempfile::tempfile)
            .await
            .map_err(io::Error::other)
            .and_then(|file| file)
            .map_err(|error| failed(&error))?;
        Ok(Self { file: File::from_std(file), buffer: BytesMut::new() })
    }

    /// Appends events.
    pub(super) async fn write(&mut self, events: impl Iterator<Item = Event>) -> Result<(), DbError> {
        for event in events {
            encode(&event, &mut self.buffer);
        }
        let result = self.file.write_all(&self.buffer).await;
        self.buffer.clear();
        result.map_err(|error| failed(&error))
    }

    /// Turns from writing to reading.
    pub(super) async fn rewind(&mut self) -> Result<(), DbError> {
        let rewound = async {
            self.file.flush().await?;
            self.file.seek(SeekFrom::Start(0)).await
        };
        rewound.await.map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Reads the next events; `false` at the end.
    pub(super) async fn read(&mut self, into: &mut VecDeque<Event>) -> Result<bool, DbError> {
        loop {
            while let Some(event) = decode(&mut self.buffer) {
                into.push_back(event);
            }
            if !into.is_empty() {
                return Ok(true);
            }
            self.buffer.reserve(STEP);
            let count = self.file.read_buf(&mut self.buffer).await.map_err(|error| failed(&error))?;
            if count == 0 {
                return if self.buffer.is_empty() { Ok(false) } else { Err(failed(&invalid("cut short"))) };
            }
        }
    }
}

/// The transaction may be committed by now, so the caller must not repeat it.
fn failed(error: &io::Error) -> DbError {
    tracing::error!(%error, "an answer could not be kept in a temporary file");
    DbError::Unavailable(Box::new(Unavailable {
        reason: "the answer could not be stored",
        retry_after: std::time::Duration::from_secs(10),
        maybe_committed: true,
    }))
}

fn put(bytes: Option<&Bytes>, out: &mut BytesMut) {
    // Lengths come from 31-bit frames, so they fit.
    out.put_u32(bytes.map_or(NULL, |bytes| u32::try_from(bytes.len()).unwrap_or(NULL)));
    out.put_slice(bytes.map_or(&[], |bytes| bytes));
}

fn encode(event: &Event, out: &mut BytesMut) {
    match event {
        Event::Row(head) => {
            out.put_u8(ROW);
            out.put_u32(head.last_len.unwrap_or(NULL));
            out.put_u16(u16::try_from(head.cells.len()).unwrap_or(u16::MAX));
            for cell in &head.cells {
                put(cell.as_ref(), out);
            }
        }
        Event::Piece(piece) => {
            out.put_u8(PIECE);
            put(Some(piece), out);
        }
    }
}

/// Takes an event off the front once it is whole.
fn decode(buffer: &mut BytesMut) -> Option<Event> {
    let number =
        |at: usize| buffer.get(at..).and_then(<[u8]>::first_chunk::<4>).map(|four| u32::from_be_bytes(*four));
    if *buffer.first()? == PIECE {
        let end = 5 + number(1)? as usize;
        if buffer.len() < end {
            return None;
        }
        let mut piece = buffer.split_to(end).freeze();
        piece.advance(5);
        return Some(Event::Piece(piece));
    }
    let last_len = number(1)?;
    let count = u16::from_be_bytes(*buffer.get(5..)?.first_chunk::<2>()?);
    let mut spans = Vec::with_capacity(usize::from(count));
    let mut at = 7;
    for _ in 0..count {
        let length = number(at)?;
        let end = at + 4 + if length == NULL { 0 } else { length as usize };
        spans.push((length != NULL).then_some(at + 4..end));
        at = end;
    }
    if buffer.len() < at {
        return None;
    }
    let bytes = buffer.split_to(at).freeze();
    let cells = spans.into_iter().map(|span| span.map(|span| bytes.slice(span))).collect();
    Some(Event::Row(RowHead { cells, last_len: (last_len != NULL).then_some(last_len) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_spilled_comes_back_in_order() {
        let head = RowHead { cells: vec![Some(Bytes::from_static(b"a")), None], last_len: Some(3) };
        let mut spill = Spill::create().await.unwrap();
        for number in 0..1000u32 {
            let piece = Bytes::from(vec![1u8; number as usize]);
            spill.write([Event::Row(head.clone()), Event::Piece(piece)].into_iter()).await.unwrap();
        }
        spill.rewind().await.unwrap();
        let mut events = VecDeque::new();
        let mut pieces = 0;
        while spill.read(&mut events).await.unwrap() {
            for event in events.drain(..) {
                match event {
                    Event::Row(row) => assert_eq!(row, head),
                    Event::Piece(piece) => {
                        assert_eq!(piece.len(), pieces);
                        pieces += 1;
                    }
                }
            }
        }
        assert_eq!(pieces, 1000);
    }
}
