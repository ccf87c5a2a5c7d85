//! The grant for apps that bring an ID token of their own (contract section 4).

use serde_json::{Value, json};

use super::{World, ada};
use crate::harness::{Answer, CLIENT, KeysRule};

impl World {
    async fn by_id_token(&self, body: Value) -> Answer {
        self.client().post("/auth/v1/token?grant_type=id_token", body).await
    }

    /// The user's token with these claims over the right ones.
    async fn with_claims(&self, forged: &Value) -> Answer {
        let token = self.provider.id_token(forged);
        self.by_id_token(json!({"provider": "google", "id_token": token})).await
    }
}

/// In the shape of OAuth.
fn refused(answer: Answer, error: &str) {
    let answer = answer.expect_status(400);
    assert_eq!(answer.json()["error"], error, "{}", answer.text());
    assert!(answer.json()["error_description"].is_string());
}

#[tokio::test]
async fn a_token_of_the_provider_signs_its_user_in() {
    let world = World::start(&[]).await;

    let session = world.with_claims(&json!({})).await.expect_status(200).json();

    assert_eq!(session["user"]["email"], "ada@example.com");
    assert_eq!(session["user"]["app_metadata"]["provider"], "google");
    let by_browser = world.user(&world.sign_in("google").await.unwrap()).await;
    assert_eq!(by_browser["id"], session["user"]["id"]);
    let by_issuer = json!({
        "issue_api_key": true, "id_token": world.provider.id_token(&json!({"aud": "our-app"})),
        "issuer": world.provider.url(), "client_id": "our-app",
    });
    let with_key = world.by_id_token(by_issuer).await.expect_status(200).json();
    assert!(with_key["api_key"].as_str().unwrap().starts_with("gf_session_"));
    assert_eq!(session.get("api_key"), None);
}

#[tokio::test]
async fn d01_only_the_configured_issuer_and_its_keys_count() {
    let world = World::start(&[]).await;
    let attacker = crate::harness::FakeProvider::start(ada()).await;
    let own = attacker.id_token(&json!({}));
    let disguised = attacker.id_token(&json!({"iss": world.provider.url()}));
    for provider in ["google", "apple", "custom", "facebook"] {
        for token in [&own, &disguised] {
            refused(
                world.by_id_token(json!({"provider": provider, "id_token": token})).await,
                "invalid_grant",
            );
        }
    }
    let named = json!({"id_token": own, "issuer": attacker.url(), "client_id": CLIENT.0});
    world.by_id_token(named).await.expect_error(400, "provider_disabled");
    let mixed = json!({"id_token": own, "issuer": world.provider.url(), "client_id": CLIENT.0});
    refused(world.by_id_token(mixed).await, "invalid_grant");
    assert!(attacker.requests().is_empty(), "an issuer of an attacker's choice was asked");
    assert_eq!(world.count("auth.users").await, "0");
}

#[tokio::test]
async fn d02_a_token_of_another_application_counts_for_nothing() {
    let world = World::start(&[]).await;
    for forged in [
        json!({"aud": "another"}),
        json!({"aud": ["another"]}),
        json!({"aud": null}),
        json!({"aud": [CLIENT.0, "another"]}),
        json!({"aud": CLIENT.0, "azp": "another"}),
        json!({"aud": [CLIENT.0, "another"], "azp": "another"}),
    ] {
        refused(world.with_claims(&forged).await, "invalid_grant");
    }
    for right in [
        json!({"aud": "our-app"}),
        json!({"aud": [CLIENT.0]}),
        json!({"aud": [CLIENT.0, "another"], "azp": CLIENT.0}),
        json!({"aud": CLIENT.0, "azp": "our-app"}),
    ] {
        world.with_claims(&right).await.expect_status(200);
    }
}

#[tokio::test]
async fn tokens_out_of_time_out_of_shape_or_out_of_thin_air_are_refused() {
    let world = World::start(&[]).await;
    for forged in [
        json!({"exp": 1}),
        json!({"exp": null}),
        json!({"iat": null}),
        json!({"iat": 99_999_999_999_i64}),
        json!({"nbf": 99_999_999_999_i64}),
        json!({"sub": null}),
        json!({"sub": ""}),
    ] {
        refused(world.with_claims(&forged).await, "invalid_grant");
    }
    let right = world.provider.id_token(&json!({}));
    let (message, signature) = right.rsplit_once('.').unwrap();
    let claims = message.split_once('.').unwrap().1;
    let none = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let confused = format!("eyJhbGciOiJIUzI1NiJ9.{claims}.{signature}");
    for token in ["x", "a.b.c", &none, &confused, message, &format!("{message}.AAAA")] {
        refused(world.by_id_token(json!({"provider": "google", "id_token": token})).await, "invalid_grant");
    }
    refused(world.by_id_token(json!({"provider": "google"})).await, "invalid_request");
    refused(world.by_id_token(json!({"id_token": right})).await, "invalid_request");
    world
        .by_id_token(json!({"provider": "bitbucket", "id_token": right}))
        .await
        .expect_error(400, "provider_disabled");
    // GitHub has no such tokens.
    refused(world.by_id_token(json!({"provider": "github", "id_token": right})).await, "invalid_grant");
}

#[tokio::test]
async fn a_nonce_is_told_raw_and_held_hashed_by_both_or_neither() {
    let world = World::start(&[]).await;
    // The SHA-256 of `abc` (FIPS 180-2, appendix B.1).
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for (held, told, status) in [
        (json!(hash), json!("abc"), 200),
        (Value::Null, Value::Null, 200),
        (json!(hash), json!("abd"), 400),
        (json!(hash), json!(hash), 400),
        (json!("abc"), json!("abc"), 400),
        (json!(hash), Value::Null, 400),
        (Value::Null, json!("abc"), 400),
    ] {
        let token = world.provider.id_token(&json!({"nonce": held}));
        let body = json!({"provider": "google", "id_token": token, "nonce": told});
        assert_eq!(world.by_id_token(body).await.status, status, "{held} {told}");
    }
}

#[tokio::test]
async fn an_access_token_must_be_the_one_of_the_id_token() {
    let world = World::start(&[]).await;
    // The example of OpenID Connect Core 1.0, appendix A.4.
    let (access, hash) = ("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ");
    let token = world.provider.id_token(&json!({"at_hash": hash}));
    for (given, status) in [(json!(access), 200), (Value::Null, 200), (json!("another"), 400)] {
        let body = json!({"provider": "google", "id_token": token, "access_token": given});
        assert_eq!(world.by_id_token(body).await.status, status, "{given}");
    }
}

#[tokio::test]
async fn j06_keys_that_cannot_be_fetched_any_more_count_on_and_are_not_asked_for_again_and_again() {
    let world = World::start(&[]).await;
    world.with_claims(&json!({})).await.expect_status(200);
    world.provider.rule(|rules| rules.keys = KeysRule::Down);
    world.with_claims(&json!({})).await.expect_status(200);
    world.provider.rotate("second");
    for _ in 0..20 {
        refused(world.with_claims(&json!({})).await, "invalid_grant");
    }
    assert!(world.provider.key_requests() <= 2, "{} requests for keys", world.provider.key_requests());
}

#[tokio::test]
async fn j06_ten_megabytes_of_keys_are_not_read() {
    let world = World::start(&[]).await;
    world.provider.rule(|rules| rules.keys = KeysRule::Huge);

    let answer = world.with_claims(&json!({})).await;

    answer.expect_error(503, "service_unavailable");
    assert_eq!(world.count("auth.users").await, "0");
}

#[tokio::test]
async fn an_identity_is_linked_to_who_is_signed_in() {
    let world = World::start(&[]).await;
    let token = world.sign_in("google").await.unwrap();
    world.provider.user(json!({"sub": "work", "email": "work@example.com", "email_verified": true}));
    let body = json!({
        "provider": "custom", "id_token": world.provider.id_token(&json!({})), "link_identity": true,
    });

    let session = world
        .bearer(&token)
        .post("/auth/v1/token?grant_type=id_token", body.clone())
        .await
        .expect_status(200);

    assert_eq!(session.json()["user"]["app_metadata"]["providers"], json!(["google", "custom"]));
    world.by_id_token(body.clone()).await.expect_status(403);
    let again = world.bearer(&token).post("/auth/v1/token?grant_type=id_token", body).await;
    again.expect_error(422, "identity_already_exists");
}

#[tokio::test]
async fn d05_an_unverified_address_is_confirmed_by_mail_first_here_too() {
    let world = World::start(&[]).await;

    let answer = world.with_claims(&json!({"email_verified": false})).await;

    answer.expect_error(422, "provider_email_needs_verification");
    assert_eq!(world.count("auth.users where email_confirmed_at is null").await, "1");
}
