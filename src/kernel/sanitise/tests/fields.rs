//! What each field makes of single inputs, and what each policy does.

use std::borrow::Cow;

use serde_json::json;

use super::super::{
    Class, Decision, Field, Finding, Policy, Sanitised, address_skeleton, imitated_address, sanitise,
    sanitise_json, skeleton, username_key,
};

fn clean(field: Field, input: &str) -> Sanitised<'_> {
    sanitise(field, Policy::Clean, input)
}

fn classes(result: &Sanitised<'_>) -> Vec<Class> {
    result.findings.iter().map(|finding| finding.class).collect()
}

/// Asserts what each input becomes; `None` is a refusal.
fn assert_becomes(field: Field, table: &[(&str, Option<&str>)]) {
    for (input, expected) in table {
        let result = clean(field, input);
        let got = (result.decision != Decision::Reject).then_some(&*result.value);
        assert_eq!(got, *expected, "{input:?}: {:?}", result.findings);
    }
}

#[test]
fn an_address_has_one_spelling() {
    assert_becomes(
        Field::Email,
        &[
            ("Ann.Lee@Example.COM", Some("ann.lee@example.com")),
            ("  ann@example.com ", Some("ann@example.com")),
            ("admin@exämple.com", Some("admin@xn--exmple-cua.com")),
            ("admin@EXÄMPLE.com", Some("admin@xn--exmple-cua.com")),
            ("ann@例え.テスト", Some("ann@xn--r8jz45g.xn--zckzah")),
            ("ann@straße.de", Some("ann@xn--strae-oqa.de")),
            ("ann+tag@example.com", Some("ann+tag@example.com")),
            ("a.n.n@example.com", Some("a.n.n@example.com")),
        ],
    );
}

#[test]
fn what_is_no_plain_address_is_refused() {
    for input in [
        "",
        "@",
        "ann",
        "ann@",
        "@example.com",
        "ann@example",
        "ann@@example.com",
        "ann@example.com@evil.example",
        "Ann Lee <ann@example.com>",
        "<ann@example.com>",
        "ann@example.com, bob@example.com",
        "ann@example.com;bob@example.com",
        "\"ann\"@example.com",
        "\"a b\"@example.com",
        "ann(comment)@example.com",
        "ann@[127.0.0.1]",
        "ann@127.0.0.1",
        ".ann@example.com",
        "ann.@example.com",
        "a..n@example.com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@exa_mple.com",
        "ann@example..com",
        "ann@.example.com",
        "ann@example.com.",
        "ann@example.c",
        "ann lee@example.com",
        "ann\\@example.com",
        "änn@example.com",
        "ann＠example.com",
        "ann@xn--zzzzzzzz-.com",
        "mailto:ann@example.com",
        "ann@example.com\n",
        "ann@example.com%0abcc:x",
        "{{7*7}}@example.com",
        "'or'1'='1@example.com",
        "ann'--@example.com",
    ] {
        assert_eq!(clean(Field::Email, input).decision, Decision::Reject, "{input:?}");
    }
}

#[test]
fn an_address_with_an_accent_is_never_the_one_without() {
    let with = clean(Field::Email, "admin@exämple.com");
    let without = clean(Field::Email, "admin@example.com");
    assert_ne!(with.value, without.value);
    assert!(with.findings.is_empty(), "an accent is no look-alike");
}

#[test]
fn a_look_alike_domain_is_accepted_under_its_own_name_and_flagged() {
    let result = clean(Field::Email, "admin@аррӏе.com");
    assert_eq!(result.value, "admin@xn--80ak6aa92e.com");
    assert_eq!(classes(&result), [Class::Homoglyph]);
    assert_eq!(skeleton("аррӏе.com"), skeleton("apple.com"));
    assert_eq!(address_skeleton(&result.value), address_skeleton("admin@apple.com"));
    assert_eq!(address_skeleton("paypa1@example.com"), address_skeleton("paypal@example.com"));
    assert_ne!(address_skeleton("admin@xn--exmple-cua.com"), address_skeleton("admin@example.com"));
}

#[test]
fn a_canonical_address_is_borrowed() {
    let input = String::from("ann@example.com");
    assert!(matches!(clean(Field::Email, &input).value, Cow::Borrowed(_)));
}

#[test]
fn names_are_composed_trimmed_and_freed_of_what_does_not_show() {
    assert_becomes(
        Field::Name,
        &[
            ("  Ann Lee\t", Some("Ann Lee")),
            ("Zoe\u{308}", Some("Zoë")),
            ("An\u{200b}n", Some("Ann")),
            ("\u{202e}Ann", Some("Ann")),
            ("Ann\u{7}", Some("Ann")),
            ("Ann\r\nBcc: x@example.com", Some("Ann  Bcc: x@example.com")),
            ("علی\u{200c}رضا", Some("علی\u{200c}رضا")),
            ("", Some("")),
            ("\u{200b}", Some("")),
            ("Ann<script>", None),
            ("<scr\u{200b}ipt>alert(1)", None),
            ("Ann'; drop table users;--", None),
            ("{{ann}}", None),
            ("../../ann", None),
            ("Ann\0", None),
        ],
    );
}

#[test]
fn user_names_are_compared_without_case_and_width() {
    for (one, other) in [
        ("Ann", "ann"),
        ("ＡＮＮ", "ann"),
        ("STRASSE", "straße"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("ÉMILE", "e\u{301}mile"),
        ("ﬁona", "fiona"),
        ("ilk", "ılk"),
        ("ﾔﾏﾀﾞ", "ヤマダ"),
    ] {
        assert_eq!(username_key(one), username_key(other), "{one} {other}");
    }
    assert_ne!(username_key("anna"), username_key("аnnа"), "look-alikes are other names");
}

#[test]
fn user_names_are_of_one_script_and_no_number() {
    assert_becomes(
        Field::Username,
        &[
            ("ann", Some("ann")),
            (" Ann ", Some("Ann")),
            ("ａｎｎ", Some("ann")),
            ("e\u{301}mile", Some("émile")),
            ("аррӏе", Some("аррӏе")),
            ("pаypal", None),
            ("an", None),
            ("ann lee", None),
            ("ann@example.com", None),
            ("15551234567", None),
            ("1-555-123", None),
            (".ann", None),
            ("ann.", None),
            ("-rf", None),
            ("a..b", None),
            ("a/b", None),
            ("an\u{200d}n", None),
            ("ann🌸", None),
            ("½ann", None),
        ],
    );
    assert!(clean(Field::Username, "аррӏе").has(Class::Homoglyph));
}

#[test]
fn telephone_numbers_are_digits() {
    assert_becomes(
        Field::Phone,
        &[
            ("+49 170 1234567", Some("491701234567")),
            ("+1 (555) 123-4567", Some("15551234567")),
            ("15551234567", Some("15551234567")),
            ("\u{202a}+44\u{a0}20\u{a0}7183\u{a0}8750\u{202c}", Some("442071838750")),
            ("0170 1234567", None),
            ("0049170", None),
            ("++491701234567", None),
            ("555-CALL", None),
            ("١٥٥٥١٢٣٤٥٦٧", None),
            ("", None),
            ("+", None),
            ("1234567890123456", None),
        ],
    );
}

#[test]
fn redirects_that_read_as_another_address_are_refused() {
    for input in [
        "javascript:alert(1)",
        "JAVASCRIPT:x",
        "java\tscript:x",
        "data:text/html,x",
        "blob:https://example.com/x",
        "https://good.example\\@evil.example/",
        "https://good.example@evil.example/",
        "https://user:pass@evil.example/",
        "https:\\\\evil.example",
        "/\\evil.example",
        "https://example.com/a/../b",
        "https://example.com/%2e%2e/b",
        "https://example.com/a\r\nSet-Cookie: x=1",
        "https://example.com/%0d%0aSet-Cookie:x",
        "https://example.com/a b",
        "https://exam\u{200b}ple.com/",
        "https://example.com/\u{202e}",
    ] {
        assert_eq!(clean(Field::Redirect, input).decision, Decision::Reject, "{input:?}");
    }
}

#[test]
fn percent_signs_hide_nothing_in_the_query_of_a_redirect() {
    let input = "https://example.com/search?title=O%27Brien%27%20or%201%3D1&x=%7B%7B7%7D%7D";
    let result = sanitise(Field::Redirect, Policy::Reject, input);
    assert_eq!(result.decision, Decision::Accept);
    assert_eq!(classes(&result), [Class::SqlInjection, Class::Template], "watched all the same");
}

#[test]
fn a_password_is_left_as_it_is() {
    let input = " <script>' or 1=1-- ../..\u{202e}\u{200b}\u{1}e\u{301}\r\n ";
    for policy in [Policy::Off, Policy::Monitor, Policy::Clean, Policy::Reject] {
        let result = sanitise(Field::Password, policy, input);
        assert_eq!((&*result.value, result.decision, result.risk), (input, Decision::Accept, 0));
    }
}

#[test]
fn free_text_loses_only_what_does_not_show() {
    assert_becomes(
        Field::Text,
        &[
            ("O'Brien; DROP TABLE users", Some("O'Brien; DROP TABLE users")),
            ("a\tb\r\nc", Some("a\tb\r\nc")),
            ("a\u{1b}[31mb", Some("a[31mb")),
            ("a\u{202e}b\u{200b}c", Some("abc")),
            ("👨\u{200d}👩\u{200d}👧", Some("👨\u{200d}👩\u{200d}👧")),
            ("ＡＢＣ 𝐛𝐨𝐥𝐝 ½", Some("ＡＢＣ 𝐛𝐨𝐥𝐝 ½")),
        ],
    );
}

#[test]
fn each_policy_does_what_it_says() {
    let table = [
        (Policy::Off, Decision::Accept, "An\u{200b}n", 0),
        (Policy::Monitor, Decision::Accept, "An\u{200b}n", 35),
        (Policy::Clean, Decision::Clean, "Ann", 35),
        (Policy::Reject, Decision::Reject, "An\u{200b}n", 35),
    ];
    for (policy, decision, value, risk) in table {
        let result = sanitise(Field::Name, policy, "An\u{200b}n");
        assert_eq!((result.decision, &*result.value, result.risk), (decision, value, risk), "{policy:?}");
        assert_eq!(result.modified, decision == Decision::Clean);
    }
}

#[test]
fn a_canonical_form_is_given_where_the_policy_acts_and_is_no_finding() {
    for (policy, value) in [
        (Policy::Monitor, "Ann@example.com"),
        (Policy::Clean, "ann@example.com"),
        (Policy::Reject, "ann@example.com"),
    ] {
        let result = sanitise(Field::Email, policy, "Ann@example.com");
        assert_eq!((&*result.value, result.risk), (value, 0));
        assert_ne!(result.decision, Decision::Reject);
    }
}

#[test]
fn the_risk_is_that_of_the_worst_finding_and_a_little_for_every_other() {
    let result = sanitise(Field::Text, Policy::Monitor, "<script>alert(1)</script>\u{202e}\u{1}");
    let listed = |class: Class| Finding { class, risk: class.risk() };
    assert_eq!(
        result.findings,
        [listed(Class::Script), listed(Class::Bidi), listed(Class::ControlCharacter)]
    );
    assert_eq!(result.risk, Class::Script.risk() + 10);
}

#[test]
fn the_table_of_the_documentation_is_the_one_of_the_code() {
    let source = include_str!("../mod.rs");
    for class in Class::ALL {
        let row = format!("//! | `{}` | {} |", class.as_str(), class.risk());
        assert!(source.contains(&row), "no row {row}");
    }
    let serialised: Vec<String> = Class::ALL
        .iter()
        .map(|class| serde_json::to_value(class).unwrap().as_str().unwrap().to_owned())
        .collect();
    assert_eq!(serialised, Class::ALL.map(Class::as_str));
}

#[test]
fn a_document_is_cleaned_in_all_its_strings_and_none_of_its_keys() {
    let document =
        json!({"bio": "a\u{202e}b", "tags": ["x\u{200b}", 1, null, true], "deep": {"er": "\u{7}y"}});
    let result = sanitise_json(Policy::Clean, &document);
    assert_eq!(*result.value, json!({"bio": "ab", "tags": ["x", 1, null, true], "deep": {"er": "y"}}));
    assert_eq!((result.decision, result.modified), (Decision::Clean, true));

    let unfit_key = json!({"a\u{202e}": 1});
    assert_eq!(sanitise_json(Policy::Clean, &unfit_key).decision, Decision::Reject);
    assert_eq!(sanitise_json(Policy::Monitor, &unfit_key).decision, Decision::Accept);
}

#[test]
fn a_document_is_only_watched_for_patterns() {
    let document = json!({"bio": "' or 1=1--", "site": "<script>"});
    let result = sanitise_json(Policy::Reject, &document);
    assert_eq!(result.decision, Decision::Accept);
    assert_eq!(result.findings.len(), 2);
    assert!(matches!(result.value, Cow::Borrowed(_)));
}

#[test]
fn nul_in_a_document_is_refused_under_every_policy() {
    for policy in [Policy::Off, Policy::Monitor, Policy::Clean, Policy::Reject] {
        for document in [json!("a\0"), json!([{"a": ["\0"]}]), json!({"a\0": 1})] {
            assert_eq!(sanitise_json(policy, &document).decision, Decision::Reject, "{document}");
        }
    }
}

#[test]
fn a_document_has_limits_of_depth_and_size() {
    let nested = |depth: usize| (1..depth).fold(json!(1), |inner, _| json!([inner]));
    let fits = [nested(32), json!("a".repeat(64 * 1024 - 8)), json!(vec![0; 8191])];
    let exceeds = [nested(33), json!("a".repeat(64 * 1024 - 7)), json!(vec![0; 8192])];
    for document in &fits {
        assert_eq!(sanitise_json(Policy::Monitor, document).decision, Decision::Accept);
    }
    for document in &exceeds {
        let result = sanitise_json(Policy::Monitor, document);
        assert_eq!(result.decision, Decision::Reject);
        assert_eq!(result.findings, [Finding { class: Class::Length, risk: 20 }]);
    }
}

#[test]
fn policies_and_fields_are_written_in_lower_case() {
    let policies: Vec<Policy> = serde_json::from_value(json!(["off", "monitor", "clean", "reject"])).unwrap();
    assert_eq!(policies, [Policy::Off, Policy::Monitor, Policy::Clean, Policy::Reject]);
    assert_eq!(serde_json::to_value(Field::Username).unwrap(), json!("username"));
}

#[test]
fn an_address_with_letters_that_pretend_to_be_ascii_imitates_the_one_of_ascii() {
    for (address, imitated) in [
        ("ada@xn--pple-43d.com", Some("ada@apple.com")),
        ("ada@xn--80ak6aa92e.com", Some("ada@apple.com")),
        ("ada@xn--bcher-kva.example", None),
        ("ada@apple.com", None),
        ("no address", None),
    ] {
        assert_eq!(imitated_address(address).as_deref(), imitated, "{address}");
    }
}
