//! Any text whatsoever as the condition of a policy and as a filter: neither may panic or hang, and a row that a policy
//! shows is found by its key.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use goforward::realtime::changes::filter::Filter;
use goforward::realtime::changes::predicate::{Claims, Predicate};
use goforward::realtime::changes::value::{Collation, Column, Kind, Width};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    condition: &'a str,
    filter: &'a str,
    /// Values of claims and columns, so that some are equal.
    texts: [&'a str; 3],
    numbers: [i8; 2],
}

const KINDS: [(&str, Kind); 6] = [
    ("id", Kind::Uuid),
    ("n", Kind::Integer(Width::Four)),
    ("b", Kind::Bool),
    ("t", Kind::Text(Collation::Default)),
    ("c", Kind::Text(Collation::C)),
    ("m", Kind::Enum),
];

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fuzz_target!(|input: Input<'_>| {
    let columns = KINDS.map(|(name, kind)| Column {
        name: name.to_owned(),
        type_name: String::new(),
        kind,
        is_text: matches!(kind, Kind::Text(_)),
    });
    let [first, second, third] = input.texts;
    let [number, other] = input.numbers;
    let id = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
    let image = object(json!({ "id": id, "n": number, "b": number > 0, "t": first, "c": second, "m": third }));
    let claims = json!({ "sub": id, "role": second, "email": third, "x": other, "y": { "x": first } });
    let claims = Claims::new(Arc::new(object(claims)));
    if let Some(predicate) = Predicate::parse(input.condition, &columns) {
        let answer = predicate.evaluate(&image, &claims);
        if let (Some(key), Ok(Some(true))) = (predicate.equality_key(), answer) {
            assert!(matches!(key.of_image(&image), Ok(Some(_))));
            assert_eq!(key.of_image(&image), key.of_claims(&claims));
        }
    }
    if let Ok(filter) = Filter::parse(input.filter, &columns) {
        assert!(filter.evaluate(&image).is_err() || filter.is_decided_here());
    }
});
