//! The part of a predicate by which its subscribers are found from a row: that something of the row equals something of
//! the claims.

use std::cmp::Reverse;

use super::claims::Claims;
use super::expression::{Cast, Expression};
use crate::realtime::changes::value::{Comparison, Datum, Image, Kind, Undecided};

/// A value by which subscribers are found, to be hashed.
pub type KeyValue = Datum<'static>;

/// Which rows a subscriber can see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Those of this value.
    Value(KeyValue),
    /// Any, or those of which only PostgreSQL can tell.
    Every,
}

/// An equality that must hold wherever a predicate is true, but for subscribers whose claims alone may make it true.
///
/// If the predicate is true of an image for claims, then [`EqualityKey::reach`] of the claims is [`Reach::Every`], or the value
/// that [`EqualityKey::of_image`] gives. So it is enough to ask the subscribers with the image's value, and those that reach
/// every row. An image whose value is undecided concerns all; one without a value concerns only those that reach every row.
/// Predicates with equal keys can share an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EqualityKey {
    row: Expression,
    claim: Expression,
    /// Conditions on the claims of which each does without the equality.
    unless: Vec<Expression>,
}

impl EqualityKey {
    /// The value of the row; none if it is NULL, for which the equality does not hold.
    ///
    /// # Errors
    /// PostgreSQL may fail on the row.
    pub fn of_image(&self, image: &Image) -> Result<Option<KeyValue>, Undecided> {
        let claims = Claims::none();
        Ok(self.row.value(image, &claims)?.map(Datum::into_owned))
    }

    /// Which rows a subscriber can see; none sees whose value is NULL. Where PostgreSQL may fail on the claims it must be asked,
    /// whatever it then says of a row.
    pub fn reach(&self, claims: &Claims) -> Option<Reach> {
        let image = Image::new();
        if self
            .unless
            .iter()
            .any(|condition| !matches!(condition.truth(&image, claims), Ok(None | Some(false))))
        {
            return Some(Reach::Every);
        }
        match self.claim.value(&image, claims) {
            Ok(value) => value.map(Datum::into_owned).map(Reach::Value),
            Err(Undecided) => Some(Reach::Every),
        }
    }

    /// Whether both compare the same.
    fn compares_like(&self, other: &Self) -> bool {
        (&self.row, &self.claim) == (&other.row, &other.claim)
    }

    /// The same but for more who do without it.
    fn or_if(mut self, conditions: impl IntoIterator<Item = Expression>) -> Self {
        for condition in conditions {
            if !self.unless.contains(&condition) {
                self.unless.push(condition);
            }
        }
        self
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
    keys(expression).into_iter().max_by_key(|key| (key.spread(), Reverse(key.unless.len())))
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
            vec![EqualityKey { row: (**row).clone(), claim: (**claim).clone(), unless: Vec::new() }]
        }
        Expression::And(members) => members.iter().flat_map(keys).collect(),
        Expression::Or(members) => {
            let (of_rows, of_claims): (Vec<_>, Vec<_>) =
                members.iter().partition(|member| member.sources().row);
            let mut of_rows = of_rows.into_iter().map(keys);
            let first = of_rows.next().unwrap_or_default();
            let common = of_rows.fold(first, |common, others| shared(common, &others));
            common.into_iter().map(|key| key.or_if(of_claims.iter().copied().cloned())).collect()
        }
        Expression::Is(operand, Some(true)) => keys(operand),
        _ => Vec::new(),
    }
}

/// The comparisons that both sides of an OR have.
fn shared(left: Vec<EqualityKey>, right: &[EqualityKey]) -> Vec<EqualityKey> {
    let both = left.into_iter().filter_map(|key| {
        let other = right.iter().find(|other| other.compares_like(&key))?;
        Some(key.or_if(other.unless.iter().cloned()))
    });
    both.collect()
}
