//! Characters that no field shows: controls, marks of direction, invisible ones. Found and taken out in one pass.

use std::borrow::Cow;

use super::class::{Class, Findings};

/// How many lines a field has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// Line breaks are header injection, tabs are controls, and marks of direction serve nothing.
    One,
    /// Tab, line feed and carriage return are text, and so are the implicit marks of direction.
    Many,
}

/// The text without its unfit characters (line breaks and tabs of a single line become spaces), and what they were.
pub(super) fn clean(text: &str, lines: Lines) -> (Cow<'_, str>, Findings) {
    let Some(start) = text.bytes().position(is_suspect) else {
        return (Cow::Borrowed(text), Findings::default());
    };
    let start = text.floor_char_boundary(start);
    let mut findings = Findings::default();
    let mut output: Option<String> = None;
    let mut before = text[..start].chars().next_back();
    let mut characters = text[start..].char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let after = characters.peek().map(|(_, next)| *next);
        if let Some(class) = unfit(character, lines, before, after) {
            findings.insert(class);
            let output = output.get_or_insert_with(|| text[..start + at].to_owned());
            if matches!(character, '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') {
                output.push(' ');
                before = Some(' ');
            }
        } else {
            if let Some(output) = &mut output {
                output.push(character);
            }
            before = Some(character);
        }
    }
    (output.map_or(Cow::Borrowed(text), Cow::Owned), findings)
}

/// The unfit characters of a single line, for fields that refuse them.
pub(super) fn unfit_in_line(text: &str) -> Findings {
    clean(text, Lines::One).1
}

/// Bytes that need a closer look: controls, DEL, and the lead bytes of characters at and after U+0080.
fn is_suspect(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte)
}

/// The class of a character that does not belong into a text at this place.
fn unfit(character: char, lines: Lines, before: Option<char>, after: Option<char>) -> Option<Class> {
    match character {
        '\0' => Some(Class::NullByte),
        '\t' if lines == Lines::Many => None,
        '\n' | '\r' => (lines == Lines::One).then_some(Class::HeaderInjection),
        '\u{1}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => Some(Class::ControlCharacter),
        '\u{200e}' | '\u{200f}' | '\u{61c}' => (lines == Lines::One).then_some(Class::Bidi),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some(Class::Bidi),
        '\u{200c}' | '\u{200d}' => (!joins(before, after)).then_some(Class::ZeroWidth),
        // The vowel separator of Mongolian.
        '\u{180e}' => {
            let is_needed = before.is_some_and(|c| joining_block(c) == Some(4));
            (!is_needed).then_some(Class::ZeroWidth)
        }
        // The parts of the flags of England, Scotland and Wales; elsewhere a hidden message.
        '\u{e0020}'..='\u{e007f}' => {
            let in_flag = before.is_some_and(|c| matches!(c, '\u{1f3f4}' | '\u{e0020}'..='\u{e007e}'));
            (!in_flag).then_some(Class::ZeroWidth)
        }
        _ if is_noncharacter(character) => Some(Class::ControlCharacter),
        _ => is_invisible(character).then_some(Class::ZeroWidth),
    }
}

/// Code points that Unicode keeps for the inside of programs.
fn is_noncharacter(character: char) -> bool {
    let value = character as u32;
    value & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&value)
}

/// Characters without a shape or a width that no running text needs.
pub(super) fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Whether a joiner or non-joiner stands where writing needs it: between letters of a joining script, or inside of an
/// emoji. The rule of RFC 5892 appendix A.1 in a coarser form.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    if is_invisible(after) || after == '\u{61c}' {
        return false; // it will not stay
    }
    match (joining_block(before), joining_block(after)) {
        (Some(left), Some(right)) => left == right,
        _ => is_emoji(before) && is_emoji(after),
    }
}

fn joining_block(character: char) -> Option<u8> {
    match character {
        '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{8a0}'..='\u{8ff}' => Some(0),
        '\u{700}'..='\u{74f}' => Some(1),
        // One Indic script has one block of 128 characters.
        '\u{900}'..='\u{dff}' => u8::try_from(character as u32 >> 7).ok(),
        '\u{1000}'..='\u{109f}' => Some(2),
        '\u{1780}'..='\u{17ff}' => Some(3),
        '\u{1800}'..='\u{180d}' | '\u{180f}'..='\u{18af}' => Some(4),
        _ => None,
    }
}

fn is_emoji(character: char) -> bool {
    matches!(character, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}
