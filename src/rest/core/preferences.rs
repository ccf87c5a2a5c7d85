//! The `Prefer` header (RFC 7240): what the client would like, and `Preference-Applied`, what it got.
//!
//! Owns reading and rendering of the preferences that PostgREST knows. The first value of a kind wins; what is not
//! known is kept in [`Preferences::invalid`] for `handling=strict`. Time zones are not checked here: PostgreSQL refuses
//! a wrong one itself (22023), as it does under PostgREST.

/// All preferences of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// What an insert does with rows that exist.
    pub resolution: Option<Resolution>,
    /// What a mutation answers.
    pub representation: Option<Representation>,
    /// How the total is counted.
    pub count: Option<CountMode>,
    /// How the transaction ends; `None` where the server does not let clients choose.
    pub transaction: Option<TransactionEnd>,
    /// What a column gets that is in `columns` but not in the body.
    pub missing: Option<Missing>,
    /// What happens to unknown preferences.
    pub handling: Option<Handling>,
    /// Session time zone, unchecked; empty is possible.
    pub timezone: Option<String>,
    /// Most rows that a mutation may affect; counts only with [`Handling::Strict`].
    pub max_affected: Option<i64>,
    /// Preferences that are not known, as sent.
    pub invalid: Vec<String>,
}

/// Declares a preference with its wire values.
macro_rules! preference {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $wire:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// As spelled in `Prefer` and `Preference-Applied`.
            pub fn wire(self) -> &'static str {
                match self { $(Self::$variant => $wire,)+ }
            }

            fn from_wire(text: &str) -> Option<Self> {
                match text { $($wire => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

preference! {
    /// What an insert does with rows that exist.
    Resolution {
        /// Updates them.
        MergeDuplicates = "resolution=merge-duplicates",
        /// Leaves them.
        IgnoreDuplicates = "resolution=ignore-duplicates",
    }
}

preference! {
    /// What a mutation answers.
    Representation {
        /// The rows.
        Full = "return=representation",
        /// Nothing.
        Minimal = "return=minimal",
        /// A `Location` header after an insert; needs the right to read the primary key.
        HeadersOnly = "return=headers-only",
    }
}

preference! {
    /// How the total is counted.
    CountMode {
        /// By counting.
        Exact = "count=exact",
        /// By the planner's guess.
        Planned = "count=planned",
        /// By counting up to `max-rows`, by the planner's guess beyond.
        Estimated = "count=estimated",
    }
}

preference! {
    /// How the transaction ends.
    TransactionEnd {
        /// Changes stay.
        Commit = "tx=commit",
        /// Changes are undone after the answer was made.
        Rollback = "tx=rollback",
    }
}

preference! {
    /// What a column gets that is in `columns` but not in the body.
    Missing {
        /// Its default.
        Defaults = "missing=default",
        /// NULL.
        Nulls = "missing=null",
    }
}

preference! {
    /// What happens to unknown preferences.
    Handling {
        /// The request fails.
        Strict = "handling=strict",
        /// They are ignored.
        Lenient = "handling=lenient",
    }
}

impl CountMode {
    /// Whether rows are counted.
    pub fn counts(self) -> bool {
        matches!(self, Self::Exact | Self::Estimated)
    }

    /// Whether the planner is asked for its guess.
    pub fn guesses(self) -> bool {
        matches!(self, Self::Planned | Self::Estimated)
    }
}

const TIMEZONE: &str = "timezone=";
const MAX_AFFECTED: &str = "max-affected=";

impl Preferences {
    /// Reads the values of all `Prefer` headers, in order. With `allow_transaction_end` false, `tx` is known but ignored.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>, allow_transaction_end: bool) -> Self {
        let mut preferences = Self::default();
        let mut max_affected_seen = false;
        let values = headers.into_iter().filter(|value| !value.is_empty());
        for text in values.flat_map(|value| value.split(',')).map(str::trim) {
            if let Some(resolution) = Resolution::from_wire(text) {
                preferences.resolution.get_or_insert(resolution);
            } else if let Some(representation) = Representation::from_wire(text) {
                preferences.representation.get_or_insert(representation);
            } else if let Some(count) = CountMode::from_wire(text) {
                preferences.count.get_or_insert(count);
            } else if let Some(transaction) = TransactionEnd::from_wire(text) {
                if allow_transaction_end {
                    preferences.transaction.get_or_insert(transaction);
                }
            } else if let Some(missing) = Missing::from_wire(text) {
                preferences.missing.get_or_insert(missing);
            } else if let Some(handling) = Handling::from_wire(text) {
                preferences.handling.get_or_insert(handling);
            } else if let Some(timezone) = text.strip_prefix(TIMEZONE) {
                preferences.timezone.get_or_insert_with(|| timezone.to_owned());
            } else if let Some(number) = text.strip_prefix(MAX_AFFECTED) {
                if !max_affected_seen {
                    max_affected_seen = true;
                    preferences.max_affected = parse_max_affected(number);
                }
            } else {
                preferences.invalid.push(text.to_owned());
            }
        }
        preferences
    }

    /// Whether `handling=strict` makes the unknown preferences an error.
    pub fn must_refuse(&self) -> bool {
        self.handling == Some(Handling::Strict) && !self.invalid.is_empty()
    }

    /// The limit on affected rows that is to be enforced.
    pub fn enforced_max_affected(&self) -> Option<i64> {
        if self.handling == Some(Handling::Strict) { self.max_affected } else { None }
    }

    /// The value of `Preference-Applied`, if anything was applied.
    ///
    /// Callers first clear what did not apply to the request (a `resolution` without an insert, say).
    pub fn applied(&self) -> Option<String> {
        let applied: Vec<String> = [
            self.resolution.map(|it| it.wire().to_owned()),
            self.missing.map(|it| it.wire().to_owned()),
            self.representation.map(|it| it.wire().to_owned()),
            self.count.map(|it| it.wire().to_owned()),
            self.transaction.map(|it| it.wire().to_owned()),
            self.handling.map(|it| it.wire().to_owned()),
            self.timezone.as_ref().map(|zone| format!("{TIMEZONE}{zone}")),
            self.enforced_max_affected().map(|number| format!("{MAX_AFFECTED}{number}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

/// Numbers past 64 bits mean "any number of rows".
fn parse_max_affected(text: &str) -> Option<i64> {
    let number = super::range::parse_integer(text)?;
    let bounded = number.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(bounded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[&str]) -> Preferences {
        Preferences::parse(headers.iter().copied(), true)
    }

    #[test]
    fn preferences_come_from_one_header_or_many() {
        let expected = Preferences {
            resolution: Some(Resolution::IgnoreDuplicates),
            count: Some(CountMode::Exact),
            timezone: Some("America/Los_Angeles".to_owned()),
            max_affected: Some(100),
            ..Preferences::default()
        };
        let (one, two) = ("resolution=ignore-duplicates, count=exact", "timezone=America/Los_Angeles");
        assert_eq!(parse(&[&format!("{one}, {two},max-affected=100")]), expected);
        assert_eq!(parse(&[one, two, "  max-affected=100  "]), expected);
    }

    #[test]
    fn the_first_value_of_a_kind_wins() {
        assert_eq!(parse(&["tx=commit, tx=rollback"]).transaction, Some(TransactionEnd::Commit));
        assert_eq!(
            parse(&["return=minimal", "return=representation"]).representation,
            Some(Representation::Minimal)
        );
        assert_eq!(parse(&["max-affected=x, max-affected=5"]).max_affected, None);
    }

    #[test]
    fn the_end_of_the_transaction_is_ignored_unless_the_server_allows_it() {
        let preferences = Preferences::parse(["tx=rollback, handling=strict"], false);
        assert_eq!(preferences.transaction, None);
        assert!(!preferences.must_refuse());
        assert_eq!(preferences.applied().as_deref(), Some("handling=strict"));
    }

    #[test]
    fn unknown_preferences_are_collected_and_refused_only_when_strict() {
        assert_eq!(
            parse(&["something, else", "return=nothing"]).invalid,
            ["something", "else", "return=nothing"]
        );
        assert!(!parse(&["anything"]).must_refuse());
        assert!(!parse(&["anything, handling=lenient"]).must_refuse());
        assert!(parse(&["anything, handling=strict"]).must_refuse());
        assert!(!parse(&["timezone=Nowhere, max-affected=x, handling=strict"]).must_refuse());
    }

    #[test]
    fn applied_preferences_have_a_fixed_order() {
        let all = "max-affected=5, timezone=UTC, handling=strict, tx=commit, count=planned, return=minimal, \
                   missing=default, resolution=merge-duplicates";
        assert_eq!(
            parse(&[all]).applied().as_deref(),
            Some(
                "resolution=merge-duplicates, missing=default, return=minimal, count=planned, tx=commit, \
                 handling=strict, timezone=UTC, max-affected=5"
            )
        );
        assert_eq!(parse(&["max-affected=5"]).applied(), None);
        assert_eq!(parse(&[]).applied(), None);
    }

    #[test]
    fn an_estimate_counts_and_guesses() {
        let modes = ["count=exact", "count=planned", "count=estimated"];
        let told = modes.map(|mode| parse(&[mode]).count.map(|count| (count.counts(), count.guesses())));
        assert_eq!(told, [Some((true, false)), Some((false, true)), Some((true, true))]);
    }
}
