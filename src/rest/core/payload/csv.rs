//! CSV bodies: a header line and rows, turned into JSON text of strings.
//!
//! Strict where RFC 4180 is: a quote inside an unquoted field, or text behind a closing quote, is an error. Blank lines
//! are skipped, `NULL` is null, fields beyond the header are dropped; a row with fewer fields than the others is an
//! error, because it would leave columns out.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;

use super::{invalid, json};
use crate::rest::core::parse::RequestError;
use crate::rest::core::request::Payload;

/// Reads a CSV body with a header line.
pub(super) fn payload(body: &[u8]) -> Result<Payload, RequestError> {
    let text = std::str::from_utf8(body).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| invalid("The body is not valid UTF-8 text"))?;
    let mut reader = Reader { rest: text, line: 1 };
    let header = reader.record()?;
    if !reader.end_of_line() {
        return Err(invalid("parse error (not enough input) at \"\""));
    }
    let mut rows = Rows::new(&header);
    loop {
        rows.push(&reader.record()?)?;
        if !reader.end_of_line() {
            break;
        }
    }
    Ok(rows.finish())
}

/// Rows on their way to JSON.
struct Rows<'a> {
    header: &'a [Cow<'a, str>],
    /// For each column, the last column of the same name.
    last_of_name: Vec<usize>,
    /// How many fields (of the header's) every row has.
    width: Option<usize>,
    text: String,
}

impl<'a> Rows<'a> {
    fn new(header: &'a [Cow<'a, str>]) -> Self {
        let last: HashMap<&str, usize> =
            header.iter().enumerate().map(|(at, name)| (name.as_ref(), at)).collect();
        let last_of_name =
            header.iter().map(|name| last.get(name.as_ref()).copied().unwrap_or_default()).collect();
        Self { header, last_of_name, width: None, text: String::from("[") }
    }

    fn push(&mut self, record: &[Cow<'_, str>]) -> Result<(), RequestError> {
        if matches!(record, [only] if only.is_empty()) {
            return Ok(());
        }
        let width = record.len().min(self.header.len());
        if *self.width.get_or_insert(width) != width {
            return Err(invalid("All lines must have same number of fields"));
        }
        if self.text.len() > 1 {
            self.text.push(',');
        }
        let is_kept = |at: &usize| self.last_of_name.get(*at).is_none_or(|last| last == at || *last >= width);
        let pairs = self.header.iter().zip(record).enumerate().filter(|(at, _)| is_kept(at));
        json::write_object(
            &mut self.text,
            pairs.map(|(_, (name, value))| {
                (name.as_ref(), Some(value.as_ref()).filter(|value| *value != "NULL"))
            }),
        );
        Ok(())
    }

    fn finish(mut self) -> Payload {
        self.text.push(']');
        let names = self.header.iter().take(self.width.unwrap_or_default());
        Payload::Json {
            keys: names.map(|name| name.clone().into_owned()).collect(),
            raw: Bytes::from(self.text),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Fields up to the end of the line or of the text.
    fn record(&mut self) -> Result<Vec<Cow<'a, str>>, RequestError> {
        let mut fields = vec![self.field()?];
        while let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            fields.push(self.field()?);
        }
        if self.rest.is_empty() || self.rest.starts_with(['\n', '\r']) {
            Ok(fields)
        } else {
            Err(self.error("a quote inside an unquoted field, or text behind a quoted one"))
        }
    }

    fn field(&mut self) -> Result<Cow<'a, str>, RequestError> {
        let Some(mut rest) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', '\n', '\r', '"']).unwrap_or(self.rest.len());
            let (field, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(Cow::Borrowed(field));
        };
        let mut field = Cow::Borrowed("");
        loop {
            let Some((part, behind)) = rest.split_once('"') else {
                return Err(self.error("a quoted field that never ends"));
            };
            self.line += part.bytes().filter(|byte| *byte == b'\n').count();
            field += part;
            let Some(more) = behind.strip_prefix('"') else {
                self.rest = behind;
                return Ok(field);
            };
            field += "\"";
            rest = more;
        }
    }

    /// Goes on to the next line; false at the end of the text.
    fn end_of_line(&mut self) -> bool {
        let rest = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix(['\n', '\r']));
        self.line += 1;
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn error(&self, what: &str) -> RequestError {
        invalid(&format!("parse error in the CSV body at line {}: {what}", self.line))
    }
}
