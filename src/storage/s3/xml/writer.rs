//! Writes elements. Text is escaped, and characters that XML cannot have are replaced: no name or message breaks a document.

use chrono::{DateTime, Utc};
use quick_xml::escape::escape;

use super::super::signature::encode_path;

/// The namespace of all answers but errors.
pub(super) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A document in the making.
#[derive(Debug)]
pub(super) struct Writer {
    text: String,
}

impl Writer {
    /// A document with one root.
    pub(super) fn document(root: &str, namespace: Option<&str>, content: impl FnOnce(&mut Self)) -> String {
        let mut writer = Self { text: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") };
        writer.text.extend(["<", root]);
        if let Some(namespace) = namespace {
            writer.text.extend([" xmlns=\"", namespace, "\""]);
        }
        writer.text.push('>');
        content(&mut writer);
        writer.text.extend(["</", root, ">"]);
        writer.text
    }

    /// An element with elements in it.
    pub(super) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.text.extend(["<", name, ">"]);
        content(self);
        self.text.extend(["</", name, ">"]);
    }

    /// An element with text in it.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.element(name, |writer| writer.characters(text));
    }

    /// The same where there is text.
    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A key, percent-encoded where the list was asked for so.
    pub(super) fn key(&mut self, name: &str, key: &str, encoded: bool) {
        if encoded {
            self.text(name, &encode_path(key));
        } else {
            self.text(name, key);
        }
    }

    /// A number or truth value.
    pub(super) fn value(&mut self, name: &str, value: &impl ToString) {
        self.text(name, &value.to_string());
    }

    /// A moment, in milliseconds of UTC.
    pub(super) fn moment(&mut self, name: &str, moment: DateTime<Utc>) {
        self.value(name, &moment.format("%Y-%m-%dT%H:%M:%S%.3fZ"));
    }

    /// An entity tag, in quotes.
    pub(super) fn etag(&mut self, etag: &str) {
        self.text("ETag", &format!("\"{}\"", etag.trim_matches('"')));
    }

    /// Text itself.
    pub(super) fn characters(&mut self, text: &str) {
        for (index, line) in text.split('\r').enumerate() {
            if index > 0 {
                // A parser would read a bare one as a line feed.
                self.text.push_str("&#13;");
            }
            if line.contains(|c| !is_character(c)) {
                self.text.push_str(&escape(line.replace(|c| !is_character(c), "\u{fffd}")));
            } else {
                self.text.push_str(&escape(line));
            }
        }
    }
}

/// `Char` of XML 1.0.
fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
