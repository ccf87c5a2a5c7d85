//! The part of a predicate by which its subscribers are found from a row: that something of the row equals something of
//! the claims.

use super::claims::Claims;
use super::expression::{Cast, Expression};
use crate::realtime::changes::value::{Comparison, Datum, Image, Kind, Undecided};

/// A value by which subscribers are found, to be hashed.
pub type KeyValue = Datum<'static>;

/// An equality that must hold wherever a predicate is true.
///
/// If the predicate is true of an image for claims, then [`EqualityKey::of_image`] and [`EqualityKey::of_claims`] are the
/// same value. So it is enough to ask the subscribers with the image's value, and those whose own is undecided. An
/// image whose value is undecided concerns all; one without a value concerns only those that are undecided.
/// Predicates with equal keys can share an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EqualityKey {
    row: Expression,
    claim: Expression,
}

impl EqualityKey {
    /// The value of the row; none if it is NULL, for which no predicate with this key is true.
    ///
    /// # Errors
    /// PostgreSQL may fail on the row.
    pub fn of_image(&self, image: &Image) -> Result<Option<KeyValue>, Undecided> {
        let claims = Claims::none();
        Ok(self.row.value(image, &claims)?.map(Datum::into_owned))
    }

    /// The value of a subscriber; none if it is NULL, which sees no row by a predicate with this key.
    ///
    /// # Errors
    /// PostgreSQL may fail on the claims: whatever it then says of a row, it must be asked.
    pub fn of_claims(&self, claims: &Claims) -> Result<Option<KeyValue>, Undecided> {
        let image = Image::new();
        Ok(self.claim.value(&image, claims)?.map(Datum::into_owned))
    }

    /// How many values there may be: the more, the fewer subscribers share one.
    fn spread(&self) -> u8 {
        let kind = match &self.row {
            Expression::Column { kind, .. } | Expression::Cast(_, Cast::Parse(kind)) => *kind,
            _ => return 1,
        };
        match kind {
            Kind::Uuid => 3,
            Kind::Integer(_) | Kind::Text(_) => 2,
            Kind::Enum => 1,
            Kind::Bool | Kind::Plain | Kind::Unknown => 0,
        }
    }
}

/// The best key of an expression that is to be true.
pub(super) fn best(expression: &Expression) -> Option<EqualityKey> {
    keys(expression).into_iter().max_by_key(EqualityKey::spread)
}

fn keys(expression: &Expression) -> Vec<EqualityKey> {
    match expression {
        Expression::Compare(Comparison::Equal, left, right) => {
            let (on_left, on_right) = (left.sources(), right.sources());
            let (row, claim) = match (on_left.row, on_left.claims, on_right.row, on_right.claims) {
                (true, false, false, true) => (left, right),
                (false, true, true, false) => (right, left),
                _ => return Vec::new(),
            };
            vec![EqualityKey { row: (**row).clone(), claim: (**claim).clone() }]
        }
        Expression::And(members) => members.iter().flat_map(keys).collect(),
        Expression::Or(members) => {
            let mut members = members.iter().map(keys);
            let mut common = members.next().unwrap_or_default();
            for keys in members {
                common.retain(|key| keys.contains(key));
            }
            common
        }
        Expression::Is(operand, Some(true)) => keys(operand),
        _ => Vec::new(),
    }
}
