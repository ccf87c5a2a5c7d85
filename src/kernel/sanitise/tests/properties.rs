//! What holds for any input.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Class, Decision, Field, Policy, sanitise, sanitise_bytes, sanitise_json, username_key};
use super::corpus::{corpus, texts};

/// Pieces that attacks and names are made of, so that random inputs reach the rules.
const PIECES: [&str; 64] = [
    "'",
    "\"",
    "`",
    "--",
    "#",
    "/*",
    "*/",
    ";",
    "(",
    ")",
    ",",
    "=",
    "<",
    ">",
    "||",
    "or",
    "and",
    " ",
    "1",
    "0x41",
    "union",
    "select",
    "from",
    "users",
    "drop",
    "table",
    "sleep",
    "script",
    "javascript:",
    "onerror",
    "<svg",
    "&lt;",
    "&#60",
    "%3c",
    "%25",
    "%2e",
    "%c0%ae",
    "\\u003c",
    "\\x3c",
    "+adw-",
    "..",
    "/",
    "\\",
    "{{",
    "${",
    "\0",
    "\r\n",
    "\t",
    "\u{200b}",
    "\u{200d}",
    "\u{200c}",
    "\u{202e}",
    "\u{200f}",
    "\u{e0041}",
    "é",
    "e\u{301}",
    "ı",
    "а",
    "ｓ",
    "नि",
    "ی",
    "👩",
    "@",
    "example.com",
];

/// Texts of such pieces, of arbitrary characters, and of both.
fn texts_of_all_kinds() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => select(&PIECES[..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[ -~]{1,6}",
    ];
    prop_oneof![
        4 => vec(piece, 0..14).prop_map(|pieces| pieces.concat()),
        1 => "[a-zA-Z0-9.+'{}$/=|~а-]{1,10}@[a-zA-Zäßаο。．ｅﬁ-]{1,8}[.。](com|ДЕ|xn--p1ai|museum|рф)",
        1 => r"[\p{L}\p{M}\p{N}._-]{3,8}",
        1 => r"[\p{Lu}\p{M}\p{Zs}'’.-]{1,12}",
        1 => r"\+?[0-9 ().-]{3,18}",
        1 => "(https?|myapp)://[a-z.]{1,8}(/[a-z.%25e]{0,6}){0,3}",
    ]
}

fn fields() -> impl Strategy<Value = Field> {
    select(&Field::ALL[..])
}

fn policies() -> impl Strategy<Value = Policy> {
    select(&[Policy::Off, Policy::Monitor, Policy::Clean, Policy::Reject][..])
}

/// Asserts that a cleaned value is clean: nothing is left to clean and nothing new is found.
fn assert_settled(field: Field, input: &str) {
    let first = sanitise(field, Policy::Clean, input);
    if first.decision == Decision::Reject {
        return;
    }
    let second = sanitise(field, Policy::Reject, &first.value);
    assert_eq!(
        second.decision,
        Decision::Accept,
        "{field:?} {input:?} -> {:?}: {:?}",
        first.value,
        second.findings
    );
    for finding in &second.findings {
        assert!(first.has(finding.class), "{field:?} {input:?} -> {:?}: new {finding:?}", first.value);
    }
}

/// Asserts the promises that a field makes about an accepted value, each by a check of its own.
fn assert_valid(field: Field, value: &str) {
    assert!(!value.contains('\0'));
    let one_line = !matches!(field, Field::Text | Field::Metadata | Field::Password);
    if one_line {
        assert!(!value.chars().any(char::is_control), "{field:?} {value:?}");
        assert!(!value.contains(['\u{200b}', '\u{202e}', '\u{200f}', '\u{2028}']), "{field:?} {value:?}");
    }
    match field {
        Field::Email => {
            let (local, domain) = value.split_once('@').expect("one @");
            assert!(
                value.is_ascii()
                    && !value.bytes().any(|byte| byte.is_ascii_uppercase())
                    && value.len() <= 254
            );
            assert!((1..=64).contains(&local.len()) && domain.contains('.') && !domain.contains('@'));
            assert!(!value.contains([' ', '"', '<', '>', '(', ')', ',', ';', ':', '\\', '[', ']']));
        }
        Field::Name => assert!(value.chars().count() <= 100 && value.trim() == value),
        Field::Username => {
            assert!((3..=64).contains(&value.chars().count()));
            assert!(!value.contains([' ', '@', '/', '\'', '<', '"']));
        }
        Field::Phone => assert!(value.len() <= 15 && value.bytes().all(|byte| byte.is_ascii_digit())),
        Field::Path => {
            assert!(value.len() <= 1024 && !value.starts_with(['/', '\\', '~']));
            assert!(!value.split(['/', '\\']).any(|part| part == ".."));
        }
        Field::Redirect => assert!(!value.contains([' ', '\\']) && value.len() <= 2048),
        Field::Text | Field::Metadata | Field::Password => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_cleaned_is_clean(field in fields(), input in texts_of_all_kinds()) {
        assert_settled(field, &input);
    }

    #[test]
    fn what_is_accepted_keeps_the_promises_of_its_field(field in fields(), input in texts_of_all_kinds()) {
        for policy in [Policy::Clean, Policy::Reject] {
            let result = sanitise(field, policy, &input);
            if result.decision != Decision::Reject {
                assert_valid(field, &result.value);
            }
        }
    }

    #[test]
    fn a_result_agrees_with_itself(field in fields(), policy in policies(), input in texts_of_all_kinds()) {
        let result = sanitise(field, policy, &input);
        prop_assert_eq!(result.modified, *result.value != *input);
        prop_assert_eq!(result.modified, result.decision == Decision::Clean);
        prop_assert_eq!(result.risk == 0, result.findings.is_empty());
        prop_assert!(result.risk <= 100);
        if matches!(policy, Policy::Off | Policy::Monitor) {
            prop_assert_eq!(result.decision == Decision::Reject, input.contains('\0'));
        }
    }

    #[test]
    fn any_bytes_get_a_result(field in fields(), policy in policies(), input in vec(any::<u8>(), 0..64)) {
        let result = sanitise_bytes(field, policy, &input);
        prop_assert_eq!(result.has(Class::InvalidUtf8), std::str::from_utf8(&input).is_err());
    }

    #[test]
    fn text_is_never_refused_but_for_what_does_not_show(input in texts_of_all_kinds()) {
        let shows = sanitise(Field::Text, Policy::Clean, &input);
        prop_assert_eq!(shows.decision == Decision::Reject, input.contains('\0'));
    }

    #[test]
    fn a_key_of_a_user_name_is_its_own_key(name in texts_of_all_kinds()) {
        let key = username_key(&name);
        prop_assert_eq!(username_key(&key), key);
    }

    #[test]
    fn a_cleaned_document_is_clean(strings in vec(texts_of_all_kinds(), 0..5)) {
        let document = serde_json::json!({"list": strings, "map": {"a": strings.first()}});
        let first = sanitise_json(Policy::Clean, &document);
        if first.decision != Decision::Reject {
            prop_assert_eq!(sanitise_json(Policy::Reject, &first.value).decision, Decision::Accept);
        }
    }
}

#[test]
fn what_was_cleaned_of_the_corpora_is_clean() {
    let files = [
        corpus!("sql_injection"),
        corpus!("script"),
        corpus!("path_traversal"),
        corpus!("path_only"),
        corpus!("control_character"),
        corpus!("null_byte"),
        corpus!("bidi"),
        corpus!("zero_width"),
        corpus!("homoglyph"),
        corpus!("mixed_script"),
        corpus!("header_injection"),
        corpus!("template"),
        corpus!("encoding"),
        corpus!("benign_name"),
        corpus!("benign_prose"),
        corpus!("benign_code"),
        corpus!("benign_email"),
    ];
    for field in Field::ALL {
        for line in files.iter().flat_map(|file| texts(file)) {
            assert_settled(field, &line);
        }
    }
}
