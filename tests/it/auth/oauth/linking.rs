//! Which account an identity belongs to, and linking and unlinking by the user.

use serde_json::{Value, json};

use super::{CHALLENGE, SITE, VERIFIER, World, ada};
use crate::auth::{about, link as mailed_link, message};
use crate::harness::eventually;

/// The token in the newest mail to an address.
async fn mailed_token(world: &World, to: &str) -> String {
    let mut found = String::new();
    eventually("a mail", async || {
        let mails =
            world.client().header("accept", "application/json").get(&format!("/dev/mail?to={to}")).await;
        let text = mails.json()[0]["text"].as_str().unwrap_or_default().to_owned();
        let token = text.split("token=").nth(1).unwrap_or_default();
        found = token.chars().take_while(char::is_ascii_alphanumeric).collect();
        !found.is_empty()
    })
    .await;
    found
}

async fn confirm(world: &World, email: &str) -> Value {
    let body = json!({"type": "signup", "token_hash": mailed_token(world, email).await});
    world.client().post("/auth/v1/verify", body).await.expect_status(200).json()
}

#[tokio::test]
async fn a_verified_address_joins_the_confirmed_account_that_has_it() {
    let world = World::start(&[]).await;
    world.sign_up("ada@example.com").await.expect_status(200);
    let own = confirm(&world, "ada@example.com").await;

    let user = world.user(&world.sign_in("google").await.unwrap()).await;

    assert_eq!(user["id"], own["user"]["id"]);
    assert_eq!(user["app_metadata"], json!({"provider": "email", "providers": ["email", "google"]}));
    message(&world.app, "ada@example.com", about("A login was added to your account")).await;
    world.sign_in_by_password("ada@example.com").await.expect_status(200);
    world.bearer(own["access_token"].as_str().unwrap()).get("/auth/v1/user").await.expect_status(200);
}

#[tokio::test]
async fn d03_whoever_signed_up_with_somebody_elses_address_has_nothing_left_in_the_account() {
    let world = World::start(&[]).await;
    world.sign_up("ada@example.com").await.expect_status(200);
    // The most that an attacker may have got into an account that was never confirmed.
    world
        .app
        .database
        .run(
            "insert into auth.sessions (id, user_id, created_at, aal) select gen_random_uuid(), id, now(), 'aal1' from auth.users;
             insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at, secret)
                 select gen_random_uuid(), id, 'totp', 'verified', now(), now(), 'x' from auth.users;
             insert into auth.identities (user_id, provider, provider_id, identity_data)
                 select id, 'discord', 'attacker', '{}' from auth.users;
             update auth.users set phone = '4911111111', email_change = 'evil@example.com';",
        )
        .await;

    let user = world.user(&world.sign_in("google").await.unwrap()).await;

    assert_eq!(user["identities"].as_array().unwrap().len(), 1);
    assert_eq!(user["app_metadata"], json!({"provider": "google", "providers": ["google"]}));
    assert_eq!(
        (&user["factors"], &user["new_email"], &user["phone"]),
        (&Value::Null, &Value::Null, &json!(""))
    );
    world.sign_in_by_password("ada@example.com").await.expect_error(400, "invalid_credentials");
    assert_eq!(world.count("auth.sessions").await, "1", "the victim's own");
    assert_eq!(world.count("auth.one_time_tokens").await, "0");
    world
        .provider
        .rule(|rules| rules.user = json!({"id": "attacker", "email": "evil@example.com", "verified": true}));
    let attacker = world.user(&world.sign_in("discord").await.unwrap()).await;
    assert_ne!(attacker["id"], user["id"]);
}

#[tokio::test]
async fn d03_an_account_that_somebody_confirmed_by_number_keeps_it_and_gives_up_the_address() {
    let world = World::start(&[]).await;
    world.sign_up("ada@example.com").await.expect_status(200);
    let by_number = "update auth.users set phone = '4911111111', phone_confirmed_at = now()";
    world.app.database.run(by_number).await;

    let user = world.user(&world.sign_in("google").await.unwrap()).await;

    assert_eq!((&user["email"], &user["phone"]), (&json!("ada@example.com"), &json!("")));
    assert_eq!(world.count("auth.users where phone is not null and email is null").await, "1");
}

#[tokio::test]
async fn d03_a_link_to_recover_an_account_that_was_never_confirmed_takes_away_what_others_put_there() {
    let world = World::start(&[("auth.email.resend_after", "0s")]).await;
    let mut claims = ada();
    claims["email_verified"] = json!(false);
    world.provider.user(claims);
    world.sign_in("google").await.unwrap_err();
    world.client().post("/auth/v1/recover", json!({"email": "ada@example.com"})).await.expect_status(200);
    let is_recovery = |mail: &Value| mail["text"].as_str().unwrap().contains("type=recovery");
    let mail = message(&world.app, "ada@example.com", is_recovery).await;

    world.browser.open(&format!("{}{}", world.app.server.url(), mailed_link(&mail))).await;

    assert_eq!(world.count("auth.users where email_confirmed_at is not null").await, "1");
    assert_eq!(world.count("auth.identities where provider <> 'email'").await, "0");
    let attacker = world.sign_in("google").await.unwrap_err();
    assert_eq!(attacker.query("error_code").as_deref(), Some("provider_email_needs_verification"));
}

#[tokio::test]
async fn d05_an_unverified_address_never_joins_and_is_confirmed_by_mail_first() {
    let world = World::start(&[]).await;
    world.sign_up("ada@example.com").await.expect_status(200);
    confirm(&world, "ada@example.com").await;
    for verified in [json!(false), json!("false"), Value::Null] {
        let mut claims = ada();
        claims["email_verified"] = verified.clone();
        world.provider.user(claims);
        let landing = world.sign_in("google").await.unwrap_err();
        assert_eq!(landing.query("error").as_deref(), Some("access_denied"), "{verified}");
        assert_eq!(landing.query("error_code").as_deref(), Some("provider_email_needs_verification"));
    }
    assert_eq!(world.count("auth.identities").await, "1");

    world
        .provider
        .user(json!({"sub": "new", "email": "new@example.com", "email_verified": false, "name": "New"}));
    let landing = world.sign_in("google").await.unwrap_err();
    assert_eq!(landing.query("error_code").as_deref(), Some("provider_email_needs_verification"));
    confirm(&world, "new@example.com").await;
    let user = world.user(&world.sign_in("google").await.unwrap()).await;
    assert_eq!(user["email"], "new@example.com");
}

#[tokio::test]
async fn many_first_sign_ins_at_the_same_time_make_one_account() {
    let world = World::start(&[]).await;

    let attempts = (0..10).map(|_| world.sign_in("google"));
    let tokens = futures_util::future::join_all(attempts).await;

    assert!(tokens.iter().all(Result::is_ok), "{tokens:?}");
    assert_eq!(world.count("auth.users").await, "1");
    assert_eq!(world.count("auth.identities").await, "1");
}

#[tokio::test]
async fn users_of_single_sign_on_are_never_joined() {
    let world = World::start(&[]).await;
    world
        .app
        .database
        .run(
            "insert into auth.users (id, instance_id, aud, role, email, email_confirmed_at, is_sso_user, created_at)
             values (gen_random_uuid(), '00000000-0000-0000-0000-000000000000', 'authenticated', 'authenticated',
                'ada@example.com', now(), true, now())",
        )
        .await;

    world.sign_in("google").await.unwrap();

    assert_eq!(world.count("auth.users where email = 'ada@example.com'").await, "2");
}

/// Starts linking; the address at the provider.
async fn link(world: &World, token: &str, provider: &str, rest: &str) -> String {
    let path =
        format!("/auth/v1/user/identities/authorize?provider={provider}&skip_http_redirect=true{rest}");
    let answer = world.bearer(token).get(&path).await.expect_status(200);
    answer.json()["url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_links_an_identity_whatever_its_address_and_unlinks_it() {
    let world = World::start(&[]).await;
    let token = world.sign_in("google").await.unwrap();
    let github = json!({"id": 5, "login": "ada"});
    let emails = json!([{"email": "work@example.com", "primary": true, "verified": true}]);
    world.provider.rule(|rules| (rules.user, rules.emails) = (github, emails));

    let rest = format!("&redirect_to={SITE}&code_challenge={CHALLENGE}&code_challenge_method=s256");
    let landing = world.follow(&link(&world, &token, "github", &rest).await).await;

    let body = json!({"auth_code": landing.query("code").unwrap(), "code_verifier": VERIFIER});
    let session = world.client().post("/auth/v1/token?grant_type=pkce", body).await.expect_status(200).json();
    let user = &session["user"];
    assert_eq!(user["email"], "ada@example.com");
    assert_eq!(user["app_metadata"], json!({"provider": "google", "providers": ["google", "github"]}));
    let again = world.follow(&link(&world, &token, "github", "").await).await;
    assert_eq!(again.query("error_code").as_deref(), Some("identity_already_exists"));

    let identities = user["identities"].as_array().unwrap();
    let of = |provider: &str| {
        let found = identities.iter().find(|identity| identity["provider"] == provider).unwrap();
        format!("/auth/v1/user/identities/{}", found["identity_id"].as_str().unwrap())
    };
    let client = world.bearer(&token);
    client.delete("/auth/v1/user/identities/not-an-id").await.expect_error(404, "validation_failed");
    let strange = "/auth/v1/user/identities/8c3e1ac9-9d0b-4a1a-9f5e-6a0f6e1f2b3c";
    client.delete(strange).await.expect_error(422, "identity_not_found");
    client.delete(&of("google")).await.expect_status(200).expect_json(&json!({}));
    client.delete(&of("github")).await.expect_error(422, "single_identity_not_deletable");
    let left = world.user(&token).await;
    assert_eq!(left["email"], "work@example.com", "the address of what is left");
    assert_eq!(left["app_metadata"], json!({"provider": "github", "providers": ["github"]}));
    let notice = message(&world.app, "ada@example.com", about("A login was added to your account")).await;
    assert!(notice["text"].as_str().unwrap().contains("with github"), "{notice}");
    message(&world.app, "ada@example.com", about("A login was removed from your account")).await;
}

#[tokio::test]
async fn d13_an_address_that_no_identity_confirms_any_more_is_not_confirmed() {
    let world = World::start(&[]).await;
    let token = world.sign_in("google").await.unwrap();
    world.provider.rule(|rules| {
        rules.user = json!({"id": "5", "username": "ada", "email": "other@example.com", "verified": false});
    });
    world.follow(&link(&world, &token, "discord", "").await).await;
    let user = world.user(&token).await;
    let google = user["identities"][0]["identity_id"].as_str().unwrap().to_owned();

    world.bearer(&token).delete(&format!("/auth/v1/user/identities/{google}")).await.expect_status(200);

    let left = world.user(&token).await;
    assert_eq!((&left["email"], &left["email_confirmed_at"]), (&json!("other@example.com"), &Value::Null));
    assert_eq!(left["user_metadata"]["email_verified"], false);
}

#[tokio::test]
async fn d13_an_address_of_another_account_is_not_taken_by_unlinking() {
    let world = World::start(&[]).await;
    world.sign_up("other@example.com").await.expect_status(200);
    let token = world.sign_in("google").await.unwrap();
    world.provider.rule(|rules| {
        rules.user = json!({"id": "5", "username": "ada", "email": "other@example.com", "verified": true});
    });
    world.follow(&link(&world, &token, "discord", "").await).await;
    let user = world.user(&token).await;
    let google = user["identities"][0]["identity_id"].as_str().unwrap();

    let answer = world.bearer(&token).delete(&format!("/auth/v1/user/identities/{google}")).await;

    answer.expect_error(422, "email_conflict_identity_not_deletable");
    assert_eq!(world.user(&token).await["identities"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_anonymous_user_who_links_an_identity_is_one_no_more() {
    let world = World::start(&[("auth.anonymous_users", "true")]).await;
    let session = world.client().post("/auth/v1/signup", json!({})).await.expect_status(200).json();
    let token = session["access_token"].as_str().unwrap();

    let landing = world.follow(&link(&world, token, "google", "").await).await;

    let user = world.user(&landing.fragment("access_token").unwrap()).await;
    assert_eq!(user["id"], session["user"]["id"]);
    assert_eq!((&user["is_anonymous"], &user["email"]), (&json!(false), &json!("ada@example.com")));
}

#[tokio::test]
async fn linking_needs_a_user_and_the_operators_leave() {
    let world = World::start(&[("auth.manual_linking", "false")]).await;
    let path = "/auth/v1/user/identities/authorize?provider=google&skip_http_redirect=true";
    let token = world.sign_in("google").await.unwrap();

    world.bearer(&token).get(path).await.expect_error(404, "manual_linking_disabled");
    world.client().get(path).await.expect_status(403);
}
