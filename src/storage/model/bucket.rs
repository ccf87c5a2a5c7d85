//! A bucket: who may read it without asking, how large objects may be, and of which types.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What the service knows of a bucket when something is done in it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(in crate::storage) struct Bucket {
    /// Its id, by which requests name it.
    pub(in crate::storage) id: String,
    /// Whether everybody may read its objects.
    pub(in crate::storage) public: bool,
    /// The largest object in bytes, below that of the server.
    pub(in crate::storage) file_size_limit: Option<i64>,
    /// Which types objects may be declared as; none: all.
    pub(in crate::storage) allowed_mime_types: Option<Vec<String>>,
}

impl Bucket {
    /// The largest object in bytes, where the server allows `global`.
    pub(in crate::storage) fn largest_object(&self, global: u64) -> u64 {
        let own = self.file_size_limit.and_then(|limit| u64::try_from(limit).ok());
        own.map_or(global, |own| own.min(global))
    }

    /// Whether objects may be of a type, which may have parameters.
    pub(in crate::storage) fn allows_type(&self, mime: &str) -> bool {
        let Some(patterns) = self.allowed_mime_types.as_deref().filter(|patterns| !patterns.is_empty())
        else {
            return true;
        };
        let (kind, subtype) = essence(mime);
        patterns.iter().any(|pattern| {
            let (wanted_kind, wanted_subtype) = essence(pattern);
            pattern.trim() == "*"
                || ((wanted_kind == "*" || wanted_kind == kind)
                    && (wanted_subtype == "*" || wanted_subtype == subtype))
        })
    }
}

/// Type and subtype in lower case, without parameters.
fn essence(mime: &str) -> (String, String) {
    let bare = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match bare.split_once('/') {
        Some((kind, subtype)) => (kind.trim().to_owned(), subtype.trim().to_owned()),
        None => (bare, String::new()),
    }
}

/// Whether a text can stand in `allowed_mime_types`.
pub(in crate::storage) fn is_type_pattern(text: &str) -> bool {
    let token = |part: &str| {
        part == "*"
            || (!part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c)))
    };
    text == "*"
        || text
            .split(';')
            .next()
            .and_then(|bare| bare.trim().split_once('/'))
            .is_some_and(|(a, b)| token(a) && token(b))
}

/// A size in bytes, written as a number or as text with a decimal unit such as `20MB`.
pub(in crate::storage) fn size_in_bytes(value: &Value) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return (number >= 0).then_some(number);
    }
    let text = value.as_str()?.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: i64 = match unit.trim() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = whole.parse().ok()?;
    let mut size = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        size = size.checked_add(i64::from(digit.to_digit(10)?).checked_mul(place)?)?;
    }
    Some(size)
}

/// What a request says of a field: nothing, `null`, or a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) enum Field<T> {
    /// It is missing: what is there stays.
    #[default]
    Missing,
    /// It is null: what is there goes.
    Null,
    /// It is to be this.
    Value(T),
}

impl<T> Field<T> {
    /// The new value, where there is one.
    pub(in crate::storage) fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Null => None,
        }
    }

    /// Whether nothing is said.
    pub(in crate::storage) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| value.map_or(Self::Null, Self::Value))
    }
}

#[cfg(test)]
pub(in crate::storage::model) mod tests {
    use serde_json::json;

    use super::*;

    /// A bucket that takes these types.
    pub(in crate::storage::model) fn bucket(types: &[&str]) -> Bucket {
        Bucket {
            id: "b".into(),
            public: false,
            file_size_limit: None,
            allowed_mime_types: Some(types.iter().map(|&t| t.to_owned()).collect()),
        }
    }

    #[test]
    fn types_are_allowed_by_name_or_by_kind() {
        assert!(bucket(&["image/*"]).allows_type("image/PNG; x=1"));
        assert!(bucket(&["text/plain"]).allows_type("text/plain;charset=UTF-8"));
        assert!(bucket(&["*"]).allows_type("a/b") && bucket(&["*/*"]).allows_type("a/b"));
        assert!(bucket(&[]).allows_type("a/b"));
        assert!(!bucket(&["image/*"]).allows_type("imagex/png"));
        assert!(!bucket(&["image/png"]).allows_type("image/pngx"));
        assert!(
            is_type_pattern("image/*") && is_type_pattern("*") && is_type_pattern("application/vnd.x+json")
        );
        assert!(!is_type_pattern("image") && !is_type_pattern("/png") && !is_type_pattern("a b/c"));
    }

    #[test]
    fn sizes_have_decimal_units() {
        for (value, bytes) in [
            (json!(5), Some(5)),
            (json!("20MB"), Some(20_000_000)),
            (json!("1.5 gb"), Some(1_500_000_000)),
            (json!("100kb"), Some(100_000)),
            (json!("7"), Some(7)),
            (json!("12b"), Some(12)),
            (json!(-1), None),
            (json!("x"), None),
            (json!("1tb"), None),
            (json!("99999999999gb"), None),
            (json!(1.5), None),
        ] {
            assert_eq!(size_in_bytes(&value), bytes, "{value}");
        }
    }

    #[test]
    fn the_smaller_limit_counts() {
        let with = |limit| Bucket { file_size_limit: limit, ..bucket(&[]) };
        assert_eq!(with(None).largest_object(10), 10);
        assert_eq!(with(Some(5)).largest_object(10), 5);
        assert_eq!(with(Some(50)).largest_object(10), 10);
    }
}
