//! Every line of the hostile corpora is found in its class, every line of the benign ones passes untouched.

use super::super::{Class, Decision, Field, Policy, sanitise, sanitise_bytes};
use super::corpus::{bytes, corpus, texts};

/// The lines of a corpus, at least `count` of them and no two alike.
fn at_least(count: usize, file: &str) -> Vec<String> {
    let mut lines = texts(file);
    assert!(lines.len() >= count, "{} lines, at least {count} are needed", lines.len());
    let all = lines.len();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), all, "two lines are alike");
    lines
}

/// Asserts that `class` is found in every line as each of the fields.
fn assert_found(class: Class, fields: &[Field], lines: &[String]) {
    let mut missed = Vec::new();
    for field in fields {
        for line in lines {
            if !sanitise(*field, Policy::Monitor, line).has(class) {
                missed.push(format!("{field:?}: {line:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

/// Asserts that every line is refused as each of the fields, under the policy that cleans what it can.
fn assert_refused(fields: &[Field], lines: &[String]) {
    let mut passed = Vec::new();
    for field in fields {
        for line in lines {
            if sanitise(*field, Policy::Clean, line).decision != Decision::Reject {
                passed.push(format!("{field:?}: {line:?}"));
            }
        }
    }
    assert!(passed.is_empty(), "{} not refused:\n{}", passed.len(), passed.join("\n"));
}

/// Asserts that every line passes as it is under the policy; without findings where `silent`.
fn assert_passes(field: Field, policy: Policy, lines: &[String], silent: bool) {
    let mut wrong = Vec::new();
    for line in lines {
        let result = sanitise(field, policy, line);
        let passes = result.decision == Decision::Accept && !result.modified && *result.value == *line;
        if !passes || silent && !result.findings.is_empty() {
            wrong.push(format!("{line:?}: {:?} {:?} {:?}", result.decision, result.value, result.findings));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

#[test]
fn sql_injection_is_found_everywhere_and_refused_in_names_and_identifiers() {
    let lines = at_least(100, corpus!("sql_injection"));
    assert_found(Class::SqlInjection, &[Field::Name, Field::Text, Field::Path], &lines);
    assert_refused(&[Field::Name, Field::Email, Field::Username, Field::Phone, Field::Path], &lines);
}

#[test]
fn script_is_found_everywhere_and_refused_in_names_and_identifiers() {
    let lines = at_least(50, corpus!("script"));
    assert_found(Class::Script, &[Field::Name, Field::Text, Field::Redirect], &lines);
    assert_refused(
        &[Field::Name, Field::Email, Field::Username, Field::Phone, Field::Path, Field::Redirect],
        &lines,
    );
}

#[test]
fn traversal_is_found_everywhere_and_refused_in_paths_and_names() {
    let lines = at_least(30, corpus!("path_traversal"));
    assert_found(Class::PathTraversal, &[Field::Path, Field::Text, Field::Name], &lines);
    assert_refused(&[Field::Path, Field::Name, Field::Email, Field::Username], &lines);
}

#[test]
fn a_path_stays_below_its_folder_however_it_is_spelled() {
    let lines = at_least(15, corpus!("path_only"));
    assert_found(Class::PathTraversal, &[Field::Path], &lines);
    assert_refused(&[Field::Path], &lines);
}

#[test]
fn control_characters_are_found_in_every_field_but_passwords() {
    let lines = at_least(25, corpus!("control_character"));
    let fields = [Field::Name, Field::Email, Field::Username, Field::Phone, Field::Path, Field::Redirect];
    assert_found(Class::ControlCharacter, &fields, &lines);
    assert_refused(&[Field::Email, Field::Username, Field::Path, Field::Redirect], &lines);
}

#[test]
fn nul_is_refused_in_every_field_under_every_policy() {
    let lines = at_least(10, corpus!("null_byte"));
    assert_found(Class::NullByte, &Field::ALL, &lines);
    for field in Field::ALL {
        for policy in [Policy::Off, Policy::Monitor, Policy::Clean, Policy::Reject] {
            for line in &lines {
                assert_eq!(
                    sanitise(field, policy, line).decision,
                    Decision::Reject,
                    "{field:?} {policy:?} {line:?}"
                );
            }
        }
    }
}

#[test]
fn an_encoded_nul_is_refused_in_paths() {
    let lines = at_least(5, corpus!("path_null"));
    assert_found(Class::NullByte, &[Field::Path], &lines);
    assert_refused(&[Field::Path], &lines);
}

#[test]
fn invalid_utf8_is_refused_in_every_field_under_every_policy() {
    let lines = bytes(corpus!("invalid_utf8"));
    assert!(lines.len() >= 20);
    for field in Field::ALL {
        for policy in [Policy::Off, Policy::Monitor, Policy::Clean, Policy::Reject] {
            for line in &lines {
                let result = sanitise_bytes(field, policy, line);
                assert!(result.has(Class::InvalidUtf8), "{line:?}");
                assert_eq!(result.decision, Decision::Reject, "{line:?}");
            }
        }
    }
}

#[test]
fn marks_of_direction_are_found_in_fields_of_one_line() {
    let lines = at_least(15, corpus!("bidi"));
    let fields = [Field::Name, Field::Email, Field::Username, Field::Phone, Field::Path, Field::Redirect];
    assert_found(Class::Bidi, &fields, &lines);
    assert_refused(&[Field::Email, Field::Username, Field::Path, Field::Redirect], &lines);
}

#[test]
fn invisible_characters_are_found_in_every_field_but_passwords() {
    let lines = at_least(20, corpus!("zero_width"));
    let fields =
        [Field::Name, Field::Email, Field::Username, Field::Phone, Field::Text, Field::Path, Field::Redirect];
    assert_found(Class::ZeroWidth, &fields, &lines);
    assert_refused(&[Field::Email, Field::Username, Field::Path, Field::Redirect], &lines);
}

#[test]
fn addresses_that_look_like_ascii_are_flagged() {
    assert_found(Class::Homoglyph, &[Field::Email], &at_least(15, corpus!("homoglyph")));
}

#[test]
fn words_of_mixed_scripts_are_found_and_refused_as_user_names() {
    let lines = at_least(15, corpus!("mixed_script"));
    assert_found(Class::MixedScript, &[Field::Name, Field::Username], &lines);
    assert_refused(&[Field::Username, Field::Email], &lines);
}

#[test]
fn line_breaks_are_header_injection_in_fields_of_one_line() {
    let lines = at_least(15, corpus!("header_injection"));
    assert_found(Class::HeaderInjection, &[Field::Name, Field::Email, Field::Path, Field::Redirect], &lines);
    assert_refused(&[Field::Email, Field::Username, Field::Path, Field::Redirect], &lines);
    for line in &lines {
        let result = sanitise(Field::Name, Policy::Clean, line);
        let kept = result.decision != Decision::Reject;
        assert!(!kept || !result.value.contains(['\r', '\n']), "{line:?} gives {:?}", result.value);
    }
}

#[test]
fn template_expressions_are_found_everywhere_and_refused_in_names() {
    let lines = at_least(15, corpus!("template"));
    assert_found(Class::Template, &[Field::Name, Field::Text], &lines);
    assert_refused(&[Field::Name, Field::Email, Field::Username], &lines);
}

#[test]
fn a_hidden_attack_is_found_to_be_hidden() {
    let lines = at_least(15, corpus!("encoding"));
    assert_found(Class::Encoding, &[Field::Name, Field::Text], &lines);
    assert_refused(&[Field::Name, Field::Email, Field::Username], &lines);
}

#[test]
fn each_limit_of_length_holds_to_the_character() {
    let field = |line: &str| -> (Field, String) {
        let (field, input) = line.split_once(' ').expect("field and input");
        (serde_json::from_value(field.into()).expect("a field"), input.to_owned())
    };
    for line in at_least(15, corpus!("length")) {
        let (field, input) = field(&line);
        let result = sanitise(field, Policy::Clean, &input);
        assert!(result.has(Class::Length), "{line}: {:?}", result.findings);
        assert_eq!(result.decision, Decision::Reject, "{line}");
    }
    for line in texts(corpus!("length_fits")) {
        let (field, input) = field(&line);
        let result = sanitise(field, Policy::Clean, &input);
        assert_eq!((result.decision, result.findings), (Decision::Accept, vec![]), "{line}");
    }
}

#[test]
fn names_of_many_scripts_pass_without_a_finding() {
    assert_passes(Field::Name, Policy::Reject, &at_least(100, corpus!("benign_name")), true);
}

#[test]
fn ordinary_prose_passes_without_a_finding() {
    let lines = at_least(75, corpus!("benign_prose"));
    assert_passes(Field::Text, Policy::Reject, &lines, true);
    assert_passes(Field::Metadata, Policy::Reject, &lines, true);
}

#[test]
fn code_is_text_like_any_other() {
    let lines = at_least(35, corpus!("benign_code"));
    for policy in [Policy::Off, Policy::Monitor, Policy::Clean, Policy::Reject] {
        assert_passes(Field::Text, policy, &lines, false);
    }
}

#[test]
fn attacks_are_text_like_any_other() {
    for file in [corpus!("sql_injection"), corpus!("template"), corpus!("path_traversal")] {
        let storable: Vec<String> = texts(file).into_iter().filter(|line| !line.contains('\0')).collect();
        assert_passes(Field::Text, Policy::Reject, &storable, false);
    }
}

#[test]
fn what_is_well_formed_passes_as_its_field() {
    let silent = true;
    assert_passes(Field::Email, Policy::Reject, &at_least(20, corpus!("benign_email")), silent);
    assert_passes(Field::Path, Policy::Reject, &at_least(20, corpus!("benign_path")), silent);
    assert_passes(Field::Redirect, Policy::Reject, &at_least(15, corpus!("benign_redirect")), silent);
    assert_passes(Field::Phone, Policy::Reject, &at_least(4, corpus!("benign_phone")), silent);
    assert_passes(Field::Username, Policy::Reject, &at_least(20, corpus!("benign_username")), silent);
}
