//! What a grammar rule has to say when it fails: where, what it found, and what it would have taken.
//!
//! Failures of alternatives at the same place add up, and the one that got furthest wins; the rendered text follows
//! the conventions of the parser library that PostgREST uses, because clients see it. Owns no grammar.

/// Where and why a rule failed. Without messages it says nothing and yields to any other failure.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure {
    /// Byte offset in the text.
    pub(super) at: usize,
    /// What is known; the order counts when they are shown.
    messages: Vec<Message>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// A character that no rule took, or the end of the text.
    Found(Option<char>),
    /// A character that a rule took but must not stand here.
    Forbidden(char),
    /// Literal text that would have been taken.
    Literal(&'static str),
    /// A name for what would have been taken.
    Label(&'static str),
}

impl Failure {
    /// A character (or the end) that was not taken.
    pub(super) fn found(at: usize, character: Option<char>) -> Self {
        Self { at, messages: vec![Message::Found(character)] }
    }

    /// A character that must not stand here.
    pub(super) fn forbidden(at: usize, character: char) -> Self {
        Self { at, messages: vec![Message::Forbidden(character)] }
    }

    /// Adds literal text that would have been taken.
    pub(super) fn or_literal(mut self, literal: &'static str) -> Self {
        self.messages.push(Message::Literal(literal));
        self
    }

    /// Adds a name for what would have been taken.
    pub(super) fn or_label(mut self, label: &'static str) -> Self {
        self.messages.push(Message::Label(label));
        self
    }

    /// Replaces everything that would have been taken by one name.
    pub(super) fn relabel(&mut self, label: &'static str) {
        self.messages.retain(|message| matches!(message, Message::Found(_) | Message::Forbidden(_)));
        self.messages.insert(0, Message::Label(label));
    }

    /// Whether it says nothing.
    pub(super) fn is_silent(&self) -> bool {
        self.messages.is_empty()
    }

    /// This failure and a later one: the further one, or both if they are at the same place.
    pub(super) fn merge(mut self, mut later: Self) -> Self {
        if later.is_silent() {
            return self;
        }
        if self.is_silent() || later.at > self.at {
            return later;
        }
        if self.at == later.at {
            self.messages.append(&mut later.messages);
        }
        self
    }

    /// `unexpected ... expecting ..., ... or ...`
    pub(super) fn describe(&self) -> String {
        let mut forbidden: Vec<String> = Vec::new();
        let mut expected: Vec<String> = Vec::new();
        let mut found = None;
        for message in &self.messages {
            let (list, text) = match message {
                Message::Found(character) => {
                    found.get_or_insert(*character);
                    continue;
                }
                Message::Forbidden(character) => (&mut forbidden, show_character(*character)),
                Message::Literal(literal) => (&mut expected, show_text(literal)),
                Message::Label(label) => (&mut expected, (*label).to_owned()),
            };
            if !list.contains(&text) {
                list.push(text);
            }
        }
        let mut parts = Vec::new();
        if !forbidden.is_empty() {
            parts.push(format!("unexpected {}", join_with_or(&forbidden)));
        } else if let Some(character) = found {
            let shown = character
                .map_or_else(|| "end of input".to_owned(), |it| show_text(it.encode_utf8(&mut [0; 4])));
            parts.push(format!("unexpected {shown}"));
            if character.is_none() {
                expected.retain(|text| text != "end of input");
            }
        }
        if !expected.is_empty() {
            parts.push(format!("expecting {}", join_with_or(&expected)));
        }
        if parts.is_empty() { "unknown parse error".to_owned() } else { parts.join(" ") }
    }
}

/// Line and column of a byte offset, both from 1; a tab goes on to the next multiple of 8.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let mut line = 1;
    let mut column = 1;
    for character in text.get(..at).unwrap_or(text).chars() {
        match character {
            '\n' => (line, column) = (line + 1, 1),
            '\t' => column += 8 - (column - 1) % 8,
            _ => column += 1,
        }
    }
    (line, column)
}

fn join_with_or(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A character in single quotes, escaped.
fn show_character(character: char) -> String {
    match character {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => format!("'{}'", escape(character)),
    }
}

/// Text in double quotes, escaped.
fn show_text(text: &str) -> String {
    let mut shown = String::from("\"");
    for character in text.chars() {
        if character == '"' {
            shown.push_str("\\\"");
        } else {
            shown.push_str(&escape(character));
        }
    }
    shown.push('"');
    shown
}

/// Escapes as the messages' origin does: names for control characters, decimal code points beyond ASCII.
fn escape(character: char) -> String {
    const CONTROL: [&str; 32] = [
        "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "a", "b", "t", "n", "v", "f", "r", "SO", "SI",
        "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS",
        "US",
    ];
    let code = u32::from(character);
    let control = usize::try_from(code).ok().and_then(|index| CONTROL.get(index));
    match (character, control) {
        (_, Some(name)) => format!("\\{name}"),
        ('\\', None) => "\\\\".to_owned(),
        ('\u{7f}', None) => "\\DEL".to_owned(),
        (' '..='~', None) => character.to_string(),
        _ => format!("\\{code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_columns_and_tab_stops() {
        assert_eq!(position("abc", 2), (1, 3));
        assert_eq!(position("a\nbc", 3), (2, 2));
        assert_eq!(position("a\tb", 2), (1, 9));
        assert_eq!(position("žž", 2), (1, 2));
    }

    #[test]
    fn characters_are_escaped_so_that_a_message_stays_on_one_line() {
        assert_eq!(show_text("a\"\\\n\u{1}\u{7f}é"), r#""a\"\\\n\SOH\DEL\233""#);
        assert_eq!(show_character('\''), r"'\''");
        assert_eq!(show_character('"'), "'\"'");
    }

    #[test]
    fn the_furthest_failure_wins_and_equals_add_up() {
        let near = Failure::found(1, Some('a')).or_literal("x");
        let far = Failure::found(2, None).or_label("digit");
        assert_eq!(near.clone().merge(far.clone()).describe(), "unexpected end of input expecting digit");
        assert_eq!(far.merge(near.clone()).describe(), "unexpected end of input expecting digit");
        let same = Failure::found(1, Some('a')).or_label("y").or_literal("x");
        assert_eq!(near.clone().merge(same).describe(), "unexpected \"a\" expecting \"x\" or y");
        assert_eq!(Failure::default().merge(near).describe(), "unexpected \"a\" expecting \"x\"");
        assert_eq!(Failure::default().describe(), "unknown parse error");
    }
}
