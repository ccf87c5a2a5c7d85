//! From URL to SQL, as tables: what each part of the grammar becomes, on the shop of `samples`.
//!
//! Values are listed behind `--` in the order of their placeholders.

mod bodies;
mod injection;
mod operators;
mod reads;
mod sql_tokens;
mod writes;

use super::*;
use crate::rest::core::plan::model::Plan;
use crate::rest::core::samples::Request;

/// Text and values.
fn shown(sql: &SqlBuf) -> String {
    let values: Vec<String> = sql
        .params()
        .iter()
        .map(|param| {
            param.value.as_ref().map_or("NULL".into(), |value| String::from_utf8_lossy(value).into())
        })
        .collect();
    if values.is_empty() { sql.text().to_owned() } else { format!("{} -- {}", sql.text(), values.join(", ")) }
}

/// A request as `METHOD /url | preferences | body`, of which the last two may be missing.
fn with_request<T>(text: &str, accept: &str, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
    let mut parts = text.splitn(3, " |").map(str::trim);
    let (method, url) = parts.next().and_then(|first| first.split_once(' ')).unwrap();
    let (prefer, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    use_it(&Request::of(method, url, &[("prefer", prefer), ("accept", accept)], body))
}

/// The whole statement for a request, without a count.
fn statement(request: &Request<'_>) -> Rendered {
    let preferences = request.parse().unwrap().preferences;
    let no_count = CountOptions { mode: None, max_rows: None };
    match request.plan().unwrap() {
        Plan::Read(action) => render_read(&action, no_count),
        Plan::Call(action) => render_call(&action, no_count),
        Plan::Mutate(action) => render_mutate(&action, &preferences),
        other @ (Plan::Inspect { .. } | Plan::Info { .. }) => panic!("{other:?} has no statement"),
    }
}

/// Compares each request's SQL with the text beside it, and shows all that differ at once. Line breaks in the text are
/// for the reader only.
fn assert_sql(cases: &[(&str, &str)], sql_of: impl Fn(&str) -> String) {
    let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let wrong: Vec<String> = cases
        .iter()
        .map(|(request, expected)| (request, on_one_line(expected), sql_of(request)))
        .filter(|(_, expected, sql)| *expected != on_one_line(sql))
        .map(|(request, _, sql)| format!("{request}\n  {sql}"))
        .collect();

    assert!(wrong.is_empty(), "other SQL than expected:\n{}", wrong.join("\n"));
}
