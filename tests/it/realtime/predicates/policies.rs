//! Random conditions of the understood grammar as people write them, rows and claims for them.

use serde_json::{Map, Value, json};

use crate::harness::Walk;

const IDS: [&str; 3] = [
    "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
    "00000000-0000-0000-0000-000000000000",
];

const UUIDS: [&str; 10] = [
    "id",
    "owner",
    "auth.uid()",
    "(select auth.uid())",
    "(auth.jwt() ->> 'org')::uuid",
    "((select auth.jwt()) ->> 'org')::uuid",
    "(select (auth.jwt() -> 'app' ->> 'org')::uuid)",
    "'AAAAAAAA-aaaa-4aaa-8aaa-aaaaaaaaaaaa'::uuid",
    "null::uuid",
    "nullable::uuid",
];

const INTEGERS: [&str; 14] = [
    "i2",
    "i4",
    "i8",
    "1",
    "-3",
    "0::smallint",
    "5000000000",
    "null::int",
    "(auth.jwt() ->> 'level')::int",
    "(auth.jwt() ->> 'level')::smallint",
    "(select auth.jwt() ->> 'level')::bigint",
    "(auth.jwt() -> 'level')::int",
    "i8::int",
    "i4::bigint",
];

const TEXTS: [&str; 19] = [
    "t",
    "english",
    "v",
    "v::text",
    "'a'",
    "''",
    "'it''s'",
    "auth.role()",
    "(select auth.role())",
    "auth.email()",
    "auth.jwt() ->> 'team'",
    "(auth.jwt() -> 'app' ->> 'team')",
    "auth.jwt() #>> '{app,team}'",
    "current_setting('request.jwt.claims', true)::json ->> 'role'",
    "owner::text",
    "i4::text",
    "b::text",
    "mood::text",
    "null::text",
];

const BOOLEANS: [&str; 9] = [
    "b",
    "true",
    "false",
    "null::boolean",
    "(auth.jwt() ->> 'admin')::boolean",
    "(auth.jwt() -> 'app' -> 'admin')::boolean",
    "(select auth.role() = 'authenticated')",
    "i4 in (1, 2, 3)",
    "mood in ('sad', 'it''s')",
];

const NULLABLE: [&str; 8] =
    ["n", "tags", "auth.jwt() -> 'app'", "t", "mood", "auth.uid()", "auth.jwt() ->> 'team'", "null::int"];

const ORDERINGS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

/// A condition; the deeper, the more is in it.
pub(super) fn condition(walk: &mut Walk, depth: usize) -> String {
    if depth == 0 || walk.once_in(6) {
        return atom(walk);
    }
    let mut inner = || condition(walk, depth - 1);
    let (left, right) = (inner(), inner());
    match walk.below(9) {
        0 | 1 => format!("({left} and {right})"),
        2 | 3 => format!("({left} or {right})"),
        4 => format!("(({left}) and ({right}) and b)"),
        5 => format!("(not ({left}))"),
        6 => {
            format!("(({left}) is {}{})", walk.pick(&["", "not "]), walk.pick(&["true", "false", "unknown"]))
        }
        7 => format!("(({left}) is {}distinct from ({right}))", walk.pick(&["", "not "])),
        _ => format!("(({left}) {} ({right}))", walk.pick(&ORDERINGS)),
    }
}

fn atom(walk: &mut Walk) -> String {
    match walk.below(10) {
        0 => walk.pick(&BOOLEANS).to_owned(),
        1 => format!("({} is {}null)", walk.pick(&NULLABLE), walk.pick(&["", "not "])),
        2 => format!(
            "({} collate \"C\" {} {})",
            walk.pick(&["t", "v::text", "'b'", "auth.role()"]),
            walk.pick(&ORDERINGS),
            walk.pick(&["t", "ci", "'a'", "v"])
        ),
        3 => format!("(mood {} 'sad')", walk.pick(&["=", "<>", "is distinct from"])),
        4 => compared(walk, &UUIDS, &ORDERINGS),
        5 => compared(walk, &INTEGERS, &ORDERINGS),
        6 => compared(walk, &TEXTS, &["=", "<>"]),
        7 => among(walk, &UUIDS, "uuid"),
        8 => among(walk, &INTEGERS, "bigint"),
        _ => among(walk, &TEXTS, "text"),
    }
}

fn compared(walk: &mut Walk, values: &[&str], operators: &[&str]) -> String {
    let operator = if walk.once_in(4) { "is distinct from" } else { walk.pick(operators) };
    format!("({} {operator} {})", walk.pick(values), walk.pick(values))
}

fn among(walk: &mut Walk, values: &[&str], type_name: &str) -> String {
    let list: Vec<&str> = (0..walk.below(4)).map(|_| walk.pick(values)).collect();
    let list = list.join(", ");
    let left = walk.pick(values);
    match walk.below(3) {
        0 if !list.is_empty() => format!("({left} {} ({list}))", walk.pick(&["in", "not in"])),
        1 => format!("({left} = any(array[{list}]::{type_name}[]))"),
        _ => format!("({left} <> all(array[{list}]::{type_name}[]))"),
    }
}

/// A row as `to_jsonb` writes it.
pub(super) fn image(walk: &mut Walk) -> Map<String, Value> {
    let id = |walk: &mut Walk| json!(walk.pick(&IDS));
    let text =
        |walk: &mut Walk| json!(walk.pick(&["", "a", "b", "B", "it's", "authenticated", "ä", "1", "true"]));
    let mut fields = vec![
        ("id", id(walk)),
        ("owner", id(walk)),
        ("b", json!(walk.once_in(2))),
        ("i2", json!([-3, 0, 1, 32_767][walk.below(4)])),
        ("i4", json!([-3, 0, 1, 2_147_483_647][walk.below(4)])),
        ("i8", json!([-3, 0, 1, 5_000_000_000_i64, i64::MIN][walk.below(5)])),
        ("t", text(walk)),
        ("v", text(walk)),
        ("ci", text(walk)),
        ("english", text(walk)),
        ("nullable", if walk.once_in(9) { json!("x") } else { id(walk) }),
        ("mood", json!(walk.pick(&["sad", "ok", "it's"]))),
        ("n", json!(1.5)),
        ("tags", json!(["a"])),
    ];
    fields.retain_mut(|(_, value)| {
        if walk.once_in(4) {
            *value = Value::Null;
        }
        !walk.once_in(12)
    });
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Claims, some of which cannot be cast to what the conditions want.
pub(super) fn claims(walk: &mut Walk) -> Map<String, Value> {
    let id = |walk: &mut Walk| match walk.below(12) {
        0 => json!(""),
        1 => json!("x"),
        2 => json!(5),
        3 => Value::Null,
        4 => json!("{AAAAAAAAaaaa4aaa8aaaaaaaaaaaaaaa}"),
        _ => json!(walk.pick(&IDS)),
    };
    let level = |walk: &mut Walk| match walk.below(10) {
        0 => json!("x"),
        1 => json!(40_000),
        2 => json!(5_000_000_000_i64),
        3 => json!(1.5),
        4 => json!(" 1"),
        5 => json!(""),
        6 => Value::Null,
        7 => json!("+1"),
        _ => json!(1),
    };
    let admin = |walk: &mut Walk| match walk.below(8) {
        0 => json!("maybe"),
        1 => json!("yes"),
        2 => json!(1),
        3 => Value::Null,
        4 => json!("F"),
        _ => json!(walk.once_in(2)),
    };
    let team = |walk: &mut Walk| match walk.below(8) {
        0 => json!(["a"]),
        1 => json!(1),
        2 => json!(true),
        3 => Value::Null,
        _ => json!(walk.pick(&["a", "b", "it's"])),
    };
    let app = match walk.below(6) {
        0 => json!("a"),
        1 => json!(["team", "a"]),
        2 => Value::Null,
        _ => json!({ "org": id(walk), "team": team(walk), "admin": admin(walk) }),
    };
    let mut fields = vec![
        ("sub", id(walk)),
        ("role", json!(walk.pick(&["authenticated", "anon", "a", ""]))),
        ("email", json!(walk.pick(&["a", "", "b@example.org"]))),
        ("org", id(walk)),
        ("level", level(walk)),
        ("admin", admin(walk)),
        ("team", team(walk)),
        ("app", app),
    ];
    if walk.once_in(40) {
        fields.push(("odd", json!({ "deep": ["a\0"] })));
    }
    fields.retain(|_| !walk.once_in(8));
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
