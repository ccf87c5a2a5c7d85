//! Conditions as PostgreSQL prints them: which are understood, what they say, and their keys.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::realtime::changes::value::{Collation, Datum, Kind, Width};

/// The table of the tests. Texts of policies are as PostgreSQL 14 to 18 print them.
fn columns() -> Vec<Column> {
    let kinds = [
        ("id", Kind::Uuid),
        ("owner", Kind::Uuid),
        ("b", Kind::Bool),
        ("i2", Kind::Integer(Width::Two)),
        ("i4", Kind::Integer(Width::Four)),
        ("i8", Kind::Integer(Width::Eight)),
        ("t", Kind::Text(Collation::Default)),
        ("v", Kind::Text(Collation::Default)),
        ("ci", Kind::Text(Collation::C)),
        ("german", Kind::Text(Collation::Other(12345))),
        ("mood", Kind::Enum),
        ("n", Kind::Plain),
        ("d", Kind::Unknown),
        ("odd Col", Kind::Integer(Width::Four)),
    ];
    let column = |(name, kind): (&str, Kind)| Column {
        name: name.to_owned(),
        type_name: String::new(),
        kind,
        is_text: false,
    };
    kinds.map(column).to_vec()
}

fn understood(text: &str) -> Predicate {
    Predicate::parse(text, &columns()).unwrap_or_else(|| panic!("not understood: {text}"))
}

fn claims(value: Value) -> Claims {
    let Value::Object(all) = value else { panic!("claims are an object") };
    Claims::new(Arc::new(all))
}

const ME: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

/// A caller with claims of all types.
fn me() -> Claims {
    claims(json!({
        "sub": ME, "role": "authenticated", "email": "", "org": "{BBBBBBBB-bbbb-4bbb-8bbb-bbbbbbbbbbbb}",
        "level": 3, "broken": "x", "none": null, "fraction": 1.5, "app": { "team": "red", "admin": true, "tags": ["a"] },
    }))
}

/// A row of that caller.
fn row() -> Value {
    json!({
        "id": "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb", "owner": ME, "b": true, "i2": 3, "i4": 4, "i8": 5_000_000_000_i64,
        "t": "red", "v": "x", "ci": "b", "german": "ä", "mood": "it's", "n": 1.5, "odd Col": null,
    })
}

fn says(text: &str) -> Result<Option<bool>, Undecided> {
    understood(text).evaluate(row().as_object().unwrap(), &me())
}

#[test]
fn a_policy_says_what_postgresql_says() {
    for text in [
        "true",
        "b",
        "(auth.uid() = owner)",
        "(( SELECT auth.uid() AS uid) = owner)",
        "(owner = ( SELECT auth.uid() AS x))",
        "(owner IN ( SELECT auth.uid() AS uid))",
        "(auth.role() = 'authenticated'::text)",
        "(auth.email() IS NULL)",
        "(((auth.jwt() ->> 'org'::text))::uuid = id)",
        "((( SELECT (auth.jwt() ->> 'org'::text)))::uuid = id)",
        "(((auth.jwt() -> 'app'::text) ->> 'team'::text) = t)",
        "((auth.jwt() #>> '{app,team}'::text[]) = t)",
        "(((auth.jwt() -> 'app'::text) -> 'admin'::text))::boolean",
        "((((auth.jwt() -> 'app'::text) ->> 'admin'::text))::boolean IS TRUE)",
        "(((auth.jwt() ->> 'level'::text))::smallint = i2)",
        "(((auth.jwt() -> 'level'::text))::integer < i8)",
        "(((current_setting('request.jwt.claims'::text, true))::json ->> 'sub'::text) = (owner)::text)",
        "((auth.jwt() -> 'other'::text) IS NULL)",
        "((auth.jwt() -> 'none'::text) IS NOT NULL)",
        "((auth.jwt() ->> 'none'::text) IS NULL)",
        "(i8 = '5000000000'::bigint)",
        "(i2 = ANY (ARRAY[1, 2, 3]))",
        "(i8 <> ALL (ARRAY[(1)::bigint, (2)::bigint]))",
        "(i4 = ANY ('{3,4}'::integer[]))",
        "((v)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[]))",
        "(mood = 'it''s'::s.mood)",
        "(mood = ANY (ARRAY['sad'::s.mood, 'it''s'::s.mood]))",
        "((mood)::text <> 'sad'::text)",
        "(ci < 'c'::text)",
        "((t COLLATE \"C\") > 'blue'::text)",
        "(german = 'ä'::text)",
        "(\"odd Col\" IS NULL)",
        "(n IS NOT NULL)",
        "((b AND (t = 'y'::text)) OR (i4 = 4))",
        "(NOT (auth.uid() IS DISTINCT FROM owner))",
        "((\"odd Col\" = 1) IS UNKNOWN)",
        "(auth.uid() = ANY (ARRAY[id, owner]))",
    ] {
        assert_eq!(says(text), Ok(Some(true)), "{text}");
    }
}

#[test]
fn null_stays_unknown_until_something_decides() {
    for (text, answer) in [
        ("(\"odd Col\" = 1)", None),
        ("(NOT (\"odd Col\" = 1))", None),
        ("((\"odd Col\" = 1) AND b)", None),
        ("((\"odd Col\" = 1) AND (NOT b))", Some(false)),
        ("((\"odd Col\" = 1) OR b)", Some(true)),
        ("((\"odd Col\" = 1) OR (NOT b))", None),
        ("(i4 = ANY (ARRAY[1, NULL::integer]))", None),
        ("(i4 <> ALL (ARRAY[4, NULL::integer]))", Some(false)),
        ("(\"odd Col\" = ANY ('{}'::integer[]))", Some(false)),
        ("(\"odd Col\" IS DISTINCT FROM 1)", Some(true)),
        ("(t = NULL::text)", None),
        ("((auth.jwt() ->> 'other'::text) = t)", None),
        ("NULL::boolean", None),
    ] {
        assert_eq!(says(text), Ok(answer), "{text}");
    }
}

#[test]
fn what_postgresql_may_fail_on_is_undecided() {
    for text in [
        "(((auth.jwt() ->> 'broken'::text))::uuid = id)",
        "(((auth.jwt() ->> 'level'::text))::uuid = id)",
        "(((auth.jwt() ->> 'broken'::text))::integer = i4)",
        "((auth.jwt() ->> 'broken'::text))::boolean",
        "((auth.jwt() -> 'none'::text))::boolean",
        "((auth.jwt() ->> 'fraction'::text) = t)",
        "((auth.jwt() ->> 'app'::text) = t)",
        "((t)::uuid = owner)",
        "((i8)::integer = 3)",
        // One part is enough, even where another decides.
        "(b OR (((auth.jwt() ->> 'broken'::text))::uuid = id))",
        "((NOT b) AND (((auth.jwt() ->> 'broken'::text))::uuid = id))",
    ] {
        assert_eq!(says(text), Err(Undecided), "{text}");
    }
}

#[test]
fn a_nul_in_any_claim_leaves_nothing_to_read() {
    let claims = claims(json!({ "sub": ME, "app": [{ "x": "a\0" }] }));
    let image = row();
    let predicate = understood("(auth.uid() = owner)");
    assert_eq!(predicate.evaluate(image.as_object().unwrap(), &claims), Err(Undecided));
    assert_eq!(predicate.equality_key().unwrap().reach(&claims), Some(Reach::Every));
}

#[test]
fn what_is_not_surely_understood_is_left_to_postgresql() {
    for text in [
        "",
        "b)",
        "(b",
        "b b",
        "(b AND t)",
        "i4",
        "(a AND b OR b)",
        "(NOT b = b)",
        "(i4 = 1 = b)",
        "( SELECT (auth.uid() = t.owner))",
        "( SELECT b)",
        "(s.b)",
        "b(i4)",
        "(lower(t) = 'x'::text)",
        "(other = 1)",
        "(n = (1)::numeric)",
        "((i4)::numeric = 3.0)",
        "(d IS NULL)",
        "(d = 'x'::text)",
        "(t < 'x'::text)",
        "(german < 'x'::text)",
        "(german = ci)",
        "(mood > 'sad'::s.mood)",
        "('a'::s.x = 'b'::s.x)",
        "((t)::character varying(3) = 'x'::text)",
        "(t ~~ 'a%'::text)",
        "(i4 OPERATOR(public.=) 4)",
        "(t = 'a\\b'::text)",
        "(t = E'a'::text)",
        "(id = 'x'::uuid)",
        "(i2 = '40000'::smallint)",
        "(i4 = 1.5)",
        "(i4 = ANY (ARRAY[1, 'x'::text]))",
        "(i4 = ANY (tags))",
        "(owner IN ( SELECT t_1.id\n   FROM s.t t_1))",
        "(owner IN (auth.uid()))",
        "(EXISTS ( SELECT 1\n   FROM s.t x\n  WHERE (x.id = t.id)))",
        "(auth.jwt() IS NULL)",
        "((auth.jwt() -> 'x'::text) = 'true'::jsonb)",
        "(auth.other() = 1)",
        "(other.uid() = owner)",
        "((current_setting('other'::text, true))::json ->> 'sub'::text) = t)",
        "((t COLLATE \"de-x-icu\") = 'x'::text)",
        "(CURRENT_USER = 'x'::name)",
        "COALESCE(b, false)",
        "\nCASE\n    WHEN b THEN true\n    ELSE false\nEND",
    ] {
        assert_eq!(Predicate::parse(text, &columns()), None, "{text}");
    }
}

#[test]
fn deep_and_long_texts_are_left_to_postgresql() {
    let deep = |levels: usize| format!("{}b{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Predicate::parse(&deep(60), &columns()).is_some());
    assert!(Predicate::parse(&deep(100_000), &columns()).is_none());
    assert!(Predicate::parse(&deep(1_000), &columns()).is_none());
    let arrays = format!("(i4 = ANY {}", "(".repeat(1_000));
    assert!(Predicate::parse(&arrays, &columns()).is_none());
    let wide = format!("({})", vec!["b"; 5_000].join(" AND "));
    assert!(Predicate::parse(&wide, &columns()).is_some());
}

#[test]
fn policies_compose_as_in_postgresql() {
    let of = |texts: &[&str]| texts.iter().map(|text| understood(text)).collect::<Vec<_>>();
    let says = |permissive: &[&str], restrictive: &[&str]| {
        let all = Predicate::all(of(permissive), of(restrictive));
        all.evaluate(row().as_object().unwrap(), &me()).unwrap()
    };
    assert_eq!(says(&[], &[]), Some(false));
    assert_eq!(says(&[], &["true"]), Some(false));
    assert_eq!(says(&["false", "b"], &[]), Some(true));
    assert_eq!(says(&["b"], &["b", "(i4 = 4)"]), Some(true));
    assert_eq!(says(&["b"], &["b", "(i4 = 5)"]), Some(false));
    assert_eq!(says(&["b"], &["(\"odd Col\" = 5)"]), None);
}

#[test]
fn the_functions_that_must_be_ours_are_told() {
    let first = understood("((auth.uid() = owner) OR (auth.role() = 'a'::text) OR (auth.uid() = id))");
    assert_eq!(first.functions(), [Function::Uid, Function::Role]);
    let second = understood("((auth.jwt() ->> 'a'::text) = t)");
    let all = Predicate::all(vec![second, understood("b")], vec![first]);
    assert_eq!(all.functions(), [Function::Uid, Function::Jwt, Function::Role]);
}

#[test]
fn an_equality_of_row_and_claims_is_a_key() {
    let own = understood("(auth.uid() = owner)").equality_key().unwrap();
    let image = row();
    let mine = Some(Datum::Uuid([
        0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0x4a, 0xaa, 0x8a, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
    ]));
    assert_eq!(own.of_image(image.as_object().unwrap()).as_ref(), Ok(&mine));
    assert_eq!(own.reach(&me()), mine.map(Reach::Value));
    for text in [
        "(owner = ( SELECT auth.uid() AS uid))",
        "((t = 'x'::text) AND (auth.uid() = owner))",
        "((t = auth.role()) AND ((auth.uid() = owner) IS TRUE))",
        "(((auth.uid() = owner) AND b) OR ((i4 = 1) AND (owner = auth.uid())))",
    ] {
        assert_eq!(understood(text).equality_key().as_ref(), Some(&own), "{text}");
    }
    let all = Predicate::all(
        vec![understood("(auth.uid() = owner)"), understood("(b AND (auth.uid() = owner))")],
        vec![understood("(t = auth.role())")],
    );
    assert_eq!(all.equality_key().as_ref(), Some(&own));
}

#[test]
fn without_such_an_equality_there_is_no_key() {
    for text in [
        "true",
        "(owner = id)",
        "(auth.role() = 'x'::text)",
        "(auth.uid() <> owner)",
        "(NOT (auth.uid() = owner))",
        "(NOT (auth.uid() IS DISTINCT FROM owner))",
        "((auth.uid() = owner) OR b)",
        "((auth.uid() = owner) OR (auth.uid() = id))",
        "((auth.uid() = owner) IS NOT FALSE)",
    ] {
        assert_eq!(understood(text).equality_key(), None, "{text}");
    }
}

#[test]
fn keys_of_one_value_are_one_value_however_it_is_written() {
    let key = understood("(((auth.jwt() ->> 'org'::text))::uuid = id)").equality_key().unwrap();
    let of = |org: &str| key.reach(&claims(json!({ "org": org })));
    let value = key.of_image(row().as_object().unwrap()).unwrap();
    assert_eq!(of("BBBBBBBB-bbbb-4bbb-8bbb-bbbbbbbbbbbb"), value.map(Reach::Value));
    assert_eq!(of("x"), Some(Reach::Every));
    assert_eq!(key.reach(&claims(json!({}))), None);
}

#[test]
fn who_sees_all_by_claims_alone_leaves_others_to_the_key() {
    let own = understood("(auth.uid() = owner)").equality_key().unwrap();
    for text in [
        "((( SELECT (auth.jwt() ->> 'level'::text)) = 'admin'::text) OR (auth.uid() = owner))",
        "((auth.uid() = owner) OR ((auth.jwt() ->> 'level'::text) = 'admin'::text) OR false)",
        "(((owner = auth.uid()) AND b) OR ((auth.uid() = owner) OR ((auth.jwt() ->> 'level'::text) = 'admin'::text)))",
        "(b AND ((auth.uid() = owner) OR ((auth.jwt() ->> 'level'::text) = 'admin'::text)))",
    ] {
        let key = understood(text).equality_key().unwrap_or_else(|| panic!("{text}"));
        let image = row();
        assert_eq!(key.of_image(image.as_object().unwrap()), own.of_image(image.as_object().unwrap()));
        let of = |level: Value| key.reach(&claims(json!({ "sub": ME, "level": level })));
        assert_eq!([of(json!("user")), of(Value::Null)], [own.reach(&me()), own.reach(&me())], "{text}");
        // Of an array only PostgreSQL knows the text.
        assert_eq!([of(json!("admin")), of(json!([]))], [const { Some(Reach::Every) }; 2], "{text}");
    }
    let only_admins = understood("((auth.jwt() ->> 'level'::text) = 'admin'::text)");
    let all = Predicate::all(vec![only_admins, understood("(auth.uid() = owner)")], vec![]);
    assert_eq!(all.equality_key().unwrap().reach(&me()), own.reach(&me()));
}

/// Atoms of conditions in which columns, claims and constants meet, as PostgreSQL prints them.
const ATOMS: [&str; 14] = [
    "b",
    "(auth.uid() = owner)",
    "(id = auth.uid())",
    "(((auth.jwt() ->> 'org'::text))::uuid = id)",
    "(t = auth.role())",
    "(((auth.jwt() ->> 'level'::text))::integer = i4)",
    "(((auth.jwt() ->> 'level'::text))::integer > i4)",
    "(i4 = 1)",
    "(auth.role() = 'a'::text)",
    "(auth.uid() IS NULL)",
    "(t IS NULL)",
    "(t = ANY (ARRAY['a'::text, 'b'::text]))",
    "(owner IS DISTINCT FROM auth.uid())",
    "false",
];

/// Conditions on claims alone.
const OF_CLAIMS: [&str; 4] = [
    "(auth.role() = 'a'::text)",
    "(auth.uid() IS NULL)",
    "(((auth.jwt() ->> 'level'::text))::integer = 1)",
    "false",
];

fn condition() -> impl Strategy<Value = String> {
    prop::sample::select(&ATOMS[..]).prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let members = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            members.clone().prop_map(|members| format!("({})", members.join(" AND "))),
            members.prop_map(|members| format!("({})", members.join(" OR "))),
            inner.clone().prop_map(|inner| format!("(NOT {inner})")),
            inner.prop_map(|inner| format!("({inner} IS TRUE)")),
        ]
    })
}

fn any_of(values: Vec<Value>) -> impl Strategy<Value = Value> {
    prop::sample::select(values)
}

fn image() -> impl Strategy<Value = Image> {
    let id = || any_of(vec![Value::Null, json!(ME), json!("bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb")]);
    let text = || any_of(vec![Value::Null, json!("a"), json!("b")]);
    let number = || any_of(vec![Value::Null, json!(1), json!(2)]);
    let boolean = || any_of(vec![Value::Null, json!(true), json!(false)]);
    (id(), id(), text(), number(), boolean()).prop_map(|(id, owner, t, i4, b)| {
        json!({ "id": id, "owner": owner, "t": t, "i4": i4, "b": b }).as_object().unwrap().clone()
    })
}

fn caller() -> impl Strategy<Value = Claims> {
    let id = || {
        any_of(vec![Value::Null, json!(ME), json!("BBBBBBBBbbbb4bbb8bbbbbbbbbbbbbbb"), json!(""), json!("x")])
    };
    let level = any_of(vec![Value::Null, json!(1), json!("+2"), json!("x")]);
    let role = any_of(vec![json!("a"), json!("b"), json!("")]);
    (id(), id(), level, role).prop_map(|(sub, org, level, role)| {
        claims(json!({ "sub": sub, "org": org, "level": level, "role": role }))
    })
}

proptest! {
    #[test]
    fn where_a_predicate_is_true_its_key_is_equal(text in condition(), image in image(), claims in caller()) {
        let predicate = understood(&text);
        if let Some(key) = predicate.equality_key()
            && predicate.evaluate(&image, &claims) == Ok(Some(true))
        {
            match key.reach(&claims) {
                Some(Reach::Every) => {}
                reach => {
                    let value = key.of_image(&image);
                    prop_assert!(matches!(value, Ok(Some(_))));
                    prop_assert_eq!(value.map(|value| value.map(Reach::Value)), Ok(reach));
                }
            }
        }
    }

    /// Otherwise a key would be right and of no use.
    #[test]
    fn only_those_reach_every_row_whom_claims_alone_let_or_leave_open(
        (of_rows, of_claims) in (0..ATOMS.len(), 0..OF_CLAIMS.len()), claims in caller(),
    ) {
        let (rows, alone) = (understood(ATOMS[of_rows]), understood(OF_CLAIMS[of_claims]));
        let Some(key) = rows.equality_key() else { return Ok(()) };
        let both = understood(&format!("({} OR {})", ATOMS[of_rows], OF_CLAIMS[of_claims]));
        let is_open = !matches!(alone.evaluate(&Image::new(), &claims), Ok(None | Some(false)));
        let expected = if is_open { Some(Reach::Every) } else { key.reach(&claims) };
        prop_assert_eq!(both.equality_key().unwrap().reach(&claims), expected);
    }

    #[test]
    fn any_text_is_understood_or_not(text in "\\PC{0,60}") {
        let _ = Predicate::parse(&text, &columns());
    }

    #[test]
    fn any_pieces_are_understood_or_not(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..20),
        image in image(),
        claims in caller(),
    ) {
        if let Some(predicate) = Predicate::parse(&pieces.join(" "), &columns()) {
            let _ = predicate.evaluate(&image, &claims);
        }
    }
}

/// Pieces of which expressions are made.
const PIECES: [&str; 40] = [
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ",",
    "::",
    "=",
    "<",
    "<>",
    "->",
    "->>",
    "#>>",
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "TRUE",
    "DISTINCT",
    "FROM",
    "ANY",
    "ARRAY",
    "SELECT",
    "AS",
    "COLLATE",
    "\"C\"",
    "b",
    "owner",
    "i4",
    "t",
    "1",
    "true",
    "'x'",
    "text",
    "auth.uid()",
    "auth.jwt()",
    "'{a}'",
    "uuid",
];
