//! There and back again: implicit, under PKCE, with each provider, and everything that can go wrong on the way.

use serde_json::{Value, json};

use super::{CHALLENGE, SITE, VERIFIER, World, ada};
use crate::harness::CLIENT;

#[tokio::test]
async fn a_user_comes_back_with_tokens_of_ours_and_of_the_provider_in_the_fragment() {
    let world = World::start(&[]).await;

    let landing = world.go(&format!("/authorize?provider=google&redirect_to={SITE}&scopes=calendar")).await;

    assert!(landing.url.as_str().starts_with(&format!("{SITE}#")), "{}", landing.url);
    assert_eq!(landing.url.query(), None);
    let field = |name: &str| landing.fragment(name).unwrap_or_default();
    assert_eq!((field("token_type"), field("expires_in")), ("bearer".to_owned(), "3600".to_owned()));
    assert_eq!(field("provider_token"), "provider-access");
    assert_eq!(field("provider_refresh_token"), "provider-refresh");
    assert!(!field("refresh_token").is_empty() && !field("expires_at").is_empty());
    let user = world.user(&field("access_token")).await;
    assert_eq!(user["email"], "ada@example.com");
    assert!(user["email_confirmed_at"].is_string());
    assert_eq!(user["app_metadata"], json!({"provider": "google", "providers": ["google"]}));
    assert_eq!(user["user_metadata"]["full_name"], "Ada Lovelace");
    let [identity] = user["identities"].as_array().unwrap().as_slice() else { panic!("{user}") };
    assert_eq!((&identity["provider"], &identity["id"]), (&json!("google"), &json!("ada-1")));
    assert_eq!(identity["identity_data"]["email_verified"], true);
}

#[tokio::test]
async fn the_request_to_the_provider_is_ours_whatever_the_caller_adds() {
    let world = World::start(&[]).await;
    let query = "provider=google&scopes=calendar%20contacts&prompt=consent&login_hint=ada&client_id=evil\
        &redirect_uri=https%3A%2F%2Fevil.example&state=mine&nonce=mine&response_type=token&response_mode=fragment\
        &code_challenge_method=plain&code_challenge=&scope=everything&request_uri=https%3A%2F%2Fevil.example&apikey=k";

    let landing = world.go(&format!("/authorize?{query}").replace("code_challenge_method=plain&", "")).await;

    let asked = &landing.trail[1];
    let all = |name: &str| -> Vec<String> {
        asked.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value.into_owned()).collect()
    };
    assert_eq!(all("client_id"), [CLIENT.0]);
    assert!(all("redirect_uri")[0].ends_with("/auth/v1/callback"), "{asked}");
    assert_eq!(all("response_type"), ["code"]);
    assert_eq!(all("scope"), ["openid email profile calendar contacts"]);
    assert_eq!(all("code_challenge_method"), ["S256"]);
    assert_eq!((all("prompt"), all("login_hint")), (vec!["consent".to_owned()], vec!["ada".to_owned()]));
    for name in ["redirect_uri", "state", "nonce", "code_challenge"] {
        assert_eq!(all(name).len(), 1, "{name} in {asked}");
    }
    for name in ["request_uri", "response_mode", "apikey", "provider", "scopes"] {
        assert!(all(name).is_empty(), "{name} in {asked}");
    }
    assert_ne!(all("state"), ["mine"]);
    assert_ne!(all("nonce"), ["mine"]);
}

#[tokio::test]
async fn under_pkce_a_code_comes_back_that_only_the_verifier_redeems_once() {
    let world = World::start(&[]).await;
    let start = format!(
        "/authorize?provider=google&redirect_to={SITE}&code_challenge={CHALLENGE}&code_challenge_method=s256"
    );

    let landing = world.go(&start).await;

    assert_eq!(landing.url.fragment(), None);
    let code = landing.query("code").unwrap();
    let stored = "select coalesce(auth_code, '') || coalesce(provider_access_token, '') || coalesce(provider_refresh_token, '')
        from auth.flow_state";
    let stored = world.app.database.value(stored).await;
    assert!(!stored.contains(&code) && !stored.contains("provider-"), "{stored}");
    assert!(stored.contains("gfv1."), "{stored}");
    let redeem = async |code: &str, verifier: &str| {
        let body = json!({"auth_code": code, "code_verifier": verifier});
        world.client().post("/auth/v1/token?grant_type=pkce", body).await
    };
    let session = redeem(&code, VERIFIER).await.expect_status(200).json();
    assert_eq!(session["provider_token"], "provider-access");
    assert_eq!(session["provider_refresh_token"], "provider-refresh");
    assert_eq!(session["user"]["email"], "ada@example.com");
    redeem(&code, VERIFIER).await.expect_error(404, "flow_state_not_found");
    let second = world.go(&start).await.query("code").unwrap();
    redeem(&second, &VERIFIER.to_lowercase()).await.expect_error(400, "bad_code_verifier");
    redeem(&second, VERIFIER).await.expect_error(404, "flow_state_not_found");
    assert_eq!(world.count("auth.flow_state").await, "0");
}

#[tokio::test]
async fn every_provider_signs_in_by_its_own_ways() {
    let world = World::start(&[]).await;
    let picture = json!({"data": {"url": "https://cdn.example.com/1.png"}});
    let emails = json!([
        {"email": "other@example.com", "primary": false, "verified": true},
        {"email": "github@example.com", "primary": true, "verified": true},
    ]);
    let users = [
        ("github", json!({"id": 583_231, "login": "ada", "name": "Ada", "email": "public@example.com"})),
        (
            "gitlab",
            json!({"id": 7, "username": "ada", "name": "Ada", "email": "gitlab@example.com", "confirmed_at": "2020-01-01"}),
        ),
        (
            "discord",
            json!({"id": "80351110224678912", "username": "ada", "email": "discord@example.com", "verified": true}),
        ),
        (
            "facebook",
            json!({"id": "101", "name": "Ada Lovelace", "email": "facebook@example.com", "picture": picture}),
        ),
    ];
    world.provider.rule(|rules| rules.emails = emails);
    for (name, user) in users {
        world.provider.rule(|rules| rules.user = user.clone());
        let token = world.sign_in(name).await.unwrap_or_else(|landing| panic!("{name}: {landing:?}"));
        let shown = world.user(&token).await;
        assert_eq!(shown["email"], format!("{name}@example.com"), "{name}");
        assert_eq!(shown["app_metadata"]["provider"], name);
        let id = user["id"].as_str().map_or_else(|| user["id"].to_string(), str::to_owned);
        assert_eq!(shown["identities"][0]["id"], id, "{name}");
        assert!(shown["user_metadata"]["full_name"].is_string(), "{name}: {shown}");
    }
    for name in ["google", "custom"] {
        world
            .provider
            .user(json!({"sub": name, "email": format!("{name}@example.com"), "email_verified": true}));
        world.provider.rule(|rules| rules.user = json!({"sub": name, "name": "From Userinfo"}));
        let shown = world.user(&world.sign_in(name).await.unwrap()).await;
        assert_eq!(shown["email"], format!("{name}@example.com"));
        assert_eq!(shown["user_metadata"]["name"], "From Userinfo");
    }
}

#[tokio::test]
async fn apple_posts_its_answer_and_tells_the_name_once() {
    let world = World::start(&[]).await;
    let claims = json!({"sub": "001.apple", "email": "relay@privaterelay.example", "email_verified": "true"});
    world.provider.user(claims);

    let landing = world.go("/authorize?provider=apple").await;

    assert_eq!(
        landing.trail[1].query_pairs().find(|(name, _)| name == "response_mode").unwrap().1,
        "form_post"
    );
    let user = world.user(&landing.fragment("access_token").unwrap()).await;
    assert_eq!(user["user_metadata"]["full_name"], "Ada Lovelace");
    assert_eq!(user["email"], "relay@privaterelay.example");
}

#[tokio::test]
async fn microsoft_is_any_tenant_that_is_allowed_and_only_owned_domains_are_verified() {
    const TENANT: &str = "9122040d-6c67-4c5b-b112-36a304b66dad";
    let external = json!({"azure": {
        "client_id": CLIENT.0, "client_secret": CLIENT.1, "url": "PROVIDER/common", "tenants": [TENANT],
    }});
    let world = World::start(&[("auth.external", &external.to_string())]).await;
    let template = format!("{}/{{tenantid}}/v2.0", world.provider.url());
    world.provider.rule(|rules| rules.issuer = Some(template.clone()));
    let of = |tenant: &str, owned: Value| {
        json!({"sub": "a", "tid": tenant, "iss": template.replace("{tenantid}", tenant), "email": "ada@example.com",
            "name": "Ada", "email_verified": true, "xms_edov": owned})
    };

    world.provider.user(of("11111111-6c67-4c5b-b112-36a304b66dad", json!(true)));
    let foreign = world.sign_in("azure").await.unwrap_err();
    assert_eq!(foreign.query("error").as_deref(), Some("server_error"));
    world.provider.user(of(TENANT, Value::Null));
    let unverified = world.sign_in("azure").await.unwrap_err();
    assert_eq!(unverified.query("error_code").as_deref(), Some("provider_email_needs_verification"));
    world.provider.user(of(TENANT, json!(true)));
    let user = world.user(&world.sign_in("azure").await.unwrap()).await;
    assert_eq!(user["email"], "ada@example.com");
}

#[tokio::test]
async fn d06_a_callback_counts_once_and_only_for_a_flow_of_ours() {
    let world = World::start(&[]).await;
    for (query, code) in [
        ("code=x", "bad_oauth_callback"),
        ("code=x&state=", "bad_oauth_callback"),
        ("code=x&state=nonsense", "bad_oauth_state"),
        ("code=x&state=8c3e1ac9-9d0b-4a1a-9f5e-6a0f6e1f2b3c", "bad_oauth_state"),
    ] {
        world.client().get(&format!("/auth/v1/callback?{query}")).await.expect_error(400, code);
    }
    let landing = world.go("/authorize?provider=google").await;
    let again = landing.trail.last().unwrap();
    let path = format!("{}?{}", again.path(), again.query().unwrap());
    world.client().get(&path).await.expect_error(400, "bad_oauth_state");

    let started = world.browser.open(&world.url("/authorize?provider=google")).await;
    let asked = started.headers()["location"].to_str().unwrap().to_owned();
    let returned = world.browser.open(&asked).await.headers()["location"].to_str().unwrap().to_owned();
    let attempts = (0..50).map(|_| world.browser.open(&returned));
    let answers = futures_util::future::join_all(attempts).await;
    let signed_in = answers.iter().filter(|answer| answer.status() == 302).count();
    assert_eq!(signed_in, 1, "of 50 at the same time");
    // A request whose turn does not come in time is a 503.
    assert!(answers.iter().all(|answer| matches!(answer.status().as_u16(), 302 | 400 | 503)));
    assert!(answers.iter().any(|answer| answer.status() == 400));
}

#[tokio::test]
async fn d06_a_code_that_was_stolen_or_made_up_is_worth_nothing_in_another_flow() {
    let world = World::start(&[]).await;
    let start = async || {
        let answer = world.browser.open(&world.url("/authorize?provider=google")).await;
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    let victims = world.browser.open(&start().await).await;
    let victims = victims.headers()["location"].to_str().unwrap().to_owned();
    let state = |address: &str| address.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    // The attacker's own flow with the victim's code: the provider sees another verifier.
    let injected = victims.replace(&state(&victims), &state(&start().await));

    let landing = world.follow(&injected).await;

    assert_eq!(landing.fragment("access_token"), None);
    assert_eq!(landing.query("error").as_deref(), Some("server_error"));
    assert_eq!(world.count("auth.users").await, "0");
}

#[tokio::test]
async fn errors_come_back_in_the_query_and_in_the_fragment() {
    let world = World::start(&[]).await;
    world.provider.rule(|rules| rules.refuses = true);

    let landing = world.go(&format!("/authorize?provider=google&redirect_to={SITE}")).await;

    for name in ["error", "error_code", "error_description"] {
        assert_eq!(landing.query(name), landing.fragment(name), "{}", landing.url);
    }
    assert_eq!(landing.query("error").as_deref(), Some("access_denied"));
    assert_eq!(landing.query("error_description").as_deref(), Some("The user said no"));
    assert_eq!(landing.fragment("sb").as_deref(), Some(""));
}

#[tokio::test]
async fn a_provider_that_is_not_configured_is_refused() {
    let world = World::start(&[]).await;
    for query in ["provider=bitbucket", "provider=email", "", "provider=Google"] {
        let answer = world.client().get(&format!("/auth/v1/authorize?{query}")).await;
        answer.expect_error(400, "validation_failed");
    }
    let settings = world.client().get("/auth/v1/settings").await.json();
    assert_eq!(settings["external"]["google"], true);
    assert_eq!(settings["external"]["custom"], true);
    assert_eq!(settings["external"]["bitbucket"], false);
}

#[tokio::test]
async fn a_tampered_id_token_signs_nobody_in() {
    let world = World::start(&[]).await;
    for forged in [
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"aud": "another"}),
        json!({"iss": "https://evil.example"}),
        json!({"exp": 1}),
        json!({"sub": ""}),
        json!({"at_hash": "another"}),
    ] {
        world.provider.rule(|rules| rules.forged = forged.clone());
        let landing = world.sign_in("google").await.unwrap_err();
        assert_eq!(landing.query("error").as_deref(), Some("server_error"), "{forged}");
    }
    assert_eq!(world.count("auth.users").await, "0");
}

#[tokio::test]
async fn a_banned_user_and_a_closed_server_answer_access_denied() {
    let world = World::start(&[]).await;
    world.sign_in("google").await.unwrap();
    world.app.database.run("update auth.users set banned_until = now() + interval '1 hour'").await;
    let banned = world.sign_in("google").await.unwrap_err();
    assert_eq!(banned.query("error").as_deref(), Some("access_denied"));
    assert_eq!(banned.query("error_code").as_deref(), Some("user_banned"));

    let closed = World::start(&[("auth.signup", "false")]).await;
    let refused = closed.sign_in("google").await.unwrap_err();
    assert_eq!(refused.query("error").as_deref(), Some("access_denied"));
    assert_eq!(refused.query("error_code").as_deref(), Some("signup_disabled"));
    assert_eq!(closed.count("auth.users").await, "0");
}

#[tokio::test]
async fn a_blocked_domain_is_blocked_here_too() {
    let world = World::start(&[]).await;
    let block = "insert into goforward.auth_blocklist (kind, value) values ('email_domains', 'example.com')";
    world.app.database.run(block).await;

    let refused = world.sign_in("google").await.unwrap_err();

    assert_eq!(refused.query("error_code").as_deref(), Some("signup_blocked"));
}

#[tokio::test]
async fn a_user_without_an_address_needs_the_providers_leave() {
    let nameless = json!({"sub": "no-address", "name": "Nobody"});
    let world = World::start(&[]).await;
    world.provider.user(nameless.clone());
    world.provider.rule(|rules| rules.user = nameless.clone());
    let refused = world.sign_in("google").await.unwrap_err();
    assert_eq!(refused.query("error_code").as_deref(), Some("email_address_not_provided"));

    let external = json!({"google": {
        "client_id": CLIENT.0, "client_secret": CLIENT.1, "url": "PROVIDER", "email_optional": true,
    }});
    let world = World::start(&[("auth.external", &external.to_string())]).await;
    world.provider.user(nameless.clone());
    world.provider.rule(|rules| rules.user = nameless);
    let user = world.user(&world.sign_in("google").await.unwrap()).await;
    assert_eq!(user["email"], "");
}

#[tokio::test]
async fn d04_claims_never_set_address_role_or_what_the_server_says() {
    let world = World::start(&[]).await;
    let mut claims = ada();
    for (name, value) in [
        ("role", json!("service_role")),
        ("app_metadata", json!({"role": "admin"})),
        ("app_roles", json!(["admin"])),
        ("is_super_admin", json!(true)),
        ("phone", json!("4911111111")),
        ("aud", json!(CLIENT.0)),
    ] {
        claims[name] = value;
    }
    world.provider.user(claims.clone());
    let first = world.user(&world.sign_in("google").await.unwrap()).await;
    claims["email"] = json!("another@example.com");
    claims["name"] = json!("Ada King");
    world.provider.user(claims);

    let user = world.user(&world.sign_in("google").await.unwrap()).await;

    assert_eq!(user["id"], first["id"]);
    assert_eq!(user["email"], "ada@example.com", "the account's address is not the provider's to change");
    assert_eq!((&user["role"], &user["phone"]), (&json!("authenticated"), &json!("")));
    assert_eq!(user["app_metadata"], json!({"provider": "google", "providers": ["google"]}));
    assert_eq!(user["user_metadata"]["full_name"], "Ada King");
    for name in ["role", "app_metadata", "app_roles", "is_super_admin", "email", "phone"] {
        assert_eq!(user["user_metadata"][name], Value::Null, "{name}");
    }
}
