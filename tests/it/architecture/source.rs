//! Reads the product's source for the architecture rules: which files there are, their code without comments and
//! unit tests, the paths they name, the string literals they hold.
//!
//! A small hand-written scanner, not a Rust parser: it knows comments, strings, characters and braces, which is all
//! that the rules need. It must not judge: the rules live in `rules.rs` and `documents.rs`.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// One file under `src`.
pub struct Source {
    /// Its path below `src`, with `/` between the parts: `rest/core/plan.rs`.
    pub path: String,
    /// The text as it is on disk.
    pub text: String,
    /// Code only: comments are blanks, unit tests are cut off, strings are kept.
    pub code: String,
    /// The same with the inside of every string literal blanked.
    pub bare: String,
    /// The string literals of `code`, each with its line.
    pub strings: Vec<(usize, String)>,
}

impl Source {
    fn read(base: &Path, file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let relative = file.strip_prefix(base).unwrap();
        let path = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>();
        let path = path.join("/");
        Self::parse(path, text)
    }

    /// Takes a text apart; only the path's shape matters, the file need not exist.
    pub fn parse(path: String, text: String) -> Self {
        let (code, bare, strings) = strip(&without_unit_tests(&text, &path));
        Self { path, text, code, bare, strings }
    }

    /// The folder or file directly under `src` that this file belongs to, `lib` and `main` for the two roots.
    pub fn top(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The names of the modules from the crate's root to this file.
    pub fn module(&self) -> Vec<&str> {
        let stem = self.path.trim_end_matches(".rs");
        let mut parts: Vec<&str> = stem.split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        parts
    }

    /// The `//!` lines at the top, joined.
    pub fn header(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with("//!"));
        lines.map(|line| line.trim_start_matches("//!").trim()).collect::<Vec<_>>().join(" ")
    }

    /// Whether the whole file exists only for tests.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The top folders of our own crate that the code names, each with its line.
    pub fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, _) in self.bare.match_indices("crate::") {
            if at > 0 && is_word(self.bare.as_bytes()[at - 1]) {
                continue; // some_crate::
            }
            let line = self.line(at);
            for name in heads(&self.bare[at + "crate::".len()..]) {
                found.push((line, name));
            }
        }
        found.extend(self.relative_imports());
        found
    }

    /// Chains of `super::` long enough to reach the crate's root.
    fn relative_imports(&self) -> Vec<(usize, String)> {
        let depth = self.module().len();
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(start) = self.bare[from..].find("super::").map(|at| at + from) {
            let mut at = start;
            let mut steps = 0;
            while self.bare[at..].starts_with("super::") {
                at += "super::".len();
                steps += 1;
            }
            if steps >= depth && depth > 0 {
                let line = self.line(start);
                found.extend(heads(&self.bare[at..]).into_iter().map(|name| (line, name)));
            }
            from = at;
        }
        found
    }

    /// The line on which a byte of `code` or `bare` stands.
    pub fn line(&self, at: usize) -> usize {
        1 + self.bare[..at].matches('\n').count()
    }

    /// The first and last line of every item whose text starts with `head`, up to the brace that closes its body.
    pub fn bodies(&self, head: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (start, _) in self.bare.match_indices(head) {
            let mut depth = 0;
            for (offset, byte) in self.bare[start..].bytes().enumerate() {
                match byte {
                    b'{' => depth += 1,
                    b'}' => depth -= 1,
                    b';' if depth == 0 => break, // a declaration without a body
                    _ => continue,
                }
                if depth == 0 {
                    found.push((self.line(start), self.line(start + offset)));
                    break;
                }
            }
        }
        found
    }

    /// Whether `word` stands in the code (strings aside) as a whole word followed by `::`, a name of a crate or module.
    pub fn names_path(&self, word: &str) -> Option<usize> {
        let needle = format!("{word}::");
        let mut hits = self.bare.match_indices(&needle);
        let free = |at: usize| {
            at == 0
                || !matches!(self.bare.as_bytes()[at - 1], b':' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
        };
        hits.find(|(at, _)| free(*at)).map(|(at, _)| self.line(at))
    }
}

/// Every Rust file under `src`, in a stable order.
pub fn product() -> Vec<Source> {
    let base = root().join("src");
    let mut files = Vec::new();
    collect(&base, &mut files);
    files.sort();
    files.iter().map(|file| Source::read(&base, file)).collect()
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The first names of what follows `crate::`: one for a path, several for a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return Vec::from_iter(word(rest));
    };
    let mut depth = 0;
    let mut found = Vec::new();
    let mut expects_name = true;
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b',' if depth == 0 => expects_name = true,
            _ if expects_name && depth == 0 && is_word(byte) => {
                found.extend(word(&group[at..]));
                expects_name = false;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let name: String = text.bytes().take_while(|byte| is_word(*byte)).map(char::from).collect();
    (!name.is_empty()).then_some(name)
}

/// Cuts off the unit tests, which by the house rules stand at the bottom of a file.
fn without_unit_tests(text: &str, path: &str) -> String {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return String::new();
    }
    // Unit tests end the file; a mere declaration of them may stand anywhere.
    let is_block = |at: &usize| text[*at..].lines().nth(2).is_some_and(|line| !line.ends_with(';'));
    let end = text.match_indices("\n#[cfg(test)]\nmod ").map(|(at, _)| at).find(is_block);
    end.map_or_else(|| text.to_owned(), |at| text[..=at].to_owned())
}

/// Blanks comments (and, in the second text, the inside of strings) and collects the string literals.
fn strip(text: &str) -> (String, String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut bare = Vec::with_capacity(bytes.len());
    let mut strings = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < bytes.len() {
        let (end, kind) = token(bytes, at);
        let piece = &bytes[at..end];
        match kind {
            Token::Comment => {
                code.extend(blank(piece));
                bare.extend(blank(piece));
            }
            Token::Text => {
                code.extend_from_slice(piece);
                bare.extend(blank(piece));
                strings.push((line, String::from_utf8_lossy(literal(piece)).into_owned()));
            }
            Token::Code => {
                code.extend_from_slice(piece);
                bare.extend_from_slice(piece);
            }
        }
        line += text[at..end].matches('\n').count();
        at = end;
    }
    (String::from_utf8(code).unwrap(), String::from_utf8(bare).unwrap(), strings)
}

enum Token {
    Comment,
    Text,
    Code,
}

/// The end of the token that starts at `at`, and its kind.
fn token(bytes: &[u8], at: usize) -> (usize, Token) {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return (at + length, Token::Comment);
    }
    if rest.starts_with(b"/*") {
        let length = find(rest, b"*/").map_or(rest.len(), |end| end + 2);
        return (at + length, Token::Comment);
    }
    if rest[0] == b'"' {
        return (at + quoted(rest), Token::Text);
    }
    if rest[0] == b'r' && (at == 0 || !is_word(bytes[at - 1]) || bytes[at - 1] == b'b') {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            let start = 2 + hashes;
            let end = find(&rest[start..], &close).map_or(rest.len(), |end| start + end + close.len());
            return (at + end, Token::Text);
        }
    }
    if rest[0] == b'\'' {
        return (at + character(rest), Token::Code);
    }
    // One whole character, so that a text in another alphabet is never cut.
    let length = rest[1..].iter().take_while(|byte| (**byte & 0xC0) == 0x80).count();
    (at + 1 + length, Token::Code)
}

/// The length of a quoted string, quotes included.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal such as `'"'`; 1 for the quote of a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|byte| *byte == b'\'').map_or(1, |end| end + 4);
    }
    let width =
        1 + rest.get(2..).unwrap_or_default().iter().take_while(|byte| (**byte & 0xC0) == 0x80).count();
    if rest.get(1 + width) == Some(&b'\'') { 2 + width } else { 1 }
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// What stands between the quotes.
fn literal(piece: &[u8]) -> &[u8] {
    let start = piece.iter().position(|byte| *byte == b'"').map_or(0, |at| at + 1);
    let end = piece.iter().rposition(|byte| *byte == b'"').unwrap_or(piece.len());
    piece.get(start..end).unwrap_or_default()
}

fn blank(piece: &[u8]) -> impl Iterator<Item = u8> {
    piece.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' })
}
