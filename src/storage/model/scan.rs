//! What a scanner says of stored bytes, and what follows from it for readers.

/// The kind of the jobs that scan.
pub(in crate::storage) const SCAN_JOB: &str = "storage.scan";

/// Why nobody may read a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(in crate::storage) enum Hold {
    /// The scanner has not spoken yet.
    Pending,
    /// Something was found, or it could not be looked for.
    Quarantined,
}

impl Hold {
    /// As the database and clients have it.
    pub(in crate::storage) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What a scanner said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Verdict {
    /// Nothing is wrong.
    Clean,
    /// This was found.
    Infected(String),
    /// It does not look at so many bytes.
    TooLarge,
}

/// The longest text about what was found, in characters.
const LONGEST: usize = 200;

impl Verdict {
    /// This was found, as far as it can be kept and shown.
    pub(in crate::storage) fn infected(found: &str) -> Self {
        Self::Infected(found.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
    }

    /// As the metrics have it.
    pub(in crate::storage) fn name(&self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Infected(_) => "infected",
            Self::TooLarge => "too_large",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_short_and_has_no_control_characters() {
        assert_eq!(Verdict::infected("Bad\0\u{1b}[31m\n.Thing"), Verdict::Infected("Bad[31m.Thing".into()));
        assert_eq!(Verdict::infected(&"ä".repeat(5000)), Verdict::Infected("ä".repeat(LONGEST)));
    }
}
