//! The values of columns that are compared without PostgreSQL: their types, how a row image holds them, how they are
//! ordered. What is not surely the same there is [`Undecided`]. Pure.

mod input;

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value};

/// A row as PostgreSQL's `to_jsonb` writes it. A column that is missing is NULL, as for `jsonb_populate_record`.
pub type Image = Map<String, Value>;

/// Only PostgreSQL can tell: it may fail, or its answer depends on what is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this can only be decided by PostgreSQL")]
pub struct Undecided;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `pg_type.typname` of its type.
    pub type_name: String,
    /// What can be done with its values here.
    pub kind: Kind,
    /// Whether PostgreSQL has patterns (`LIKE`, `~`) for it.
    pub is_text: bool,
}

/// What `pg_type` and `pg_collation` say of a column's type.
#[derive(Clone, Copy, Debug)]
pub struct TypeFacts {
    /// `pg_attribute.atttypid`
    pub oid: u32,
    /// `pg_type.typtype`, as in `b` for a base type.
    pub class: char,
    /// `pg_type.typcategory`, as in `S` for strings.
    pub category: char,
    /// `pg_attribute.attcollation`
    pub collation: u32,
    /// `pg_collation.collisdeterministic`; true where the type has no collation.
    pub is_deterministic: bool,
}

impl Column {
    /// A column of a type that the catalog describes so.
    pub fn new(name: impl Into<String>, type_name: impl Into<String>, facts: TypeFacts) -> Self {
        let is_text = matches!(facts.class, 'b' | 'd') && facts.category == 'S';
        Self { name: name.into(), type_name: type_name.into(), kind: Kind::of(facts), is_text }
    }
}

/// What can be done here with values of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `uuid`
    Uuid,
    /// `boolean`
    Bool,
    /// `smallint`, `integer`, `bigint`
    Integer(Width),
    /// `text` and `character varying`
    Text(Collation),
    /// An enum, whose values are known by their labels: equal or not, in no order.
    Enum,
    /// Another type whose NULL is the image's `null`.
    Plain,
    /// Anything else: composite types are NULL where all their fields are, domains may be such.
    Unknown,
}

/// The width of an integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// `smallint`
    Two,
    /// `integer`
    Four,
    /// `bigint`
    Eight,
}

/// A collation under which equal texts are equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collation {
    /// The database's own; always deterministic.
    Default,
    /// `C`: texts are ordered by their bytes.
    C,
    /// Another one, by its OID.
    Other(u32),
}

impl Kind {
    /// By the fixed OIDs of `pg_type.dat` and `pg_collation.dat` in PostgreSQL's sources.
    fn of(facts: TypeFacts) -> Self {
        match facts.oid {
            16 => Self::Bool,
            20 => Self::Integer(Width::Eight),
            21 => Self::Integer(Width::Two),
            23 => Self::Integer(Width::Four),
            2950 => Self::Uuid,
            25 | 1043 if facts.is_deterministic => Self::Text(match facts.collation {
                100 => Collation::Default,
                950 => Collation::C,
                other => Collation::Other(other),
            }),
            _ => match facts.class {
                'e' => Self::Enum,
                'b' | 'r' | 'm' => Self::Plain,
                _ => Self::Unknown,
            },
        }
    }

    /// The value of a column of this kind; `None` is NULL.
    ///
    /// # Errors
    /// The image holds what `to_jsonb` never writes for such a column, or the kind has no values here.
    pub fn read<'a>(self, image: &'a Image, column: &str) -> Result<Option<Datum<'a>>, Undecided> {
        let datum = match (self, image.get(column)) {
            (Self::Unknown, _) => return Err(Undecided),
            (_, None | Some(Value::Null)) => return Ok(None),
            (Self::Uuid, Some(Value::String(text))) => Datum::Uuid(input::uuid(text).ok_or(Undecided)?),
            (Self::Bool, Some(Value::Bool(value))) => Datum::Bool(*value),
            (Self::Integer(width), Some(Value::Number(number))) => {
                Datum::Integer(number.as_i64().filter(|number| width.holds(*number)).ok_or(Undecided)?)
            }
            (Self::Text(_) | Self::Enum, Some(Value::String(text))) => Datum::Text(Cow::Borrowed(text)),
            _ => return Err(Undecided),
        };
        Ok(Some(datum))
    }

    /// What PostgreSQL makes of the text as a constant or by a cast.
    ///
    /// # Errors
    /// PostgreSQL refuses it, or some versions do, or the kind has no values here.
    pub fn input(self, text: &str) -> Result<Datum<'_>, Undecided> {
        let datum = match self {
            Self::Uuid => input::uuid(text).map(Datum::Uuid),
            Self::Bool => input::boolean(text).map(Datum::Bool),
            Self::Integer(width) => {
                input::integer(text).filter(|number| width.holds(*number)).map(Datum::Integer)
            }
            Self::Text(_) => Some(Datum::Text(Cow::Borrowed(text))),
            Self::Enum | Self::Plain | Self::Unknown => None,
        };
        datum.ok_or(Undecided)
    }

    /// The kind under which values of both can be told equal or not; `None` if they cannot.
    pub fn equality_with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => Some(Self::Integer(left.max(right))),
            (Self::Text(left), Self::Text(right)) => left.with(right).map(Self::Text),
            (Self::Uuid | Self::Bool | Self::Enum, _) if self == other => Some(self),
            _ => None,
        }
    }

    /// Whether values are ordered here as PostgreSQL orders them.
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::Uuid | Self::Bool | Self::Integer(_) | Self::Text(Collation::C))
    }
}

impl Width {
    /// Whether the number is in the type's range.
    pub fn holds(self, number: i64) -> bool {
        match self {
            Self::Two => i16::try_from(number).is_ok(),
            Self::Four => i32::try_from(number).is_ok(),
            Self::Eight => true,
        }
    }
}

impl Collation {
    /// The one that PostgreSQL derives for both: any beats the database's own, two others are in conflict.
    fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Default, other) => Some(other),
            (own, Self::Default) => Some(own),
            (own, other) => (own == other).then_some(own),
        }
    }
}

/// A value that is not NULL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Datum<'a> {
    /// The bytes in the order of the text.
    Uuid([u8; 16]),
    /// A boolean.
    Bool(bool),
    /// An integer of any width.
    Integer(i64),
    /// Text, or the label of an enum.
    Text(Cow<'a, str>),
}

impl Datum<'_> {
    /// The same, borrowed.
    pub fn borrow(&self) -> Datum<'_> {
        match self {
            Self::Uuid(bytes) => Datum::Uuid(*bytes),
            Self::Bool(value) => Datum::Bool(*value),
            Self::Integer(number) => Datum::Integer(*number),
            Self::Text(text) => Datum::Text(Cow::Borrowed(text)),
        }
    }

    /// The same, on its own.
    pub fn into_owned(self) -> Datum<'static> {
        match self {
            Self::Uuid(bytes) => Datum::Uuid(bytes),
            Self::Bool(value) => Datum::Bool(value),
            Self::Integer(number) => Datum::Integer(number),
            Self::Text(text) => Datum::Text(Cow::Owned(text.into_owned())),
        }
    }

    /// The order of two values of one kind; that of texts is by their bytes.
    ///
    /// # Errors
    /// They are of different kinds.
    pub fn compare(&self, other: &Datum<'_>) -> Result<Ordering, Undecided> {
        match (self, other) {
            (Self::Uuid(left), Datum::Uuid(right)) => Ok(left.cmp(right)),
            (Self::Bool(left), Datum::Bool(right)) => Ok(left.cmp(right)),
            (Self::Integer(left), Datum::Integer(right)) => Ok(left.cmp(right)),
            (Self::Text(left), Datum::Text(right)) => Ok(left.cmp(right)),
            _ => Err(Undecided),
        }
    }
}

impl<'a> Datum<'a> {
    /// What a cast to `text` gives.
    pub fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Uuid(bytes) => Cow::Owned(input::uuid_text(bytes)),
            Self::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => text,
        }
    }
}

/// A comparison that PostgreSQL writes with an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether it can be decided for two kinds.
    pub fn is_decided_for(self, left: Kind, right: Kind) -> bool {
        let is_equality = matches!(self, Self::Equal | Self::NotEqual);
        left.equality_with(right).is_some_and(|kind| is_equality || kind.is_ordered())
    }

    /// Whether it holds for values that are ordered so.
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// The answer for two values; NULL if one is.
    ///
    /// # Errors
    /// They are of different kinds.
    pub fn of(self, left: Option<&Datum<'_>>, right: Option<&Datum<'_>>) -> Result<Option<bool>, Undecided> {
        let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
        left.compare(right).map(|ordering| Some(self.holds(ordering)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(oid: u32, class: char, collation: u32, is_deterministic: bool) -> Kind {
        Kind::of(TypeFacts { oid, class, category: 'S', collation, is_deterministic })
    }

    #[test]
    fn a_kind_is_known_by_fixed_numbers_of_the_catalog() {
        assert_eq!(kind(25, 'b', 100, true), Kind::Text(Collation::Default));
        assert_eq!(kind(1043, 'b', 950, true), Kind::Text(Collation::C));
        assert_eq!(kind(16_400, 'e', 0, true), Kind::Enum);
        assert_eq!(kind(1700, 'b', 0, true), Kind::Plain);
        assert_eq!(kind(16_400, 'd', 0, true), Kind::Unknown);
        assert_eq!(kind(16_400, 'c', 0, true), Kind::Unknown);
    }

    #[test]
    fn texts_whose_equality_is_not_that_of_bytes_are_not_compared() {
        assert_eq!(kind(25, 'b', 16_400, false), Kind::Plain);
    }

    #[test]
    fn two_collations_beside_the_default_are_in_conflict() {
        let text = |collation| Kind::Text(collation);
        let with_default = text(Collation::C).equality_with(text(Collation::Default));
        assert_eq!(with_default, Some(text(Collation::C)));
        assert_eq!(text(Collation::C).equality_with(text(Collation::Other(951))), None);
        assert!(!Comparison::Less.is_decided_for(text(Collation::Default), text(Collation::Default)));
        assert!(Comparison::Less.is_decided_for(text(Collation::Default), text(Collation::C)));
    }

    #[test]
    fn a_value_that_no_row_has_is_undecided() {
        let image = json!({ "n": 40_000, "t": 5, "id": "x", "none": null });
        let image = image.as_object().unwrap();
        assert_eq!(Kind::Integer(Width::Two).read(image, "n"), Err(Undecided));
        assert_eq!(Kind::Integer(Width::Four).read(image, "n"), Ok(Some(Datum::Integer(40_000))));
        assert_eq!(Kind::Text(Collation::C).read(image, "t"), Err(Undecided));
        assert_eq!(Kind::Uuid.read(image, "id"), Err(Undecided));
        assert_eq!(Kind::Uuid.read(image, "none"), Ok(None));
        assert_eq!(Kind::Uuid.read(image, "missing"), Ok(None));
    }
}
