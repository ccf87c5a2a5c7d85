//! A page of a bucket's objects: what is wanted, and the cursor that leads from one page to the next (contract section 7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// What a page is ordered by. Names are compared by their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::storage) enum ListColumn {
    /// The name.
    #[default]
    Name,
    /// When it was last changed.
    UpdatedAt,
    /// When it was made.
    CreatedAt,
    /// When it was last read.
    LastAccessedAt,
}

/// The order of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct ListOrder {
    /// By what.
    pub(in crate::storage) column: ListColumn,
    /// Whether the last comes first.
    pub(in crate::storage) descending: bool,
}

/// What comes before the page: the last entry of the page before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct After {
    /// Its whole name; of a folder with the delimiter at its end.
    pub(in crate::storage) key: String,
    /// Its time, where the order is by one; none of folders, which come first.
    pub(in crate::storage) time: Option<DateTime<Utc>>,
}

/// A page that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Listing<'a> {
    /// The bucket.
    pub(in crate::storage) bucket: &'a str,
    /// What all names begin with.
    pub(in crate::storage) prefix: &'a str,
    /// What ends a folder; none lists all names.
    pub(in crate::storage) delimiter: Option<&'a str>,
    /// What the rest of the names begins with, in capitals or not.
    pub(in crate::storage) search: Option<&'a str>,
    /// The order.
    pub(in crate::storage) order: ListOrder,
    /// What comes before the page.
    pub(in crate::storage) after: Option<After>,
    /// How many entries are passed over.
    pub(in crate::storage) offset: u64,
    /// The most entries, folders included.
    pub(in crate::storage) limit: u64,
}

/// An object, or a folder of some.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::storage) struct Entry {
    /// The whole name; of a folder with the delimiter at its end.
    pub(in crate::storage) key: String,
    /// Whether it stands for all names that begin with it.
    pub(in crate::storage) is_folder: bool,
    /// Of an object.
    pub(in crate::storage) id: Option<Uuid>,
    /// Of an object.
    pub(in crate::storage) created_at: Option<DateTime<Utc>>,
    /// Of an object.
    pub(in crate::storage) updated_at: Option<DateTime<Utc>>,
    /// Of an object.
    pub(in crate::storage) last_accessed_at: Option<DateTime<Utc>>,
    /// Of an object.
    pub(in crate::storage) metadata: Option<Value>,
}

impl Entry {
    /// Where the next page begins, if this is the last of its page.
    pub(in crate::storage) fn position(&self, order: ListOrder) -> After {
        let time = match order.column {
            ListColumn::Name => None,
            ListColumn::UpdatedAt => self.updated_at,
            ListColumn::CreatedAt => self.created_at,
            ListColumn::LastAccessedAt => self.last_accessed_at,
        };
        After { key: self.key.clone(), time }
    }
}

impl After {
    /// As a client carries it to the next page; it says the order too, which must not change on the way.
    pub(in crate::storage) fn to_cursor(&self, order: ListOrder) -> String {
        let mut text = format!("l:{}", self.key);
        text.push_str(if order.descending { "\no:desc" } else { "\no:asc" });
        if let Some(column) = order.column.cursor_name() {
            text.push_str("\nc:");
            text.push_str(column);
        }
        if let Some(time) = self.time {
            text.push_str("\na:");
            text.push_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true));
        }
        STANDARD.encode(text)
    }

    /// Reads a cursor; none where it is not one of ours.
    pub(in crate::storage) fn of_cursor(cursor: &str) -> Option<(Self, ListOrder)> {
        let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
        let (mut after, mut order) = (Self { key: String::new(), time: None }, ListOrder::default());
        for line in text.split('\n') {
            match line.split_once(':')? {
                ("l", key) => key.clone_into(&mut after.key),
                ("o", direction) => order.descending = direction == "desc",
                ("c", column) => order.column = ListColumn::of_cursor_name(column)?,
                ("a", time) => after.time = Some(DateTime::parse_from_rfc3339(time).ok()?.to_utc()),
                _ => return None,
            }
        }
        Some((after, order))
    }
}

impl ListColumn {
    fn cursor_name(self) -> Option<&'static str> {
        match self {
            Self::Name => None,
            Self::UpdatedAt => Some("updated_at"),
            Self::CreatedAt => Some("created_at"),
            Self::LastAccessedAt => Some("last_accessed_at"),
        }
    }

    fn of_cursor_name(name: &str) -> Option<Self> {
        [Self::UpdatedAt, Self::CreatedAt, Self::LastAccessedAt]
            .into_iter()
            .find(|column| column.cursor_name() == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_of_somebody_else_is_none() {
        for cursor in ["", "?", "bDphCnE6", "x"] {
            let read = After::of_cursor(cursor);
            assert!(read.is_none() || cursor.is_empty(), "{cursor}: {read:?}");
        }
        assert_eq!(After::of_cursor(&STANDARD.encode("l:a\nc:id")), None);
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(key in "[^\n]{0,40}", descending: bool, micros in 0_i64..4_000_000_000_000_000) {
            let after = After { key, time: DateTime::from_timestamp_micros(micros) };
            let order = ListOrder { column: ListColumn::CreatedAt, descending };
            prop_assert_eq!(After::of_cursor(&after.to_cursor(order)), Some((after, order)));
        }
    }
}
