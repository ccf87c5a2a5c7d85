//! Filters of subscriptions: every operator on every type.

use goforward::realtime::changes::filter::{Condition, Filter, SqlValue};
use goforward::realtime::changes::value::{Column, Undecided};
use serde_json::{Map, Value, json};

use super::{Case, Setup, word};
use crate::harness::Walk;

const OPERATORS: [&str; 12] =
    ["eq", "neq", "lt", "lte", "gt", "gte", "isdistinct", "like", "ilike", "match", "imatch", "in"];

/// Values of some column each, and some of none.
const VALUES: [&str; 27] = [
    "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    "AAAAAAAAaaaa4aaa8aaaaaaaaaaaaaaa",
    "true",
    "f",
    "tru",
    "o",
    "1",
    "-3",
    "+1",
    " 1",
    "1.5",
    "40000",
    "5000000000",
    "99999999999999999999",
    "",
    "a",
    "B",
    "it's",
    "b%",
    "%a%",
    "%d",
    "i%s",
    "_",
    "a\\",
    "sad",
    "{a}",
    "2024-05-01 12:00:00+00",
];

#[tokio::test]
async fn a_filter_says_what_postgresql_says() {
    let mut setup = Setup::new().await;
    let mut walk = Walk::new();
    let columns = setup.columns.clone();
    let mut cases = Vec::new();
    for column in &columns {
        for text in filters_of(column, &mut walk) {
            let filter = Filter::parse(&text, &columns).unwrap_or_else(|error| panic!("{text}: {error}"));
            let sql = filter.conditions.iter().map(sql).collect::<Vec<_>>().join(" and ");
            cases.extend((0..3).map(|_| (filter.clone(), sql.clone(), image(&mut walk))));
        }
    }
    let nobody = Map::new();
    let asked: Vec<_> =
        cases.iter().map(|(_, condition, image)| Case { condition, claims: &nobody, image }).collect();

    let mut decided = 0;
    for (said, (filter, sql, image)) in setup.answers(&asked).await.iter().zip(&cases) {
        let told = format!("{sql}\n{filter:?}\n{image:?}\nGOFORWARD_TEST_SEED={}", walk.seed());
        let answer = filter.evaluate(image);
        assert_eq!(answer.is_ok(), filter.is_decided_here(), "{told}");
        match answer {
            Ok(answer) => assert_eq!(word(answer), said, "{told}"),
            Err(Undecided) => continue,
        }
        decided += 1;
    }

    assert!(decided > 1_000, "{decided} of {} were decided", cases.len());
}

/// Every operator with values that may be of the column's type, some negated, some with a second condition.
fn filters_of(column: &Column, walk: &mut Walk) -> Vec<String> {
    let name = &column.name;
    let mut texts =
        vec![format!("{name}=is.null"), format!("{name}=not.is.null"), format!("{name}=not.in.()")];
    if column.type_name == "bool" {
        texts.extend(["true", "false", "unknown"].map(|truth| format!("{name}=is.{truth}")));
        texts.extend(["true", "false", "unknown"].map(|truth| format!("{name}=not.is.{truth}")));
    }
    for operator in OPERATORS {
        let is_pattern = ["like", "ilike", "match", "imatch"].contains(&operator);
        if is_pattern && !column.is_text {
            continue;
        }
        for value in VALUES {
            let quoted = format!("\"{}\"", value.replace('\\', "\\\\"));
            let value = match operator {
                "in" => format!("({quoted},{})", walk.pick(&["1", "true", "a", IDENTIFIER])),
                _ => quoted,
            };
            let negation = if walk.once_in(4) { "not." } else { "" };
            let also = if walk.once_in(8) { ",b=is.true" } else { "" };
            texts.push(format!("{name}={negation}{operator}.{value}{also}"));
        }
    }
    texts
}

const IDENTIFIER: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// The condition as the data says that it is to be asked, with constants in place of parameters.
fn sql(condition: &Condition) -> String {
    let sql = condition.sql();
    let constant = |text: &str| format!("'{}'::text", text.replace('\'', "''"));
    let type_name = match condition.column.type_name.as_str() {
        "mood" => "public.mood",
        name => name,
    };
    let value = match sql.value {
        SqlValue::Nothing => String::new(),
        SqlValue::OfColumnType(text) => format!("{}::{type_name}", constant(text)),
        SqlValue::ListOfColumnType(texts) => {
            let texts: Vec<_> = texts.into_iter().map(constant).collect();
            format!("(array[{}]::text[]::{type_name}[])", texts.join(", "))
        }
        SqlValue::Text(text) => constant(text),
    };
    let test = format!("\"{}\" {} {value}", sql.column, sql.operator);
    if sql.is_negated { format!("(not ({test}))") } else { format!("({test})") }
}

/// A row with values that the filters ask for.
fn image(walk: &mut Walk) -> Map<String, Value> {
    let mut image = super::policies::image(walk);
    for name in ["posix", "folded", "c"] {
        image.insert(name.to_owned(), json!(walk.pick(&["a", "A", "b%", ""])));
    }
    image.insert("at".to_owned(), json!("2024-05-01T12:00:00+00:00"));
    image
}
