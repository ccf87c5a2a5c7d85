//! Pages of objects that a caller sees. In the order of names the index is walked from folder to folder, so that a folder
//! of a million objects costs as much as one object; in any other order, and for a search, what is below the prefix is read.

use sea_query::{
    Alias, CommonTableExpression, Expr, ExprTrait, JoinType, Order, Query, SelectStatement, UnionType,
    WithClause,
};

use super::caller::{Acting, CallerStore, Kind};
use super::objects::after;
use crate::kernel::sql::SqlBuf;
use crate::storage::error::StorageError;
use crate::storage::model::listing::{Entry, ListColumn, Listing};

/// A condition, or a value, in the words of PostgreSQL.
fn words(sql: &'static str) -> Expr {
    Expr::cust(sql)
}

/// The same with values for its placeholders, `$1` and so on.
fn with<const N: usize>(sql: &'static str, values: [&str; N]) -> Expr {
    Expr::cust_with_values(sql, values.map(str::to_owned))
}

/// A page, and whether there is more behind it.
pub(in crate::storage) async fn page(
    store: &CallerStore,
    acting: &Acting,
    listing: &Listing<'_>,
) -> Result<(Vec<Entry>, bool), StorageError> {
    let sql = statement(listing);
    let mut found: Vec<Entry> = store.run(acting, sql, Kind::Read).await?.unwrap_or_default();
    let limit = usize::try_from(listing.limit).unwrap_or(usize::MAX);
    let is_more = found.len() > limit;
    found.truncate(limit);
    Ok((found, is_more))
}

/// The page and one entry more, as one row of JSON.
fn statement(listing: &Listing<'_>) -> SqlBuf {
    let walks = listing.order.column == ListColumn::Name && listing.search.is_none();
    let entries = if walks { walk(listing) } else { read(listing) };
    let mut whole = Query::select();
    whole
        .expr(words("coalesce(json_agg(entry), '[]')::text"))
        .from_subquery(one_more(entries, listing), "entry");
    SqlBuf::of_select(&whole)
}

fn one_more(mut entries: SelectStatement, listing: &Listing<'_>) -> SelectStatement {
    entries.limit(listing.limit.saturating_add(1)).offset(listing.offset);
    entries
}

/// From one entry to the next: each step finds the first name behind the entry before, and that is a folder or an object.
/// The bound of the next step is behind the whole folder.
fn walk(listing: &Listing<'_>) -> SelectStatement {
    let descending = listing.order.descending;
    let mut seed = Query::select();
    seed.expr_as(Expr::cust_with_values("$1::text", [start(listing)]), "bound");
    for (column, kind) in COLUMNS {
        seed.expr_as(Expr::cust(format!("null::{kind}")), column);
    }
    let mut found = Query::select();
    found
        .expr(words("object.*"))
        .from_as(("storage", "objects"), "object")
        .and_where(Expr::col(("object", "bucket_id")).eq(listing.bucket))
        .and_where(words(if descending {
            "object.name collate \"C\" < step.bound"
        } else {
            "object.name collate \"C\" >= step.bound"
        }))
        .order_by_expr(words("object.name collate \"C\""), if descending { Order::Desc } else { Order::Asc })
        .limit(1);
    within(&mut found, listing.prefix);
    let mut folder = Query::select();
    folder.expr_as(folder_of(listing), "folder");
    let mut step = Query::select();
    step.expr(words(if descending {
        "coalesce(cut.folder, found.name)"
    } else {
        // Behind a folder comes what begins with it and the next byte in place of its delimiter's last one.
        "coalesce(left(cut.folder, -1) || chr(ascii(right(cut.folder, 1)) + 1), found.name || chr(1))"
    }))
    .expr(words("coalesce(cut.folder, found.name)"))
    .expr(words("cut.folder is not null"));
    for column in ["id", "created_at", "updated_at", "last_accessed_at", "metadata"] {
        step.expr(Expr::cust(format!("case when cut.folder is null then found.{column} end")));
    }
    step.from("step").join_lateral(JoinType::InnerJoin, found, "found", words("true")).join_lateral(
        JoinType::InnerJoin,
        folder,
        "cut",
        words("true"),
    );
    let mut steps = seed;
    steps.union(UnionType::All, step);
    let mut table = CommonTableExpression::new();
    table.table_name("step").query(steps);
    table.columns(std::iter::once("bound").chain(COLUMNS.map(|(column, _)| column)).map(Alias::new));
    let mut walked = Query::select();
    for (column, _) in COLUMNS {
        walked.column(("step", column));
    }
    walked.from("step").and_where(Expr::col(("step", "key")).is_not_null());
    walked.with_cte(WithClause::new().recursive(true).cte(table).to_owned());
    walked
}

/// The columns of an entry, and their types.
const COLUMNS: [(&str, &str); 7] = [
    ("key", "text"),
    ("is_folder", "boolean"),
    ("id", "uuid"),
    ("created_at", "timestamptz"),
    ("updated_at", "timestamptz"),
    ("last_accessed_at", "timestamptz"),
    ("metadata", "jsonb"),
];

/// Where the walk begins: behind the entry before, at the prefix, or in descending order behind all that begins with it.
fn start(listing: &Listing<'_>) -> String {
    let behind = listing.after.as_ref().map(|after| after.key.as_str());
    let ends_folder = |key: &str| listing.delimiter.is_some_and(|delimiter| key.ends_with(delimiter));
    match behind {
        Some(key) if listing.order.descending => key.to_owned(),
        Some(key) if ends_folder(key) && key.len() > listing.prefix.len() => after(key).unwrap_or_default(),
        Some(key) if key < listing.prefix => listing.prefix.to_owned(),
        Some(key) => format!("{key}\u{1}"),
        None if listing.order.descending => after(listing.prefix).unwrap_or_else(|| "\u{10ffff}".repeat(4)),
        None => listing.prefix.to_owned(),
    }
}

/// Keeps names that begin with the prefix, by the order of bytes, which the index is in.
fn within(select: &mut SelectStatement, prefix: &str) {
    select.and_where(with("object.name collate \"C\" >= $1", [prefix]));
    if let Some(end) = after(prefix) {
        select.and_where(with("object.name collate \"C\" < $1", [&end]));
    }
}

/// The folder that a name is in below the prefix, delimiter included; null of one that is in none.
fn folder_of(listing: &Listing<'_>) -> Expr {
    let Some(delimiter) = listing.delimiter else { return words("null::text") };
    with(
        "left(found.name, length($1::text) + nullif(position($2::text in substr(found.name, length($1::text) + 1)), 0) \
         + length($2::text) - 1)",
        [listing.prefix, delimiter],
    )
}

/// Everything below the prefix, folders folded, in any order.
fn read(listing: &Listing<'_>) -> SelectStatement {
    let mut object = Query::select();
    object
        .expr(words("object.*"))
        .from_as(("storage", "objects"), "object")
        .and_where(Expr::col(("object", "bucket_id")).eq(listing.bucket));
    within(&mut object, listing.prefix);
    if let Some(search) = listing.search {
        object.and_where(with(
            "lower(substr(object.name, length($1::text) + 1, length($2::text))) = lower($2::text)",
            [listing.prefix, search],
        ));
    }
    let mut cut = Query::select();
    cut.expr(words("found.*")).expr_as(folder_of(listing), "folder").from_subquery(object, "found");
    let mut folders = Query::select();
    folders.expr_as(words("cut.folder"), "key").expr_as(words("true"), "is_folder");
    for (column, kind) in &COLUMNS[2..] {
        folders.expr_as(Expr::cust(format!("null::{kind}")), *column);
    }
    folders
        .from_subquery(cut.clone(), "cut")
        .and_where(words("cut.folder is not null"))
        .add_group_by([words("cut.folder")]);
    let mut files = Query::select();
    files.expr(words("cut.name")).expr(words("false"));
    for (column, _) in &COLUMNS[2..] {
        files.column(("cut", *column));
    }
    files.from_subquery(cut, "cut").and_where(words("cut.folder is null"));
    folders.union(UnionType::All, files);
    let mut entries = Query::select();
    for (column, _) in COLUMNS {
        entries.column(("entry", column));
    }
    entries.from_subquery(folders, "entry");
    behind(&mut entries, listing);
    ordered(&mut entries, listing);
    entries
}

fn time_of(column: ListColumn) -> Option<&'static str> {
    match column {
        ListColumn::Name => None,
        ListColumn::UpdatedAt => Some("updated_at"),
        ListColumn::CreatedAt => Some("created_at"),
        ListColumn::LastAccessedAt => Some("last_accessed_at"),
    }
}

/// What comes behind the page before. Folders come first where the order is by a time.
fn behind(entries: &mut SelectStatement, listing: &Listing<'_>) {
    let Some(after) = &listing.after else { return };
    let sign = if listing.order.descending { "<" } else { ">" };
    let condition = match (time_of(listing.order.column), after.time) {
        (Some(column), Some(time)) => Expr::cust_with_values(
            format!(
                "not entry.is_folder and (entry.{column}, entry.key collate \"C\") {sign} ($1::timestamptz, $2::text)"
            ),
            [time.to_rfc3339(), after.key.clone()],
        ),
        (Some(_), None) => Expr::cust_with_values(
            "(not entry.is_folder or entry.key collate \"C\" > $1::text)",
            [after.key.clone()],
        ),
        (None, _) => {
            Expr::cust_with_values(format!("entry.key collate \"C\" {sign} $1::text"), [after.key.clone()])
        }
    };
    entries.and_where(condition);
}

fn ordered(entries: &mut SelectStatement, listing: &Listing<'_>) {
    let direction = if listing.order.descending { Order::Desc } else { Order::Asc };
    let key = words("entry.key collate \"C\"");
    match time_of(listing.order.column) {
        None => {
            entries.order_by_expr(key, direction);
        }
        Some(column) => {
            entries
                .order_by(("entry", "is_folder"), Order::Desc)
                .order_by(("entry", column), direction.clone())
                .order_by_expr(
                    words("case when entry.is_folder then entry.key end collate \"C\""),
                    Order::Asc,
                )
                .order_by_expr(key, direction);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::model::listing::{After, ListOrder};

    fn listing<'a>(prefix: &'a str, after: Option<&str>, descending: bool) -> Listing<'a> {
        Listing {
            bucket: "b",
            prefix,
            delimiter: Some("/"),
            search: None,
            order: ListOrder { column: ListColumn::Name, descending },
            after: after.map(|key| After { key: key.to_owned(), time: None }),
            offset: 0,
            limit: 10,
        }
    }

    #[test]
    fn a_walk_begins_behind_the_page_before() {
        assert_eq!(start(&listing("a/", None, false)), "a/");
        assert_eq!(start(&listing("a/", Some("a/b/"), false)), "a/b0", "behind the whole folder");
        assert_eq!(start(&listing("a/", Some("a/b"), false)), "a/b\u{1}");
        assert_eq!(start(&listing("a/", Some("0"), false)), "a/");
        assert_eq!(start(&listing("a/", None, true)), "a0");
        assert_eq!(start(&listing("a/", Some("a/b/"), true)), "a/b/");
    }

    #[test]
    fn no_value_of_a_request_becomes_text_of_a_statement() {
        let hostile = "x'; drop table storage.objects; --";
        for order in [ListColumn::Name, ListColumn::CreatedAt] {
            let mut wanted = listing(hostile, Some(hostile), false);
            wanted.bucket = hostile;
            wanted.search = (order == ListColumn::CreatedAt).then_some(hostile);
            assert!(!statement(&wanted).text().contains("drop"));
        }
    }
}
