//! What bodies may be, and what is made of them.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{MAX_JSON_DEPTH, read};
use crate::rest::core::media::MediaType;
use crate::rest::core::request::{Action, CallMethod, Mutation, Payload};

fn mutation(mutation: Mutation) -> Action {
    Action::RelationMutate { target: "t".to_owned(), mutation }
}

fn call() -> Action {
    Action::Call { target: "t".to_owned(), method: CallMethod::Write }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The JSON text and keys of an insert's body, or the message that refuses it.
fn insert(media: &MediaType, body: &[u8]) -> Result<(String, BTreeSet<String>), String> {
    let action = mutation(Mutation::Create);
    match read(Bytes::copy_from_slice(body), media, None, &action) {
        Ok((Some(Payload::Json { raw, keys }), columns)) => {
            assert_eq!(keys, columns);
            Ok((String::from_utf8(raw.to_vec()).unwrap(), keys))
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!((error.status_code(), error.code()), (400, "PGRST102"));
            Err(error.message())
        }
    }
}

fn json(body: &str) -> Result<(String, BTreeSet<String>), String> {
    insert(&MediaType::Json, body.as_bytes())
}

fn csv(body: &str) -> Result<(String, BTreeSet<String>), String> {
    insert(&MediaType::Csv, body.as_bytes())
}

#[test]
fn json_goes_on_unchanged_with_every_digit() {
    for (body, keys) in [
        (r#"{"a":1,"b":2}"#, &["a", "b"][..]),
        (r#" [ {"b":1,"a":2} , {"a":3,"b":4} ] "#, &["a", "b"]),
        (r#"{"n":123456789012345678901234567890.10,"e":1e99999}"#, &["n", "e"]),
        (r#"[{"n":0.1000000000000000055511151231257827},{"n":null}]"#, &["n"]),
        (r#"{"a":1,"a":2}"#, &["a"]),
        (r#"{"\u00e9\n":1}"#, &["é\n"]),
        (r"{}", &[]),
        (r"[{}]", &[]),
    ] {
        assert_eq!(json(body).unwrap(), (body.to_owned(), set(keys)), "{body}");
    }
}

#[test]
fn json_that_holds_no_rows_counts_as_an_empty_list() {
    for body in ["[]", "null", "true", "12", "\"x\"", " [ ] "] {
        assert_eq!(json(body).unwrap(), ("[]".to_owned(), set(&[])), "{body}");
    }
}

#[test]
fn rows_must_be_objects_with_equal_keys() {
    for body in [
        r#"[{"a":1},{"b":1}]"#,
        r#"[{"a":1},{"a":1,"b":1}]"#,
        r#"[{"a":1,"b":1},{"a":1}]"#,
        r#"[{"a":1},1]"#,
        "[1]",
        "[[]]",
        "[null,{}]",
    ] {
        assert_eq!(json(body).unwrap_err(), "All object keys must match", "{body}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for body in [
        "",
        " ",
        "}{ x = 2",
        "{",
        "[{]",
        "{\"a\":1}x",
        "{a:1}",
        "{\"a\":01}",
        "[{\"a\":\"\n\"}]",
        "\u{feff}{}",
    ] {
        assert_eq!(json(body).unwrap_err(), "Empty or invalid json", "{body:?}");
    }
    assert_eq!(insert(&MediaType::Json, b"{\"a\":\"\xff\"}").unwrap_err(), "Empty or invalid json");
    assert_eq!(json("{\"a\":\"\0\"}").unwrap_err(), "Empty or invalid json");
    assert!(json(r#"{"a\u0000":1}"#).unwrap_err().contains("NUL"));
}

#[test]
fn json_nests_to_a_limit_and_no_further() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(json(&nested(MAX_JSON_DEPTH)).is_ok());
    assert!(json(&nested(MAX_JSON_DEPTH + 1)).unwrap_err().contains("128 levels"));
    assert!(json(&"[".repeat(1_000_000)).unwrap_err().contains("128 levels"));
    assert!(json(&format!("{{\"a\":\"{}\\\"[\"}}", "[".repeat(1_000))).is_ok());
}

#[test]
fn the_columns_parameter_makes_the_body_opaque_for_inserts_updates_and_calls() {
    let columns = set(&["x"]);
    for action in [mutation(Mutation::Create), mutation(Mutation::Update), call()] {
        let body = Bytes::from_static(b"[{\"a\":1},{}]");
        let read = read(body.clone(), &MediaType::Json, Some(&columns), &action).unwrap();
        assert_eq!(read, (Some(Payload::RawJson(body)), columns.clone()));
    }
    let (payload, written) = read(
        Bytes::from_static(b"{\"a\":1}"),
        &MediaType::Json,
        Some(&columns),
        &mutation(Mutation::SingleUpsert),
    )
    .unwrap();
    assert!(matches!(payload, Some(Payload::Json { .. })));
    assert_eq!(written, set(&["a"]));
    assert!(read(Bytes::from("[".repeat(1_000)), &MediaType::Json, Some(&columns), &call()).is_err());
}

#[test]
fn reads_and_deletes_have_no_body() {
    let read_call = Action::Call { target: "t".to_owned(), method: CallMethod::Read { headers_only: false } };
    for action in [mutation(Mutation::Delete), read_call, Action::SchemaInfo] {
        assert_eq!(
            read(Bytes::from_static(b"}{"), &MediaType::Json, None, &action).unwrap(),
            (None, set(&[]))
        );
    }
}

#[test]
fn csv_becomes_rows_of_strings() {
    for (body, expected, keys) in [
        ("a,b\n1,x\n", r#"[{"a":"1","b":"x"}]"#, &["a", "b"][..]),
        ("a,b\r\n1,NULL\r\n,\r\n", r#"[{"a":"1","b":null},{"a":"","b":""}]"#, &["a", "b"]),
        ("a\n\n1\n\n2", r#"[{"a":"1"},{"a":"2"}]"#, &["a"]),
        ("\"a\",\"b\"\n\"x,\"\"y\n\",\" z \"", r#"[{"a":"x,\"y\n","b":" z "}]"#, &["a", "b"]),
        ("a,b\n1,2,3", r#"[{"a":"1","b":"2"}]"#, &["a", "b"]),
        ("a,b,a\n1,2,3", r#"[{"b":"2","a":"3"}]"#, &["a", "b"]),
        ("a,b\n", "[]", &[]),
        ("a,b\n1", r#"[{"a":"1"}]"#, &["a"]),
    ] {
        assert_eq!(csv(body).unwrap(), (expected.to_owned(), set(keys)), "{body:?}");
    }
}

#[test]
fn csv_is_refused_where_rows_differ_or_quotes_are_wrong() {
    assert_eq!(csv("a,b\nfoo,bar\nbaz").unwrap_err(), "All lines must have same number of fields");
    for body in ["", "a,b", "a\nx\"y", "a\n\"x\"y", "a\n\"x"] {
        assert!(csv(body).unwrap_err().starts_with("parse error"), "{body:?}");
    }
    assert!(csv("a\nx\n\"y").unwrap_err().contains("line 3"));
    assert!(insert(&MediaType::Csv, b"a\n\xff").is_err());
}

#[test]
fn forms_are_one_row_or_the_arguments_of_a_call() {
    let (text, keys) = insert(&MediaType::UrlEncoded, b"a=1+2&b=%22&a=3&c").unwrap();
    assert_eq!((text.as_str(), keys), (r#"{"a":"3","b":"\"","c":""}"#, set(&["a", "b", "c"])));
    let (payload, columns) =
        read(Bytes::from_static(b"a=1&a=2"), &MediaType::UrlEncoded, None, &call()).unwrap();
    let pairs = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
    assert_eq!(payload, Some(Payload::UrlEncoded { pairs, keys: set(&["a"]) }));
    assert_eq!(columns, set(&["a"]));
    assert!(insert(&MediaType::UrlEncoded, b"a=%00").is_err());
}

#[test]
fn calls_take_raw_bodies_and_empty_ones() {
    for media in [MediaType::PlainText, MediaType::Xml, MediaType::OctetStream] {
        let body = Bytes::from_static(b"<x/>");
        assert_eq!(read(body.clone(), &media, None, &call()).unwrap(), (Some(Payload::Raw(body)), set(&[])));
        let message = insert(&media, b"x").unwrap_err();
        assert_eq!(message, format!("Content-Type not acceptable: {}", media.to_mime()));
    }
    let bytes = Bytes::from_static(b"\xff\0");
    assert!(read(bytes.clone(), &MediaType::OctetStream, None, &call()).is_ok());
    assert!(read(bytes, &MediaType::PlainText, None, &call()).is_err());
    let empty = read(Bytes::new(), &MediaType::Json, None, &call()).unwrap();
    assert_eq!(empty, (Some(Payload::Json { raw: Bytes::new(), keys: set(&[]) }), set(&[])));
}
