//! Random rules, callers and queries give exactly the rows and columns that an evaluation in memory, row by row, gives
//! (`model.rs`). A failure prints the seed; `GOFORWARD_TEST_CASES` asks for more cases.

mod model;

use core::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::USER;
use crate::harness::{Caller, Client, Database, TestApp, Walk, eventually};
use model::{COLUMNS, OTHER, Row, Sight, Table, Who};

const TABLES: usize = 14;
const CASES: usize = 600;

/// A query; `table` is a position, the table before it being its parent.
#[derive(Debug)]
struct Query {
    table: usize,
    who: Who,
    /// None for `*`.
    columns: Option<Vec<&'static str>>,
    filters: Vec<Filter>,
    order: Option<(&'static str, bool)>,
    range: Option<(usize, usize)>,
    embed: Option<Embed>,
}

/// A condition in the words of the API: column, operator, value.
type Filter = (&'static str, &'static str, &'static str);

#[derive(Debug)]
struct Embed {
    /// The parent of the row, or the rows that refer to it.
    is_parent: bool,
    is_inner: bool,
    columns: Option<Vec<&'static str>>,
    filter: Option<Filter>,
}

fn name(table: usize) -> String {
    format!("d{table}")
}

fn some_columns(walk: &mut Walk) -> Option<Vec<&'static str>> {
    if walk.once_in(2) {
        return None;
    }
    let mut chosen: Vec<&str> = COLUMNS.into_iter().filter(|_| walk.once_in(3)).collect();
    if chosen.is_empty() {
        chosen.push("id");
    }
    Some(chosen)
}

fn filter(walk: &mut Walk) -> Filter {
    let operators = &["eq", "neq", "gt", "lte", "is", "not.is"];
    match (walk.pick(&["amount", "amount", "word", "word", "secret", "owner"]), walk.pick(operators)) {
        (column, operator @ ("is" | "not.is")) => (column, operator, "null"),
        ("amount", operator) => ("amount", operator, walk.pick(&["2", "4", "6"])),
        ("owner", operator) => ("owner", operator, walk.pick(&[USER, OTHER])),
        (column, operator) => (column, operator, walk.pick(&["a", "b", "c"])),
    }
}

impl Query {
    fn random(walk: &mut Walk) -> Self {
        let table = walk.below(TABLES);
        let embed = walk.once_in(2).then(|| Embed {
            // The first has no parent, the last no children.
            is_parent: table > 0 && (table + 1 == TABLES || walk.once_in(2)),
            is_inner: walk.once_in(3),
            columns: some_columns(walk),
            filter: walk.once_in(3).then(|| filter(walk)),
        });
        Self {
            table,
            who: Who::ALL[walk.below(Who::ALL.len())],
            columns: some_columns(walk),
            filters: (0..walk.below(3)).map(|_| filter(walk)).collect(),
            order: walk.once_in(2).then(|| (*walk.pick(&[&"amount", &"word", &"secret"]), walk.once_in(2))),
            range: walk.once_in(3).then(|| (walk.below(4), 1 + walk.below(5))),
            embed,
        }
    }

    fn other(&self, embed: &Embed) -> usize {
        if embed.is_parent { self.table - 1 } else { self.table + 1 }
    }

    fn path(&self) -> String {
        let list =
            |columns: &Option<Vec<&str>>| columns.as_ref().map_or("*".to_owned(), |names| names.join(","));
        let mut path = format!("/rest/v1/{}?select={}", name(self.table), list(&self.columns));
        if let Some(embed) = &self.embed {
            let (other, inner) = (name(self.other(embed)), if embed.is_inner { "!inner" } else { "" });
            write!(path, ",{other}{inner}({})", list(&embed.columns)).unwrap();
            if !embed.is_parent {
                write!(path, "&{other}.order=id").unwrap();
            }
            if let Some((column, operator, value)) = &embed.filter {
                write!(path, "&{other}.{column}={operator}.{value}").unwrap();
            }
        }
        for (column, operator, value) in &self.filters {
            write!(path, "&{column}={operator}.{value}").unwrap();
        }
        let order =
            self.order.map(|(column, falls)| format!("{column}{},", if falls { ".desc" } else { "" }));
        write!(path, "&order={}id", order.unwrap_or_default()).unwrap();
        if let Some((offset, limit)) = self.range {
            write!(path, "&offset={offset}&limit={limit}").unwrap();
        }
        path
    }

    /// The codes with which it may be refused; the rows if it is not.
    fn expected(&self, tables: &[Table]) -> Result<Vec<Value>, BTreeSet<&'static str>> {
        let codes = self.refusals(tables);
        if !codes.is_empty() {
            return Err(codes);
        }
        let table = &tables[self.table];
        let columns = star(table, self.columns.as_deref(), self.who);
        let mut found: Vec<(&Row, Value)> = Vec::new();
        for row in table.visible(self.who).filter(|row| self.filters.iter().all(|filter| holds(row, *filter)))
        {
            let mut shown = table.shown(row, &columns, self.who);
            if let Some(embed) = &self.embed {
                let Some(value) = self.embedded(embed, row, tables) else { continue };
                shown.insert(name(self.other(embed)), value);
            }
            found.push((row, shown.into()));
        }
        found.sort_by(|(a, _), (b, _)| self.compare(a, b));
        let (offset, limit) = self.range.unwrap_or((0, usize::MAX));
        Ok(found.into_iter().map(|(_, shown)| shown).skip(offset).take(limit).collect())
    }

    fn refusals(&self, tables: &[Table]) -> BTreeSet<&'static str> {
        let mut codes = BTreeSet::new();
        let table = &tables[self.table];
        codes.extend(table.rules.refusal(self.who));
        let order = self.order.iter().map(|(column, _)| *column);
        let compared = self.filters.iter().map(|(column, _, _)| *column).chain(order);
        codes.extend(refused_names(table, self.columns.as_deref(), compared, self.who));
        if let Some(embed) = &self.embed {
            let other = &tables[self.other(embed)];
            codes.extend(other.rules.refusal(self.who));
            let compared = embed.filter.iter().map(|(column, _, _)| *column);
            codes.extend(refused_names(other, embed.columns.as_deref(), compared, self.who));
            // A relationship over a protected column is none.
            let child = if embed.is_parent { table } else { other };
            let is_known = child.rules.sight("parent_id", self.who) == Sight::Plain;
            codes.extend((!is_known).then_some("PGRST200"));
        }
        codes
    }

    /// What is embedded in a row; none if the row goes without it.
    fn embedded(&self, embed: &Embed, row: &Row, tables: &[Table]) -> Option<Value> {
        let other = &tables[self.other(embed)];
        let columns = star(other, embed.columns.as_deref(), self.who);
        let belongs = |candidate: &&Row| {
            let (child, parent) = if embed.is_parent { (row, *candidate) } else { (*candidate, row) };
            child.parent == Some(parent.id)
        };
        let found = other.visible(self.who).filter(belongs);
        let found = found.filter(|candidate| embed.filter.is_none_or(|filter| holds(candidate, filter)));
        let shown: Vec<Value> =
            found.map(|candidate| other.shown(candidate, &columns, self.who).into()).collect();
        match (embed.is_parent, shown.is_empty()) {
            (_, true) if embed.is_inner => None,
            (true, _) => Some(shown.into_iter().next().unwrap_or_default()),
            (false, _) => Some(json!(shown)),
        }
    }

    fn compare(&self, a: &Row, b: &Row) -> Ordering {
        let by_column = self.order.map_or(Ordering::Equal, |(column, falls)| {
            // NULL counts as larger than everything.
            let rank = |row: &Row| match row.value(column) {
                Value::Null => (1, 0, String::new()),
                Value::Number(number) => (0, number.as_i64().unwrap(), String::new()),
                other => (0, 0, other.to_string()),
            };
            let order = rank(a).cmp(&rank(b));
            if falls { order.reverse() } else { order }
        });
        by_column.then(a.id.cmp(&b.id))
    }
}

/// The columns that `select` names, `*` being all that somebody sees.
fn star(table: &Table, columns: Option<&[&'static str]>, who: Who) -> Vec<&'static str> {
    columns.map_or_else(
        || COLUMNS.into_iter().filter(|column| table.rules.sight(column, who) != Sight::Nothing).collect(),
        <[_]>::to_vec,
    )
}

/// The code of the refusal of names: hidden ones wherever they stand, masked ones where they are compared.
fn refused_names(
    table: &Table,
    selected: Option<&[&'static str]>,
    mut compared: impl Iterator<Item = &'static str>,
    who: Who,
) -> Option<&'static str> {
    let sight = |column: &str| table.rules.sight(column, who);
    let is_refused = selected.into_iter().flatten().any(|column| sight(column) == Sight::Nothing)
        || compared.any(|column| sight(column) != Sight::Plain);
    is_refused.then_some("42501")
}

/// Whether a row meets a condition.
fn holds(row: &Row, (column, operator, value): Filter) -> bool {
    let own = row.value(column);
    match operator {
        "is" => return own.is_null(),
        "not.is" => return !own.is_null(),
        _ if own.is_null() => return false,
        _ => {}
    }
    let order = match &own {
        Value::Number(number) => number.as_i64().unwrap().cmp(&value.parse().unwrap()),
        other => other.as_str().unwrap().cmp(value),
    };
    match operator {
        "eq" => order.is_eq(),
        "neq" => order.is_ne(),
        "gt" => order.is_gt(),
        _ => order.is_le(),
    }
}

fn client(app: &TestApp, who: Who) -> Client {
    match who {
        Who::Anonymous => app.anon(),
        Who::User => app.user(USER),
        Who::Other => app.user(OTHER),
        Who::Clerk => app.caller(&Caller::user(USER).claim("app_roles", json!(["clerk"]))),
        Who::Service => app.service(),
    }
}

async fn start(walk: &mut Walk) -> (TestApp, Vec<Table>) {
    let mut tables: Vec<Table> = Vec::new();
    let mut sql = String::new();
    for number in 0..TABLES {
        let parents = tables.last().map_or(&[][..], |parent| &parent.rows);
        let table = Table::random(walk, parents);
        let parent = number.checked_sub(1).map(name);
        // Without a policy of its own, the server's stand in.
        let has_policy = !table.rules.are_about_rows() || walk.once_in(2);
        sql += &table.sql(&name(number), parent.as_deref(), has_policy);
        tables.push(table);
    }
    let database = Database::create().await;
    database.run(&sql).await;
    let app = TestApp::on(database, crate::harness::Options::default()).await;
    let clerk = client(&app, Who::Clerk);
    for number in 0..TABLES {
        let path = format!("/rest/v1/{}?select=id", name(number));
        eventually("a table's policies", async || clerk.get(&path).await.status == 200).await;
    }
    (app, tables)
}

#[tokio::test]
async fn random_queries_under_random_rules_give_what_an_evaluation_row_by_row_gives() {
    let mut walk = Walk::new();
    let seed = walk.seed();
    let cases = std::env::var("GOFORWARD_TEST_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let (app, tables) = start(&mut walk).await;
    let clients = Who::ALL.map(|who| client(&app, who));
    let mut served = 0;

    for case in 0..cases {
        let query = Query::random(&mut walk);
        let path = query.path();
        let answer = clients[Who::ALL.iter().position(|who| *who == query.who).unwrap()].get(&path).await;
        let what = || {
            let rules = [query.table.saturating_sub(1), query.table, (query.table + 1).min(TABLES - 1)];
            let rules = rules.map(|table| format!("{}: {:?}", name(table), tables[table].rules));
            format!(
                "seed {seed}, case {case}: {:?} {path}\n{}\n{}",
                query.who,
                rules.join("\n"),
                answer.text()
            )
        };
        match query.expected(&tables) {
            Ok(rows) => {
                assert_eq!(answer.status, 200, "{}", what());
                assert_eq!(answer.json(), json!(rows), "{}", what());
                served += usize::from(!rows.is_empty());
            }
            Err(codes) => {
                assert!((400..500).contains(&answer.status), "refused with {codes:?}: {}", what());
                assert!(codes.contains(answer.json()["code"].as_str().unwrap()), "{codes:?}: {}", what());
            }
        }
    }
    // So low that no seed falls short: the service alone, which asks a fifth, has more.
    assert!(served * 20 > cases, "seed {seed}: {served} of {cases} queries had rows");
}
