//! A text pattern of the redirect allow-list: `*` stands for any run without `.` and `/`, `**` for any run.

/// A pattern split into literals and wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(u8),
    /// `*`: any run of bytes that stays inside one label or path segment.
    Run,
    /// `**`: any run of bytes.
    Anything,
}

impl Glob {
    /// Reads a pattern. More than two stars in a row say no more than two.
    pub(super) fn new(pattern: &str) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        for byte in pattern.bytes() {
            match (byte, tokens.last_mut()) {
                (b'*', Some(last @ (Token::Run | Token::Anything))) => *last = Token::Anything,
                (b'*', _) => tokens.push(Token::Run),
                (literal, _) => tokens.push(Token::Literal(literal)),
            }
        }
        Self(tokens)
    }

    /// Whether the whole text fits.
    ///
    /// All ways through the pattern advance together, so the time is the product of both lengths and no text
    /// makes it grow further.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut reached = vec![false; self.0.len() + 1];
        reached[0] = true;
        self.skip_wildcards(&mut reached);
        for byte in text.bytes() {
            let mut next = vec![false; self.0.len() + 1];
            for (at, token) in self.0.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match token {
                    Token::Literal(literal) => next[at + 1] |= *literal == byte,
                    Token::Run => next[at] |= !matches!(byte, b'.' | b'/'),
                    Token::Anything => next[at] = true,
                }
            }
            self.skip_wildcards(&mut next);
            reached = next;
        }
        reached[self.0.len()]
    }

    /// A wildcard may stand for nothing: who stands before one stands behind it too.
    fn skip_wildcards(&self, reached: &mut [bool]) {
        for (at, token) in self.0.iter().enumerate() {
            if reached[at] && !matches!(token, Token::Literal(_)) {
                reached[at + 1] = true;
            }
        }
    }
}
