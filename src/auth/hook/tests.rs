//! The wire's forms, and what a hook may do to claims.

mod http;

use serde_json::json;

use super::*;

fn before() -> Map<String, Value> {
    let claims = json!({
        "iss": "https://a.example/auth/v1", "sub": "u1", "aud": "authenticated", "exp": 3600, "iat": 0,
        "email": "", "phone": "", "role": "authenticated", "aal": "aal1", "session_id": "s1", "is_anonymous": false,
        "app_metadata": {}, "amr": []
    });
    claims.as_object().unwrap().clone()
}

fn check(changes: &Value, allowed: &[&str]) -> Result<Map<String, Value>, ClaimsError> {
    let mut after = before();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(after.shift_remove(name)),
            value => drop(after.insert(name.clone(), value.clone())),
        }
    }
    check_claims(&before(), after, &allowed.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[test]
fn a_hook_may_add_claims_and_lower_rights() {
    for changes in [
        json!({}),
        json!({"tenant": "t1", "app_metadata": {"plan": "pro"}}),
        json!({"app_metadata": null, "amr": null}),
        json!({"aud": ["authenticated", "other"]}),
        json!({"exp": 60}),
        json!({"role": "editor"}),
    ] {
        let after = check(&changes, &["editor"]).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            assert_eq!(after.get(name).unwrap_or(&Value::Null), value, "{changes}");
        }
    }
}

#[test]
fn every_required_claim_must_be_left_and_keep_its_type() {
    let required =
        ["aud", "exp", "iat", "sub", "email", "phone", "role", "aal", "session_id", "is_anonymous"];
    for name in required {
        for value in [Value::Null, json!({}), json!([])] {
            assert_eq!(check(&json!({name: value}), &[]), Err(ClaimsError::Required(name)), "{name} {value}");
        }
    }
    assert_eq!(check(&json!({"exp": "3600"}), &[]), Err(ClaimsError::Required("exp")));
    assert_eq!(check(&json!({"exp": 1.5}), &[]), Err(ClaimsError::Required("exp")));
}

/// Threats A11 and J04.
#[test]
fn a_hook_cannot_choose_a_role_that_nobody_allowed() {
    for role in [
        "postgres",
        "service_role",
        "authenticator",
        "supabase_admin",
        "Editor",
        "editor ",
        "",
        "anon",
        "pg_read_all_data",
    ] {
        assert_eq!(check(&json!({"role": role}), &["editor"]), Err(ClaimsError::Role), "{role:?}");
    }
}

/// Threat J04.
#[test]
fn a_hook_cannot_strengthen_or_exchange_the_session() {
    for (changes, error) in [
        (json!({"sub": "u2"}), ClaimsError::Fixed("sub")),
        (json!({"session_id": "s2"}), ClaimsError::Fixed("session_id")),
        (json!({"iss": "https://b.example"}), ClaimsError::Fixed("iss")),
        (json!({"iss": null}), ClaimsError::Fixed("iss")),
        (json!({"iat": 1}), ClaimsError::Fixed("iat")),
        (json!({"exp": 3601}), ClaimsError::Lifetime("exp")),
        (json!({"aal": "aal2"}), ClaimsError::Aal),
        (json!({"aal": "aal3"}), ClaimsError::Aal),
    ] {
        assert_eq!(check(&changes, &[]), Err(error), "{changes}");
    }
}

#[test]
fn the_inputs_have_the_form_of_the_wire() {
    let name = HookName::BeforeUserCreated;
    let metadata = HookMetadata::new("id1".to_owned(), 1_700_000_000, name, Some("192.0.2.1".to_owned()));
    let input = UserCreatedInput { metadata, user: json!({"id": "u1"}) };
    assert_eq!(
        serde_json::to_value(&input).unwrap(),
        json!({
            "metadata": {
                "uuid": "id1", "time": "2023-11-14T22:13:20Z", "name": "before-user-created",
                "ip_address": "192.0.2.1"
            },
            "user": {"id": "u1"}
        })
    );
    let input = CustomAccessTokenInput {
        metadata: None,
        user_id: "u1".to_owned(),
        claims: Map::new(),
        authentication_method: "password".to_owned(),
    };
    assert_eq!(
        serde_json::to_value(&input).unwrap(),
        json!({"user_id": "u1", "claims": {}, "authentication_method": "password"})
    );
    let sms = SmsData { otp: "123456".to_owned(), sms_type: "sms".to_owned(), phone: None };
    let input = SendSmsInput { metadata: None, user: json!({}), sms };
    assert_eq!(
        serde_json::to_value(&input).unwrap(),
        json!({"user": {}, "sms": {"otp": "123456", "sms_type": "sms"}})
    );
}

#[test]
fn a_verification_hook_decides_in_the_words_of_the_wire() {
    let read = |body: &str| read_reply::<VerificationOutput>(body.as_bytes());
    let go_on = read(r#"{"decision":"continue"}"#).unwrap();
    assert_eq!((go_on.decision, go_on.message, go_on.should_logout_user), (Decision::Continue, None, false));
    let reject = read(r#"{"decision":"reject","message":"no","should_logout_user":true}"#).unwrap();
    assert_eq!((reject.decision, reject.should_logout_user), (Decision::Reject, true));
    for bad in ["{}", "", r#"{"decision":"accept"}"#, r#"{"decision":"CONTINUE"}"#, r#"{"decision":null}"#] {
        assert!(matches!(read(bad), Err(HookError::Payload(_))), "{bad}");
    }
}

#[test]
fn a_long_message_of_a_hook_is_cut() {
    let body = json!({"error": {"http_code": 422, "message": "é".repeat(5000)}}).to_string();
    let error = read_reply::<EmptyOutput>(body.as_bytes()).unwrap_err();
    assert_eq!(error.to_string().chars().count(), 1000);
}
