//! The classes of findings, their risks, and a set of them.

use serde::Serialize;

/// A kind of hostile or unfit content. The table of risks is in the documentation of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// NUL, which PostgreSQL cannot store.
    NullByte,
    /// Markup or an address that runs script.
    Script,
    /// A fragment that changes the meaning of a statement it is pasted into.
    SqlInjection,
    /// A way out of a folder, an absolute path, a well-known file of the system.
    PathTraversal,
    /// A line break in a field of one line, plain or percent-encoded.
    HeaderInjection,
    /// An expression of a template language.
    Template,
    /// An attack hidden by encoding: percent signs, entities, escapes, overlong UTF-8, look-alike punctuation.
    Encoding,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// A character that changes the direction of the text around it.
    Bidi,
    /// A text that looks like ASCII and is not.
    Homoglyph,
    /// A control character (C0, DEL, C1, line and paragraph separators) or a noncharacter of Unicode.
    ControlCharacter,
    /// An invisible character that no script needs at this place.
    ZeroWidth,
    /// A word of letters from scripts that no language mixes.
    MixedScript,
    /// Longer, deeper or larger than the field allows.
    Length,
    /// Against the grammar of the field.
    Malformed,
}

impl Class {
    /// Every class, the gravest first.
    pub const ALL: [Self; 15] = [
        Self::NullByte,
        Self::Script,
        Self::SqlInjection,
        Self::PathTraversal,
        Self::HeaderInjection,
        Self::Template,
        Self::Encoding,
        Self::InvalidUtf8,
        Self::Bidi,
        Self::Homoglyph,
        Self::ControlCharacter,
        Self::ZeroWidth,
        Self::MixedScript,
        Self::Length,
        Self::Malformed,
    ];

    /// The name in metrics, events and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NullByte => "null_byte",
            Self::Script => "script",
            Self::SqlInjection => "sql_injection",
            Self::PathTraversal => "path_traversal",
            Self::HeaderInjection => "header_injection",
            Self::Template => "template",
            Self::Encoding => "encoding",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Bidi => "bidi",
            Self::Homoglyph => "homoglyph",
            Self::ControlCharacter => "control_character",
            Self::ZeroWidth => "zero_width",
            Self::MixedScript => "mixed_script",
            Self::Length => "length",
            Self::Malformed => "malformed",
        }
    }

    /// From 1 to 100: how likely an input with this finding is an attack, weighed with what the attack would gain.
    pub const fn risk(self) -> u8 {
        match self {
            Self::NullByte => 90,
            Self::Script | Self::SqlInjection => 80,
            Self::PathTraversal | Self::HeaderInjection => 75,
            Self::Template => 70,
            Self::Encoding | Self::InvalidUtf8 => 60,
            Self::Bidi => 50,
            Self::Homoglyph => 45,
            Self::ControlCharacter => 40,
            Self::ZeroWidth => 35,
            Self::MixedScript => 30,
            Self::Length => 20,
            Self::Malformed => 10,
        }
    }
}

/// One finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was found.
    pub class: Class,
    /// The risk of the class.
    pub risk: u8,
}

/// A set of classes; costs nothing while it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings(u16);

impl Findings {
    pub(super) fn insert(&mut self, class: Class) {
        self.0 |= 1 << class as u16;
    }

    pub(super) fn without(self, class: Class) -> Self {
        Self(self.0 & !(1 << class as u16))
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn contains(self, class: Class) -> bool {
        self.0 & (1 << class as u16) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }

    pub(super) fn list(self) -> Vec<Finding> {
        if self.is_empty() {
            return Vec::new();
        }
        self.iter().map(|class| Finding { class, risk: class.risk() }).collect()
    }

    /// The worst risk, plus 5 for every other class, at most 100.
    pub(super) fn risk(self) -> u8 {
        if self.is_empty() {
            return 0;
        }
        let worst = self.iter().map(Class::risk).max().unwrap_or(0);
        let others = u8::try_from(self.iter().count() - 1).unwrap_or(u8::MAX);
        worst.saturating_add(others.saturating_mul(5)).min(100)
    }
}
