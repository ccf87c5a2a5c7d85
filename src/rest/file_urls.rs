//! URLs of stored objects in answers: PostgreSQL marks where each belongs, as it has no key to sign it with.
//!
//! For a column of the domain `storage.file_reference` it writes a JSON string of a mark, `p` or `s` (public or to be
//! signed), the object's path, and the mark again: a path that a cast has cut short is another object's, and gets no URL. The
//! mark is random, told to one transaction, and counts in its answer alone, so nothing that a row holds can be taken for one.
//! Only answers that show such columns are looked through, as they pass.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use memchr::{memchr2, memrchr};

use crate::kernel::object_links::ObjectLinks;
use crate::kernel::random::Random;

/// The setting that tells PostgreSQL the mark.
pub(super) const MARK_SETTING: &str = "goforward.url_mark";

/// Puts URLs into answers; cheap to clone.
#[derive(Clone)]
pub struct FileUrls {
    links: Arc<dyn ObjectLinks>,
    random: Random,
}

impl FileUrls {
    /// With these addresses.
    pub fn new(links: Arc<dyn ObjectLinks>, random: Random) -> Self {
        Self { links, random }
    }

    /// For one answer.
    pub(super) fn splice(&self) -> Splice {
        Splice::new(&self.random.uuid().simple().to_string(), Arc::clone(&self.links))
    }
}

/// Replaces what is marked in one answer.
pub(super) struct Splice {
    /// The mark as a JSON string begins with it.
    opening: Finder<'static>,
    links: Arc<dyn ObjectLinks>,
    /// The end of what came, while it may belong to a marked string.
    held: BytesMut,
    /// The byte before those held.
    before: u8,
}

impl Splice {
    fn new(mark: &str, links: Arc<dyn ObjectLinks>) -> Self {
        let opening = Finder::new(&format!("\"{mark}")).into_owned();
        Self { opening, links, held: BytesMut::new(), before: 0 }
    }

    /// What PostgreSQL is told.
    pub(super) fn mark(&self) -> Bytes {
        Bytes::copy_from_slice(&self.opening.needle()[1..])
    }

    /// What of the answer can be sent once `piece` has come.
    pub(super) fn replaced(&mut self, piece: Bytes) -> Bytes {
        let is_plain = self.opening.find(&piece).is_none() && self.beginning(&piece) == piece.len();
        let sent = if self.held.is_empty() && is_plain {
            piece
        } else {
            self.held.extend_from_slice(&piece);
            self.replaced_in_held()
        };
        self.before = sent.last().copied().unwrap_or(self.before);
        sent
    }

    fn replaced_in_held(&mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.held.len());
        while let Some(at) = self.opening.find(&self.held) {
            out.extend_from_slice(&self.held.split_to(at));
            if out.last().copied().unwrap_or(self.before) == b'\\' {
                // A quote inside a string, of JSON that somebody made a text of.
                out.extend_from_slice(&self.held.split_to(1));
                continue;
            }
            let marked = self.opening.needle().len();
            let Some(length) = string_length(&self.held[marked..]) else { return out.freeze() };
            let string = self.held.split_to(marked + length + 1);
            out.extend_from_slice(&self.url(&string[marked..marked + length]));
        }
        let free = self.beginning(&self.held);
        out.extend_from_slice(&self.held.split_to(free));
        out.freeze()
    }

    /// What is left when the answer has ended.
    pub(super) fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Where the opening may begin whose end has not come: at the last quote, since it has no other.
    fn beginning(&self, text: &[u8]) -> usize {
        let opening = self.opening.needle();
        let from = text.len().saturating_sub(opening.len() - 1);
        let quote = memrchr(b'"', &text[from..]).map(|at| from + at);
        quote.filter(|at| opening.starts_with(&text[*at..])).unwrap_or(text.len())
    }

    /// The URL that stands for the inside of a marked string, as JSON.
    fn url(&self, inside: &[u8]) -> Vec<u8> {
        let quoted = [b"\"", inside, b"\""].concat();
        let text: String = serde_json::from_slice(&quoted).unwrap_or_default();
        let mark = std::str::from_utf8(&self.opening.needle()[1..]).unwrap_or_default();
        let url = text.strip_suffix(mark).and_then(|whole| match whole.split_at_checked(1)? {
            ("p", path) => Some(self.links.public(path)),
            ("s", path) => self.links.signed(path),
            _ => None,
        });
        serde_json::to_vec(&url).unwrap_or_else(|_| b"null".to_vec())
    }
}

/// How long the inside of a JSON string is that goes on here, if its end is there.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "0123456789abcdef";

    struct Addresses;

    impl ObjectLinks for Addresses {
        fn public(&self, path: &str) -> String {
            format!("open:{path}")
        }

        fn signed(&self, path: &str) -> Option<String> {
            (path != "b/unsigned").then(|| format!("signed:{path}"))
        }
    }

    /// The answer when it comes in pieces of this size.
    fn sent(answer: &str, size: usize) -> String {
        let mut splice = Splice::new(MARK, Arc::new(Addresses));
        let mut out = Vec::new();
        for piece in answer.as_bytes().chunks(size) {
            out.extend_from_slice(&splice.replaced(Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&splice.rest());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn marked_strings_become_urls_however_the_answer_is_cut() {
        let cases = [
            (format!(r#"[{{"url":"{MARK}pb/a.txt{MARK}"}}]"#), r#"[{"url":"open:b/a.txt"}]"#),
            (format!(r#"["{MARK}sb/a{MARK}","{MARK}pb/c{MARK}"]"#), r#"["signed:b/a","open:b/c"]"#),
            (format!(r#"{{"url" : "{MARK}sb/\"q\\\u00e9é{MARK}"}}"#), r#"{"url" : "signed:b/\"q\\éé"}"#),
            (format!(r#""{MARK}sb/unsigned{MARK}""#), "null"),
            (format!(r#""{MARK}x{MARK}""#), "null"),
            (format!(r#""{MARK}sb/cut sh""#), "null"),
            (format!(r#""{MARK}""#), "null"),
            // Nothing but a whole string that begins with the mark is one.
            (format!(r#"["a {MARK}sb/a"," \"{MARK}"]"#), &format!(r#"["a {MARK}sb/a"," \"{MARK}"]"#)),
            (r#"["0123456789abcde","#.to_owned(), r#"["0123456789abcde","#),
            (format!(r#"["{MARK}sb/a"#), &format!(r#"["{MARK}sb/a"#)),
        ];
        for (answer, expected) in cases {
            for size in 1..=answer.len() {
                assert_eq!(sent(&answer, size), expected, "{answer} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_mark_is_new_with_every_answer() {
        let files = FileUrls::new(Arc::new(Addresses), Random::seeded(1));
        assert_ne!(files.splice().mark(), files.splice().mark());
        assert_eq!(files.splice().mark().len(), 32);
    }
}
