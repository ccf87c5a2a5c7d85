//! The words and signs of a text as a database would read them. A quote is a sign of its own: a fragment that is to be
//! pasted into a statement has no whole strings.

/// A word or sign. The text is in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Word(&'a str),
    Number,
    Quote(u8),
    /// The quote of names in MySQL, and of code in prose.
    Tick,
    Comment(Comment),
    Semicolon,
    Comma,
    Open,
    Close,
    Operator(&'a str),
    Other,
}

/// How a comment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comment {
    /// `--`
    Dashes,
    /// `#`
    Hash,
    /// `/* ... */`, skipped with its content
    Block,
    /// `/*!50000`, whose content runs
    Versioned,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// No white space before it.
    pub(super) glued: bool,
    /// Where it ends.
    pub(super) end: usize,
}

/// Takes a text apart in one pass.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut glued = false;
    while at < bytes.len() {
        if bytes[at].is_ascii_whitespace() || bytes[at] == 0x0b {
            glued = false;
            at += 1;
            continue;
        }
        let (kind, length) = token(text, at);
        at += length;
        tokens.push(Token { kind, glued, end: at });
        glued = true;
    }
    tokens
}

fn token(text: &str, at: usize) -> (Kind<'_>, usize) {
    let bytes = &text.as_bytes()[at..];
    match bytes[0] {
        b'0'..=b'9' => (Kind::Number, number(bytes)),
        byte if is_word(byte) => {
            let length = bytes.iter().take_while(|byte| is_word(**byte) || byte.is_ascii_digit()).count();
            (Kind::Word(&text[at..at + length]), length)
        }
        quote @ (b'\'' | b'"') => (Kind::Quote(quote), 1),
        b'`' => (Kind::Tick, 1),
        b';' => (Kind::Semicolon, 1),
        b',' => (Kind::Comma, 1),
        b'(' => (Kind::Open, 1),
        b')' => (Kind::Close, 1),
        b'#' => (Kind::Comment(Comment::Hash), 1),
        b'-' if bytes.starts_with(b"--") => {
            (Kind::Comment(Comment::Dashes), bytes.iter().take_while(|byte| **byte == b'-').count())
        }
        b'/' if bytes.starts_with(b"/*!") => {
            let digits = bytes[3..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            (Kind::Comment(Comment::Versioned), 3 + digits)
        }
        b'/' if bytes.starts_with(b"/*") => {
            let end = memchr::memmem::find(&bytes[2..], b"*/").map_or(bytes.len(), |end| end + 4);
            (Kind::Comment(Comment::Block), end)
        }
        byte if is_operator(byte) => {
            let length = bytes.iter().take(3).take_while(|byte| is_operator(**byte)).count();
            // `=-1`, `=+x`: the sign belongs to what follows.
            let length = if length > 1 && !is_compound(&bytes[..length]) { 1 } else { length };
            (Kind::Operator(&text[at..at + length]), length)
        }
        _ => (Kind::Other, 1),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'@' | b'$') || byte >= 0x80
}

fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'=' | b'<' | b'>' | b'!' | b'|' | b'&' | b'+' | b'-' | b'*' | b'/' | b'^' | b'~' | b'%' | b'.'
    )
}

fn is_compound(operator: &[u8]) -> bool {
    matches!(operator, b"==" | b"<=" | b">=" | b"<>" | b"!=" | b"<=>" | b"||" | b"&&" | b"^=")
}

/// Digits with a fraction and an exponent, or hexadecimal. Letters after it are a word: `1union`.
fn number(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if bytes.starts_with(b"0x") {
        return 2 + bytes[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    }
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if bytes.get(length) == Some(&b'e') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    length
}
