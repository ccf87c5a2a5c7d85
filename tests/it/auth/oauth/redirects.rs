//! Where a sign-in leads in the end, and what it tells on the way (threats D09, D10).

use reqwest::Url;
use url::form_urlencoded::byte_serialize;

use super::World;

/// Addresses that all mean some other place than they seem to, or no place at all.
const HOSTILE: [&str; 62] = [
    "https://evil.example",
    "https://evil.example/https://app.example.com",
    "https://evil.example?https://app.example.com",
    "https://evil.example#https://app.example.com",
    "https://app.example.com.evil.example/",
    "https://evilapp.example.com/",
    "https://sub.app.example.com/",
    "http://app.example.com/",
    "https://app.example.com:8443/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https://app.example.com@evil.example/",
    "https://app.example.com:443@evil.example/",
    "https://user:secret@app.example.com/",
    "https://@evil.example/",
    "https://app.example.com%40evil.example/",
    "https://evil.example%2f@app.example.com/",
    "https://app.example.com\\@evil.example/",
    "https://evil.example\\.app.example.com/",
    "https:\\\\evil.example\\",
    "https://app.example.com\\.evil.example",
    " https://evil.example/",
    "https://app.exa\tmple.com/",
    "https://evil\r\n.example/",
    "https://evil.example/\0",
    "java\nscript:alert(1)",
    "javascript:alert(1)",
    "JAVASCRIPT:alert(1)//https://app.example.com",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://app.example.com/1",
    "about:blank",
    "ftp://app.example.com/",
    "view-source:https://app.example.com",
    "intent://app.example.com#Intent;end",
    "com.evil.app://callback",
    "https://app.example.com./",
    "https://app%2eexample%2ecom.evil.example/",
    "https://app\u{3002}example\u{3002}com.evil.example/",
    "https://\u{0430}pp.example.com/",
    "https://xn--pp-6kc.example.com/",
    "https://app.example.com\u{ff0f}.evil.example/",
    "https://app.example.com\u{2044}evil.example/",
    "https://app.example.com\u{2215}.evil.example/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://127.0.0.1/",
    "https://[::ffff:1.2.3.4]/",
    "https://017700000001/",
    "https://preview.example.com.evil.example/",
    "https://evil.example/.preview.example.com/",
    "https://evil.example?.preview.example.com/",
    "https://preview.example.com/",
    "https://a.b.preview.example.com/",
    "https://-.preview.example.com@evil.example/",
    "https://app.example.com/#access_token=mine&refresh_token=mine",
];

#[tokio::test]
async fn d09_every_hostile_address_leads_to_the_site() {
    let world = World::start(&[("auth.redirect_urls", "https://*.preview.example.com/*")]).await;
    world.provider.rule(|rules| rules.refuses = true);
    for hostile in HOSTILE {
        let encoded: String = byte_serialize(hostile.as_bytes()).collect();
        let landing = world.go(&format!("/authorize?provider=google&redirect_to={encoded}")).await;
        let expected = Url::parse("https://app.example.com/").unwrap();
        assert_eq!(landing.url.origin(), expected.origin(), "{hostile:?}");
        assert_eq!(landing.url.path(), "/", "{hostile:?}");
        assert_eq!(landing.fragment("access_token"), None, "{hostile:?}");
    }
    let listed = world.go("/authorize?provider=google&redirect_to=https://pr-1.preview.example.com/x").await;
    assert_eq!(listed.url.host_str(), Some("pr-1.preview.example.com"));
}

#[tokio::test]
async fn d09_a_list_that_has_changed_since_counts_as_it_is_now() {
    let world = World::start(&[]).await;
    let started = world.browser.open(&world.url("/authorize?provider=google")).await;
    let change = "update auth.flow_state set referrer = 'https://evil.example/'";
    world.app.database.run(change).await;

    let landing = world.follow(started.headers()["location"].to_str().unwrap()).await;

    assert_eq!(landing.url.host_str(), Some("app.example.com"));
}

#[tokio::test]
async fn d10_tokens_are_in_the_fragment_only_and_no_redirect_tells_where_it_came_from() {
    let world = World::start(&[]).await;

    let started = world.browser.open(&world.url("/authorize?provider=google")).await;
    assert_eq!(started.headers()["referrer-policy"], "no-referrer");
    assert_eq!(started.headers()["cache-control"], "no-store");
    let landing = world.follow(started.headers()["location"].to_str().unwrap()).await;

    assert_eq!(landing.headers["referrer-policy"], "no-referrer");
    assert_eq!(landing.headers["cache-control"], "no-store");
    assert_eq!(landing.url.query(), None);
    let token = landing.fragment("access_token").unwrap();
    let log = world.app.server.log();
    for secret in [token.as_str(), "provider-access", "provider-refresh"] {
        assert!(!log.contains(secret), "a token is in the log");
    }
    for seen in world.provider.requests() {
        assert!(!seen.contains(&token), "{seen}");
    }
}
