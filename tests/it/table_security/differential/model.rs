//! Tables with random rules and rows, held in memory, and what each caller may see of them: an evaluation row by row that
//! knows nothing of the product.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::super::USER;
use crate::harness::Walk;

/// Who else owns rows.
pub const OTHER: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
/// All columns, in order.
pub const COLUMNS: [&str; 6] = ["id", "parent_id", "owner", "amount", "word", "secret"];
/// What a masked text becomes; a masked number is NULL.
const MASK: &str = "masked";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Anonymous,
    User,
    Other,
    Clerk,
    Service,
}

impl Who {
    pub const ALL: [Self; 5] = [Self::Anonymous, Self::User, Self::Other, Self::Clerk, Self::Service];

    fn id(self) -> Option<&'static str> {
        match self {
            Self::User | Self::Clerk => Some(USER),
            Self::Other => Some(OTHER),
            Self::Anonymous | Self::Service => None,
        }
    }
}

/// What the rules say about a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Plain,
    Hidden,
    HiddenButForClerks,
    Masked,
    MaskedButForClerks,
    Unlisted,
}

/// What somebody sees of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Plain,
    Masked,
    Nothing,
}

/// A condition on rows, as SQL and as a function.
type Filter = (&'static str, fn(&Row) -> bool);

const FILTERS: [Filter; 5] = [
    ("amount > 3", |row| row.amount.is_some_and(|amount| amount > 3)),
    ("word <> 'b'", |row| row.word.is_some_and(|word| word != 'b')),
    ("amount % 2 = 0 or word is null", |row| {
        row.amount.is_some_and(|amount| amount % 2 == 0) || row.word.is_none()
    }),
    ("secret in ('a', 'c', 'd')", |row| row.secret.is_some_and(|secret| "acd".contains(secret))),
    ("owner is not null", |row| row.owner.is_some()),
];

/// The rules of a table.
#[derive(Clone, Debug)]
pub struct Rules {
    ownership: bool,
    public_read: bool,
    clerks_only: bool,
    filters: Vec<usize>,
    /// By column, from `parent_id` on; the key is always plain.
    fields: [Field; 5],
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: i64,
    pub parent: Option<i64>,
    owner: Option<&'static str>,
    amount: Option<i64>,
    word: Option<char>,
    secret: Option<char>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    pub rules: Rules,
    pub rows: Vec<Row>,
}

impl Rules {
    fn random(walk: &mut Walk) -> Self {
        let is_listed = walk.once_in(3);
        let mut field = |hides: usize| match walk.below(hides) {
            0 => Field::Hidden,
            1 => Field::HiddenButForClerks,
            2 => Field::Masked,
            3 => Field::MaskedButForClerks,
            4 if is_listed => Field::Unlisted,
            _ => Field::Plain,
        };
        let fields = [field(40), field(16), field(12), field(12), field(8)];
        Self {
            ownership: walk.once_in(3),
            public_read: walk.once_in(5),
            clerks_only: walk.once_in(5),
            filters: (0..FILTERS.len()).filter(|_| walk.once_in(5)).collect(),
            fields,
        }
    }

    /// Whether PostgreSQL enforces any of it.
    pub fn are_about_rows(&self) -> bool {
        !self.filters.is_empty() || self.ownership
    }

    fn field(&self, column: &str) -> Field {
        let position = COLUMNS.iter().position(|known| *known == column).unwrap();
        if position == 0 { Field::Plain } else { self.fields[position - 1] }
    }

    /// What somebody sees of a column.
    pub fn sight(&self, column: &str, who: Who) -> Sight {
        match self.field(column) {
            _ if who == Who::Service => Sight::Plain,
            Field::HiddenButForClerks | Field::MaskedButForClerks if who == Who::Clerk => Sight::Plain,
            Field::Plain => Sight::Plain,
            Field::Hidden | Field::HiddenButForClerks | Field::Unlisted => Sight::Nothing,
            Field::Masked | Field::MaskedButForClerks => Sight::Masked,
        }
    }

    /// The code of the refusal of everybody who is not let in at all.
    pub fn refusal(&self, who: Who) -> Option<&'static str> {
        match who {
            _ if !self.clerks_only || self.public_read => None,
            Who::Service | Who::Clerk => None,
            Who::Anonymous => Some("authentication_required"),
            Who::User | Who::Other => Some("role_not_allowed"),
        }
    }

    fn shows(&self, row: &Row, who: Who) -> bool {
        let is_theirs = !self.ownership || self.public_read || (row.owner.is_some() && row.owner == who.id());
        who == Who::Service || is_theirs && self.filters.iter().all(|filter| FILTERS[*filter].1(row))
    }

    /// The row of `goforward.table_security`.
    fn sql(&self, table: &str) -> String {
        let columns = || COLUMNS.into_iter().map(|column| (column, self.field(column)));
        let of =
            |wanted: Field| columns().filter(move |(_, field)| *field == wanted).map(|(column, _)| column);
        let listed = columns().filter(|(_, field)| *field != Field::Unlisted).map(|(column, _)| column);
        let readable: Vec<&str> =
            if of(Field::Unlisted).next().is_some() { listed.collect() } else { Vec::new() };
        let mut permissions = Map::new();
        for (column, field) in columns() {
            let is_text = matches!(column, "word" | "secret");
            let mask = if is_text { json!({"constant": MASK}) } else { json!("null") };
            let permission = match field {
                Field::HiddenButForClerks => json!({"hidden": true, "allowed_roles": ["clerk"]}),
                Field::Masked => json!({"masked": true, "mask": mask}),
                Field::MaskedButForClerks => {
                    json!({"masked": true, "mask": mask, "allowed_roles": ["clerk"]})
                }
                _ => continue,
            };
            permissions.insert(column.to_owned(), permission);
        }
        let filters = self.filters.iter().map(|filter| (format!("f{filter}"), json!(FILTERS[*filter].0)));
        format!(
            "insert into goforward.table_security (schema_name, table_name, require_ownership, ownership_column,
                 public_read, allowed_roles, hidden_fields, readable_fields, field_permissions, custom_filters)
             values ('public', '{table}', {}, 'owner', {}, '{}', '{{{}}}', '{{{}}}', '{}', '{}');",
            self.ownership,
            self.public_read,
            if self.clerks_only { "{clerk}" } else { "{}" },
            of(Field::Hidden).collect::<Vec<_>>().join(","),
            readable.join(","),
            Value::Object(permissions),
            Value::Object(filters.collect()).to_string().replace('\'', "''"),
        )
    }
}

impl Row {
    fn random(walk: &mut Walk, id: i64, parents: &[Row]) -> Self {
        let parent = (!parents.is_empty() && !walk.once_in(4)).then(|| parents[walk.below(parents.len())].id);
        let mut letter =
            || (!walk.once_in(6)).then(|| char::from(b'a' + u8::try_from(walk.below(5)).unwrap()));
        let (word, secret) = (letter(), letter());
        let owner = [None, Some(USER), Some(USER), Some(OTHER)][walk.below(4)];
        let amount = (!walk.once_in(6)).then(|| i64::try_from(walk.below(9)).unwrap());
        Self { id, parent, owner, amount, word, secret }
    }

    /// The value of a column.
    pub fn value(&self, column: &str) -> Value {
        match column {
            "id" => json!(self.id),
            "parent_id" => json!(self.parent),
            "owner" => json!(self.owner),
            "amount" => json!(self.amount),
            "word" => json!(self.word),
            _ => json!(self.secret),
        }
    }
}

impl Table {
    /// A table whose rows refer to those of the table before it.
    pub fn random(walk: &mut Walk, parents: &[Row]) -> Self {
        let rules = Rules::random(walk);
        let rows = (1..=12).map(|id| Row::random(walk, id, parents)).collect();
        Self { rules, rows }
    }

    /// It, its rows and its rules as SQL. `has_policy`: whether it has a row policy of its own that opens it.
    pub fn sql(&self, name: &str, parent: Option<&str>, has_policy: bool) -> String {
        let reference = parent.map(|parent| format!("references {parent} (id)")).unwrap_or_default();
        let mut sql = format!(
            "create table {name} (id int primary key, parent_id int {reference}, owner uuid, amount int, word text,
                                  secret text);"
        );
        for row in &self.rows {
            let values = COLUMNS.map(|column| match row.value(column) {
                Value::String(text) => format!("'{text}'"),
                other => other.to_string(),
            });
            write!(sql, "insert into {name} values ({});", values.join(", ")).unwrap();
        }
        if has_policy {
            write!(
                sql,
                "alter table {name} enable row level security;
                 create policy everybody on {name} using (true) with check (true);"
            )
            .unwrap();
        }
        sql + &self.rules.sql(name)
    }

    /// The rows that somebody sees.
    pub fn visible(&self, who: Who) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| self.rules.shows(row, who))
    }

    /// A row's columns as somebody sees them.
    pub fn shown(&self, row: &Row, columns: &[&str], who: Who) -> Map<String, Value> {
        let value = |column: &str| match (self.rules.sight(column, who), row.value(column)) {
            (Sight::Plain, value) => value,
            (_, Value::String(_)) if matches!(column, "word" | "secret") => json!(MASK),
            _ => Value::Null,
        };
        columns.iter().map(|column| ((*column).to_owned(), value(column))).collect()
    }
}
