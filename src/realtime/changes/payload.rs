//! Pure: a change as its subscribers get it (contract section 6).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Change, ChangeKind, RowImage};
use crate::realtime::protocol::quoted;
use crate::realtime::store::tables::{Table, TableColumn};

/// The largest row that is delivered whole, in bytes of JSON.
const LARGEST_ROW: usize = 1024 * 1024;
/// Of larger ones: the largest value.
const LARGEST_VALUE: usize = 64;

/// What a change is to a subscriber: a row that goes out of sight is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::realtime) enum Event {
    /// `INSERT`
    Insert,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
}

impl Event {
    /// As clients know it.
    pub(in crate::realtime) const fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// The event of this name, in letters of any case.
    pub(in crate::realtime) fn named(name: &str) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete]
            .into_iter()
            .find(|event| event.name().eq_ignore_ascii_case(name))
    }
}

/// Which columns of a table somebody gets.
#[derive(Clone, Debug)]
pub(in crate::realtime) struct Shown<'a> {
    /// The columns, in the order of the table.
    pub(in crate::realtime) columns: Vec<&'a TableColumn>,
    /// Of those the ones that are shown masked: their own values never are.
    pub(in crate::realtime) masked: Vec<&'a str>,
    /// Whether the table has a primary key.
    pub(in crate::realtime) has_key: bool,
    /// Whether a column of the key is not among those that may be selected: then nothing of the row is told.
    pub(in crate::realtime) hides_key: bool,
}

/// A row's values by column, as JSON text.
type Row<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// What is known of a row beside its values.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::realtime) struct Looked<'a> {
    /// Whether the row was in sight as it was: else its old values are told only where they are those of the new row.
    pub(in crate::realtime) saw_old: bool,
    /// Values that stand in for those of masked columns, as an object, of the row as it is.
    pub(in crate::realtime) masks: Option<&'a RawValue>,
    /// The same of the row as it was.
    pub(in crate::realtime) old_masks: Option<&'a RawValue>,
}

/// The object `data`.
pub(in crate::realtime) fn data(
    event: Event,
    table: &Table,
    shown: &Shown<'_>,
    change: &Change,
    looked: Looked<'_>,
) -> String {
    let mut out = format!(
        r#"{{"schema":{},"table":{},"type":"{}","commit_timestamp":"{}""#,
        quoted(&table.name.schema),
        quoted(&table.name.name),
        event.name(),
        change.written_at.format("%Y-%m-%dT%H:%M:%S%.3fZ"),
    );
    let mut errors = Vec::new();
    if shown.hides_key {
        errors.push("Error 401: Unauthorized");
    } else {
        if !shown.has_key && event != Event::Delete {
            errors.push("Error 400: Bad Request, no primary key");
        }
        let size =
            [&change.old, &change.new].into_iter().flatten().map(|image| image.raw().get().len()).max();
        let is_large = size.unwrap_or(0) > LARGEST_ROW;
        if is_large {
            errors.push("Error 413: Payload Too Large");
        }
        let columns: Vec<Value> = shown
            .columns
            .iter()
            .map(|column| json!({"name": column.column.name, "type": column.column.type_name}))
            .collect();
        let _ = write!(out, r#","columns":{}"#, Value::Array(columns));
        let new = row(change.new.as_ref().map(RowImage::raw));
        if event != Event::Delete {
            let masks = row(looked.masks);
            write_row(&mut out, "record", shown, is_large, |column| Some(value(&new, &masks, shown, column)));
        }
        if event != Event::Insert {
            let (old, masks) = (row(change.old.as_ref().map(RowImage::raw)), row(looked.old_masks));
            write_row(&mut out, "old_record", shown, is_large, |column| {
                let value = value(&old, &masks, shown, column);
                let is_known = looked.saw_old
                    || new.get(column.column.name.as_str()).is_some_and(|new| new.get() == value);
                (column.is_identity && is_known).then_some(value)
            });
        }
    }
    let errors = if errors.is_empty() { Value::Null } else { json!(errors) };
    let _ = write!(out, r#","errors":{errors}}}"#);
    out
}

fn row(image: Option<&RawValue>) -> Row<'_> {
    image.and_then(|image| serde_json::from_str(image.get()).ok()).unwrap_or_default()
}

/// The value of a column as it is shown.
fn value<'a>(row: &Row<'a>, masks: &Row<'a>, shown: &Shown<'_>, column: &TableColumn) -> &'a str {
    let name = column.column.name.as_str();
    let values = if shown.masked.contains(&name) { masks } else { row };
    values.get(name).map_or("null", |value| value.get())
}

fn write_row<'a>(
    out: &mut String,
    name: &str,
    shown: &Shown<'_>,
    is_large: bool,
    value: impl Fn(&TableColumn) -> Option<&'a str>,
) {
    let _ = write!(out, r#","{name}":{{"#);
    let mut comma = "";
    for column in &shown.columns {
        let Some(value) = value(column).filter(|value| !is_large || value.len() <= LARGEST_VALUE) else {
            continue;
        };
        let _ = write!(out, "{comma}{}:{value}", quoted(&column.column.name));
        comma = ",";
    }
    out.push('}');
}

/// The payload of `postgres_changes` for one channel: which of its subscriptions it is for, and where to go on from.
pub(in crate::realtime) fn payload(ids: &[u64], data: &str, cursor: &str) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!(r#"{{"ids":[{}],"data":{data},"cursor":"{cursor}"}}"#, ids.join(","))
}

/// What a change of a row can be, before it is known who sees what.
pub(in crate::realtime) fn event_of(kind: ChangeKind) -> Option<Event> {
    match kind {
        ChangeKind::Insert => Some(Event::Insert),
        ChangeKind::Update => Some(Event::Update),
        ChangeKind::Delete => Some(Event::Delete),
        ChangeKind::Truncate | ChangeKind::Message => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::catalog::model::QualifiedName;
    use crate::realtime::changes::value::{Column, TypeFacts};

    const LOOKED: Looked<'_> = Looked { saw_old: true, masks: None, old_masks: None };

    fn column(name: &str, type_name: &str, is_key: bool, is_identity: bool) -> TableColumn {
        let facts = TypeFacts { oid: 25, class: 'b', category: 'S', collation: 100, is_deterministic: true };
        let column = Column::new(name, type_name, facts);
        TableColumn { column, type_sql: type_name.to_owned(), is_key, is_identity, is_published: true }
    }

    fn table() -> Table {
        let columns = vec![
            column("id", "int8", true, true),
            column("title", "text", false, false),
            column("big", "numeric", false, false),
        ];
        Table { name: QualifiedName::new("public", "to\"do"), columns }
    }

    fn change(kind: ChangeKind, old: Option<&str>, new: Option<&str>) -> Change {
        let raw = |text: Option<&str>| text.map(|text| RowImage::new(text.to_owned()).unwrap());
        let written_at: DateTime<Utc> = "2024-05-01T12:00:00.123456Z".parse().unwrap();
        Change { seq: 1, relation: 1, kind, written_at, old: raw(old), new: raw(new) }
    }

    fn all(table: &Table) -> Shown<'_> {
        Shown { columns: table.columns.iter().collect(), masked: Vec::new(), has_key: true, hides_key: false }
    }

    fn shown(event: Event, table: &Table, shown: &Shown<'_>, change: &Change) -> Value {
        serde_json::from_str(&data(event, table, shown, change, LOOKED)).unwrap()
    }

    #[test]
    fn an_update_has_the_row_and_what_the_replica_identity_had() {
        let table = table();
        let old = r#"{"id": 1, "title": "a", "big": 1}"#;
        let new = r#"{"id": 1, "title": "b", "big": 123456789012345678901234567890.10}"#;
        let change = change(ChangeKind::Update, Some(old), Some(new));
        let text = data(Event::Update, &table, &all(&table), &change, LOOKED);
        assert!(text.contains("123456789012345678901234567890.10"), "numbers keep their digits: {text}");
        let data: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(data["table"], "to\"do");
        assert_eq!(data["type"], "UPDATE");
        assert_eq!(data["commit_timestamp"], "2024-05-01T12:00:00.123Z");
        assert_eq!(data["columns"][1], json!({"name": "title", "type": "text"}));
        assert_eq!((&data["record"]["title"], &data["old_record"]), (&json!("b"), &json!({"id": 1})));
        assert_eq!(data["errors"], Value::Null);
    }

    #[test]
    fn columns_that_are_not_shown_are_in_no_part() {
        let table = table();
        let some = Shown { columns: vec![&table.columns[0]], ..all(&table) };
        let change = change(ChangeKind::Insert, None, Some(r#"{"id": 1, "title": "secret"}"#));
        let data = shown(Event::Insert, &table, &some, &change);
        assert_eq!(data["record"], json!({"id": 1}));
        assert_eq!(data["columns"], json!([{"name": "id", "type": "int8"}]));
    }

    #[test]
    fn a_hidden_key_hides_the_row() {
        let table = table();
        let hidden = Shown { hides_key: true, ..all(&table) };
        let change = change(ChangeKind::Insert, None, Some(r#"{"id": 1, "title": "secret"}"#));
        let data = shown(Event::Insert, &table, &hidden, &change);
        assert_eq!(data["errors"], json!(["Error 401: Unauthorized"]));
        assert!(data.get("record").is_none() && data.get("columns").is_none());
    }

    #[test]
    fn a_table_without_a_key_says_so_but_for_deletes() {
        let table = table();
        let keyless = Shown { has_key: false, ..all(&table) };
        let insert = change(ChangeKind::Insert, None, Some("{}"));
        let data = shown(Event::Insert, &table, &keyless, &insert);
        assert_eq!(data["errors"], json!(["Error 400: Bad Request, no primary key"]));
        let delete = change(ChangeKind::Delete, Some("{}"), None);
        assert_eq!(shown(Event::Delete, &table, &keyless, &delete)["errors"], Value::Null);
    }

    #[test]
    fn g08_of_a_row_that_is_too_large_small_values_are_left() {
        let table = table();
        let new = json!({"id": 1, "title": "x".repeat(LARGEST_ROW), "big": 2}).to_string();
        let change = change(ChangeKind::Insert, None, Some(&new));
        let data = shown(Event::Insert, &table, &all(&table), &change);
        assert_eq!(data["record"], json!({"id": 1, "big": 2}));
        assert_eq!(data["errors"], json!(["Error 413: Payload Too Large"]));
    }

    #[test]
    fn masks_stand_in_for_values_and_without_one_there_is_nothing() {
        let table = table();
        let change = change(ChangeKind::Insert, None, Some(r#"{"id": 1, "title": "secret"}"#));
        let mask = RawValue::from_string(r#"{"title": "***"}"#.to_owned()).unwrap();
        let masked = Shown { masked: vec!["title"], ..all(&table) };
        for (masks, title) in [(Some(&*mask), json!("***")), (None, Value::Null)] {
            let text = data(Event::Insert, &table, &masked, &change, Looked { masks, ..LOOKED });
            let data: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(data["record"]["title"], title);
        }
    }

    #[test]
    fn of_a_row_that_was_out_of_sight_only_what_stayed_the_same_is_told() {
        let mut table = table();
        table.columns[1].is_identity = true;
        let old = r#"{"id": 1, "title": "hidden"}"#;
        let change = change(ChangeKind::Update, Some(old), Some(r#"{"id": 1, "title": "open"}"#));
        let text = data(Event::Update, &table, &all(&table), &change, Looked { saw_old: false, ..LOOKED });
        let data: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(data["old_record"], json!({"id": 1}));
    }

    #[test]
    fn one_message_names_all_subscriptions_of_a_channel() {
        assert_eq!(payload(&[3, 5], "{}", "c"), r#"{"ids":[3,5],"data":{},"cursor":"c"}"#);
    }
}
