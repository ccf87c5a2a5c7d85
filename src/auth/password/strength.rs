//! Pure: what a new password must look like, and the words in which GoTrue says so (contract sections 2 and 6).

use std::fmt::Write as _;

use serde::Serialize;

use crate::kernel::secret::Secret;

/// The most characters of any password. Longer ones are refused before anything is computed (threat B15).
pub const MAX_CHARACTERS: usize = 256;

/// The bytes that [`MAX_CHARACTERS`] characters can take.
pub(super) const MAX_BYTES: usize = MAX_CHARACTERS * 4;

/// What a new password must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrengthRules {
    /// The fewest characters.
    pub min_characters: usize,
    /// The most bytes that the hash function reads: no password is ever cut silently.
    pub max_bytes: usize,
    /// Classes of which one character each is needed.
    pub required_characters: RequiredCharacters,
}

impl StrengthRules {
    /// Whether the password may be chosen. Who calls says whether it is on a list of leaked ones.
    pub fn check(&self, password: &Secret, is_leaked: bool) -> Result<(), PasswordRefusal> {
        usable(password)?;
        let text = password.expose();
        if text.len() > self.max_bytes {
            return Err(Unusable::TooLong { max: self.max_bytes }.into());
        }
        let mut weakness = Weakness::default();
        if text.chars().count() < self.min_characters {
            let least = self.min_characters;
            weakness.add(Reason::Length, format_args!("Password should be at least {least} characters."));
        }
        if !self.required_characters.are_in(text) {
            let classes = self.required_characters.classes().join(", ");
            weakness.add(
                Reason::Characters,
                format_args!("Password should contain at least one character of each: {classes}."),
            );
        }
        if is_leaked {
            weakness.add(
                Reason::Pwned,
                format_args!(
                    "Password is known to be weak and easy to guess, please choose a different one."
                ),
            );
        }
        weakness.into_result()
    }
}

/// Classes of characters, in GoTrue's notation: the characters of each class, classes separated by `:`, where `\:` is
/// the colon itself. Example: `abcdefghijklmnopqrstuvwxyz:0123456789`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredCharacters(Vec<String>);

impl RequiredCharacters {
    /// Reads the notation. Every text means something; empty classes are left out.
    pub fn parse(notation: &str) -> Self {
        let mut classes = vec![String::new()];
        let mut characters = notation.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, classes.last_mut()) {
                (':', _) => classes.push(String::new()),
                ('\\', Some(class)) if characters.next_if_eq(&':').is_some() => class.push(':'),
                (_, Some(class)) => class.push(character),
                (_, None) => {}
            }
        }
        classes.retain(|class| !class.is_empty());
        Self(classes)
    }

    /// The classes, in the order given.
    pub fn classes(&self) -> &[String] {
        &self.0
    }

    fn are_in(&self, password: &str) -> bool {
        self.0.iter().all(|class| password.contains(|character| class.contains(character)))
    }
}

/// Why a password can be nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// More than [`MAX_CHARACTERS`] characters, or more bytes than the configured hash function reads.
    #[error("Password cannot be longer than {max} characters")]
    TooLong {
        /// The bound that was passed.
        max: usize,
    },
    /// It contains the character NUL, at which some hash functions stop reading (threat B16).
    #[error("Password cannot contain the NUL character")]
    Nul,
}

/// Why a password may not be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefusal {
    /// It cannot be a password at all.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It is too easy to guess.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// It could not be looked up among the leaked ones, and the configuration insists on that.
    #[error("Unable to perform password strength check")]
    Unchecked,
}

/// The rules that a password breaks. Serialises as the field `weak_password` of error and session answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct WeakPassword {
    /// One entry per rule, in the order length, characters, pwned.
    pub reasons: Vec<Reason>,
    /// A sentence per rule, for people.
    pub message: String,
}

/// A rule that a password breaks, as clients know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Too few characters.
    Length,
    /// A class of characters is missing.
    Characters,
    /// It is on a list of leaked passwords.
    Pwned,
}

/// Whether the text can be a password at all. This holds for passwords that are tried, too.
pub(super) fn usable(password: &Secret) -> Result<(), Unusable> {
    let text = password.expose();
    if text.len() > MAX_BYTES || text.chars().count() > MAX_CHARACTERS {
        return Err(Unusable::TooLong { max: MAX_CHARACTERS });
    }
    if text.contains('\0') { Err(Unusable::Nul) } else { Ok(()) }
}

/// The rules found broken so far.
#[derive(Default)]
struct Weakness {
    reasons: Vec<Reason>,
    message: String,
}

impl Weakness {
    fn add(&mut self, reason: Reason, sentence: std::fmt::Arguments<'_>) {
        let space = if self.message.is_empty() { "" } else { " " };
        let _written_to_memory = write!(self.message, "{space}{sentence}");
        self.reasons.push(reason);
    }

    fn into_result(self) -> Result<(), PasswordRefusal> {
        if self.reasons.is_empty() {
            return Ok(());
        }
        Err(WeakPassword { reasons: self.reasons, message: self.message }.into())
    }
}
