//! The readings of a text: percent signs, entities, escapes and look-alike punctuation decoded, up to three times over.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

/// How often decoders may follow on each other.
const ROUNDS: usize = 3;

/// A text as some decoder would read it.
pub(super) struct Reading {
    /// In lower case.
    pub(super) text: String,
    /// Overlong UTF-8 was decoded on the way.
    pub(super) overlong: bool,
    /// A percent sign hid a line break.
    pub(super) line_break: bool,
}

/// The readings that differ from the text itself (which is in lower case), at most [`ROUNDS`] and one more: with
/// comments, tabs and line breaks taken out.
pub(super) fn decoded(text: &str) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    let mut current = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        let mut step = Step::default();
        let next = step.decode(&current);
        if next == current {
            break;
        }
        let next = next.into_owned();
        readings.push(Reading { text: next.clone(), overlong: step.overlong, line_break: step.line_break });
        current = Cow::Owned(next);
    }
    if let Some(joined) = joined(&current) {
        readings.push(Reading { text: joined, overlong: false, line_break: false });
    }
    readings
}

/// One round of every decoder.
#[derive(Default)]
struct Step {
    overlong: bool,
    line_break: bool,
}

impl Step {
    fn decode<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        let has = |byte| memchr::memchr(byte, text.as_bytes()).is_some();
        let mut text = Cow::Borrowed(text);
        if has(b'%') {
            text = replace(text, |bytes| self.percent(bytes));
        }
        if has(b'&') {
            text = replace(text, entity);
        }
        if has(b'\\') {
            text = replace(text, escape);
        }
        if has(b'+') {
            text = replace(text, utf7);
        }
        if text.is_ascii() { text } else { folded(text) }
    }

    /// `%2e`, `%u002e`, and overlong forms such as `%c0%ae`.
    fn percent(&mut self, bytes: &[u8]) -> Option<(usize, char)> {
        if bytes.first() != Some(&b'%') {
            return None;
        }
        if bytes.get(1) == Some(&b'u') {
            let value = character(bytes.get(2..6)?)?;
            self.line_break |= matches!(value, '\r' | '\n');
            return Some((6, value));
        }
        let byte = |index: usize| -> Option<u32> {
            let at = index * 3;
            (bytes.get(at) == Some(&b'%')).then_some(())?;
            number(bytes.get(at + 1..at + 3)?, 16)
        };
        let first = byte(0)?;
        let (length, lead) = match first {
            0..=0x7f => (1, first),
            0xc0..=0xdf => (2, first & 0x1f),
            0xe0..=0xef => (3, first & 0x0f),
            0xf0..=0xf7 => (4, first & 0x07),
            _ => return None,
        };
        let mut value = lead;
        for index in 1..length {
            let next = byte(index)?;
            // Some old decoders only mask the continuation byte: `%c0%2f`, `%c1%1c`.
            let is_continuation = next & 0xc0 == 0x80 || (length == 2 && first <= 0xc1);
            is_continuation.then_some(())?;
            value = value << 6 | next & 0x3f;
        }
        let least = [0, 0, 0x80, 0x800, 0x1_0000][length];
        self.overlong |= value < least;
        self.line_break |= matches!(value, 0x0a | 0x0d);
        Some((3 * length, char::from_u32(value)?))
    }
}

/// Replaces what `decode` recognises at a byte by the character it stands for.
fn replace(text: Cow<'_, str>, mut decode: impl FnMut(&[u8]) -> Option<(usize, char)>) -> Cow<'_, str> {
    let mut output: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let found = if bytes[at].is_ascii_punctuation() { decode(&bytes[at..]) } else { None };
        let Some((length, character)) = found else {
            at += 1;
            continue;
        };
        let output = output.get_or_insert_with(|| String::with_capacity(text.len()));
        output.push_str(&text[copied..at]);
        output.push(character.to_ascii_lowercase());
        at += length;
        copied = at;
    }
    match output {
        Some(mut output) => {
            output.push_str(&text[copied..]);
            Cow::Owned(output)
        }
        None => text,
    }
}

/// `&lt;`, `&#60;`, `&#x3c;`, with or without the semicolon.
fn entity(bytes: &[u8]) -> Option<(usize, char)> {
    const NAMED: [(&[u8], char); 13] = [
        (b"lt", '<'),
        (b"gt", '>'),
        (b"quot", '"'),
        (b"apos", '\''),
        (b"amp", '&'),
        (b"colon", ':'),
        (b"lpar", '('),
        (b"rpar", ')'),
        (b"sol", '/'),
        (b"bsol", '\\'),
        (b"tab", '\t'),
        (b"newline", '\n'),
        (b"period", '.'),
    ];
    let body = bytes.strip_prefix(b"&")?;
    let close = |length: usize| length + usize::from(bytes.get(length) == Some(&b';'));
    if let Some(digits) = body.strip_prefix(b"#") {
        let (digits, base, skipped) = match digits.strip_prefix(b"x") {
            Some(digits) => (digits, 16, 3),
            None => (digits, 10, 2),
        };
        let length = digits.iter().take(24).take_while(|byte| (**byte as char).is_digit(base)).count();
        let value = number(digits.get(..length).filter(|digits| !digits.is_empty())?, base)?;
        return Some((close(skipped + length), char::from_u32(value)?));
    }
    let (name, character) = NAMED.iter().find(|(name, _)| body.starts_with(name))?;
    // `&lt` works without its semicolon, the longer names do not.
    let length = 1 + name.len();
    (name.len() == 2 || bytes.get(length) == Some(&b';')).then(|| (close(length), *character))
}

/// `\x3c`, `\u003c`, `\u{3c}`, and the escapes of style sheets, `\3c `.
fn escape(bytes: &[u8]) -> Option<(usize, char)> {
    let body = bytes.strip_prefix(b"\\")?;
    match body.first()? {
        b'x' => Some((4, character(body.get(1..3)?)?)),
        b'u' if body.get(1) == Some(&b'{') => {
            let digits = body.get(2..)?.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            (body.get(2 + digits) == Some(&b'}')).then_some(())?;
            Some((4 + digits, character(&body[2..2 + digits])?))
        }
        b'u' => Some((6, character(body.get(1..5)?)?)),
        b'0' => {
            let digits = body.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let space = usize::from(body.get(digits) == Some(&b' '));
            Some((1 + digits + space, character(&body[..digits])?))
        }
        _ => None,
    }
}

/// The UTF-7 of the characters that markup needs.
fn utf7(bytes: &[u8]) -> Option<(usize, char)> {
    const FORMS: [(&[u8], char); 4] = [(b"+adw-", '<'), (b"+ad4-", '>'), (b"+aci-", '"'), (b"+acc-", '\'')];
    let (form, character) = FORMS.iter().find(|(form, _)| bytes.starts_with(form))?;
    Some((form.len(), *character))
}

fn character(digits: &[u8]) -> Option<char> {
    char::from_u32(number(digits, 16)?)
}

fn number(digits: &[u8], base: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| {
        value.checked_mul(base)?.checked_add((*digit as char).to_digit(base)?)
    })
}

/// Compatibility forms and look-alikes of punctuation as the ASCII that best-fit conversions make of them.
fn folded(text: Cow<'_, str>) -> Cow<'_, str> {
    let folded: String = text
        .nfkc()
        .map(|character| match character {
            '\u{2215}' | '\u{2044}' | '\u{29f8}' | '\u{2571}' => '/',
            '\u{2216}' | '\u{29f5}' | '\u{29f9}' => '\\',
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2bc}' | '\u{2b9}' | '\u{2032}' => '\'',
            '\u{201c}' | '\u{201d}' | '\u{2033}' => '"',
            '\u{2039}' | '\u{2329}' | '\u{3008}' | '\u{276e}' => '<',
            '\u{203a}' | '\u{232a}' | '\u{3009}' | '\u{276f}' => '>',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    if *folded == *text { text } else { Cow::Owned(folded) }
}

/// The text without tabs, line breaks, NUL and comments: browsers read `java\tscript:` in one word, and a filter may make
/// one word of `un/**/ion`.
fn joined(text: &str) -> Option<String> {
    if !text.contains(['\t', '\n', '\r', '\0']) && !text.contains("/*") {
        return None;
    }
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\t', '\n', '\r', '\0', '/']) {
        output.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("/*") {
            let Some(end) = comment.find("*/") else { break };
            rest = &comment[end + 2..];
        } else {
            if rest.starts_with('/') {
                output.push('/');
            }
            rest = &rest[1..];
        }
    }
    output.push_str(rest);
    (output != text).then_some(output)
}
