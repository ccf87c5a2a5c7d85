//! The corpus of hostile targets and the patterns that would let them through (threat D09).

use super::*;
use proptest::prelude::*;

const SITE: &str = "https://app.example.com";

/// A list as real projects have it.
const ALLOWED: &[&str] = &[
    "https://*.preview.example.com/**",
    "https://shop-*.example.net/*",
    "https://**--team.hosting.example/**",
    "https://docs.example.org/auth/callback",
    "https://docs.example.org/v*/done?from=mail",
    "http://localhost:*/**",
    "http://[::1]:3000/**",
    "https://partner.example:8443/**",
    "https://bücher.example/**",
    "com.example.app://callback",
    "com.example.app://login/**",
    "com.example.other:/oauth",
];

fn policy() -> RedirectPolicy {
    RedirectPolicy::new(SITE, ALLOWED.iter().copied()).unwrap()
}

#[test]
fn the_site_and_listed_targets_are_kept() {
    for good in [
        "https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com:443/welcome",
        "HTTPS://APP.example.com/welcome",
        "https://app.example.com/a/b.html?next=%2Fdashboard&x=..%2F#/route",
        "https://app.example.com?next=https://elsewhere.example",
        "https://app.example.com/привет",
        "https://app.example.com/two%20words/@name",
        "https://pr-12.preview.example.com/",
        "https://pr-12.preview.example.com/deep/path.html?q=1",
        "https://shop-a.example.net/one",
        "https://shop-a.example.net/",
        "https://a.b.c--team.hosting.example/x",
        "https://docs.example.org/auth/callback",
        "https://docs.example.org/auth/callback#top",
        "https://docs.example.org/v2/done?from=mail",
        "http://localhost/",
        "http://localhost:5173/x",
        "http://[::1]:3000/cb",
        "https://partner.example:8443/cb",
        "https://xn--bcher-kva.example/cb",
        "com.example.app://callback",
        "COM.example.app://callback",
        "com.example.app://login/step/2?x=1",
        "com.example.other:/oauth",
    ] {
        assert_eq!(policy().allowed(good), Some(Url::parse(good).unwrap()), "{good}");
    }
}

/// What must never be a target, by the idea behind it.
const HOSTILE: &[&str] = &[
    // Other places.
    "https://evil.example",
    "https://evil.example/https://app.example.com",
    "https://evil.example?https://app.example.com",
    "https://evil.example#https://app.example.com",
    "https://app.example.com.evil.example/",
    "https://evilapp.example.com/",
    "https://example.com/",
    "https://sub.app.example.com/",
    "http://app.example.com/",
    "https://app.example.com:8443/",
    "https://app.example.com:80/",
    // Not a whole URL.
    "",
    "/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "evil.example",
    "?next=/",
    "#access_token=x",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:app.example.com",
    "https:/app.example.com/",
    "https:////app.example.com/",
    "https://",
    "https://?x",
    // Userinfo.
    "https://app.example.com@evil.example/",
    "https://app.example.com:443@evil.example/",
    "https://user:secret@app.example.com/",
    "https://@app.example.com/",
    "https://:@app.example.com/",
    "https://app.example.com%40evil.example/",
    "https://evil.example%2f@app.example.com/",
    "com.example.app://user@callback",
    // Backslashes, white space, control characters.
    "https://app.example.com\\@evil.example/",
    "https://evil.example\\.app.example.com/",
    "https:\\\\app.example.com\\",
    "https://app.example.com/\\evil.example",
    " https://app.example.com/",
    "https://app.example.com/ ",
    "https://app.exa\tmple.com/",
    "https://app.example.com/\r\nLocation: https://evil.example",
    "https://app.example.com/\0",
    "https://app.example.com/\u{85}",
    "\u{feff}https://app.example.com/",
    "java\nscript:alert(1)",
    // Encoded dots, slashes and controls in the path.
    "https://docs.example.org/auth%2fcallback",
    "https://docs.example.org/auth/x/%2e%2e/callback",
    "https://app.example.com/%2e%2e/%2e%2e/evil",
    "https://app.example.com/%2F%2Fevil.example",
    "https://app.example.com/%5cevil.example",
    "https://app.example.com/%252f%252fevil.example",
    "https://app.example.com/%0d%0aLocation:x",
    "https://app.example.com/%00",
    "https://app.example.com/%zz",
    "https://app.example.com/%",
    // Hosts in odd spellings.
    "https://app.example.com./",
    "https://app.example.com../",
    "https://app%2eexample%2ecom/",
    "https://app\u{3002}example\u{3002}com/",
    "https://\u{24d0}pp.example.com/",
    "https://\u{0430}pp.example.com/",
    "https://xn--pp-6kc.example.com/",
    "https://bücher.example/",
    "https://app.example.com:/",
    "https://app.example.com:0443/",
    "https://app.exam\u{ad}ple.com/",
    "https://app.example.com\u{ff0f}.evil.example/",
    "https://app.example.com\u{2044}evil.example/",
    "https://2130706433/",
    "http://127.1:3000/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.1:3000/",
    "http://[::ffff:127.0.0.1]:3000/",
    "http://[0:0:0:0:0:0:0:1]:3000/cb",
    "http://[::1%25eth0]:3000/cb",
    "http://localhost.:3000/",
    "http://localhost.evil.example/",
    // Wildcards that would reach too far.
    "https://preview.example.com/",
    "https://a.b.preview.example.com/",
    "https://evil.example/.preview.example.com/",
    "https://evil.example?.preview.example.com/",
    "https://evil.example#.preview.example.com/",
    "https://pr.preview.example.com.evil.example/",
    "https://shop-.evil.example/.example.net/",
    "https://shop-a.b.example.net/one",
    "https://shop-a.example.net/one/two",
    "https://shop-a.example.net/one.html",
    "https://evil.example/--team.hosting.example/",
    "https://x--team.hosting.example.evil.example/",
    "https://docs.example.org/auth/callback/",
    "https://docs.example.org/auth/callbacks",
    "https://docs.example.org/auth/callback?x=1",
    "https://docs.example.org/auth/callback/../../evil",
    "https://docs.example.org/v1.2/done?from=mail",
    "https://docs.example.org/v1/2/done?from=mail",
    "https://localhost:3000/",
    "https://partner.example/",
    // Other schemes.
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "javascript://app.example.com/%0aalert(1)",
    "data:text/html,x",
    "data://app.example.com/text/html,x",
    "vbscript:x",
    "blob:https://app.example.com/x",
    "file:///etc/passwd",
    "view-source:https://app.example.com/",
    "intent://app.example.com/#Intent;scheme=https;S.browser_fallback_url=https://evil.example;end",
    "ftp://app.example.com/",
    "wss://app.example.com/",
    "app.example.com:443",
    "com.example.app2://callback",
    "com.example.app://callback2",
    "com.example.app://callback/x",
    "com.example.app:callback",
    "com.example.other://oauth",
    "xcom.example.app://callback",
    // A session planted in the fragment.
    "https://app.example.com/#access_token=stolen&refresh_token=stolen",
    "com.example.app://callback#access_token=stolen",
];

/// Threat D09.
#[test]
fn hostile_targets_fall_back_to_the_site() {
    for hostile in HOSTILE {
        assert_eq!(policy().choose(Some(hostile), None).as_str(), "https://app.example.com/", "{hostile:?}");
        assert_eq!(policy().choose(None, Some(hostile)).as_str(), "https://app.example.com/", "{hostile:?}");
    }
}

#[test]
fn an_overlong_target_falls_back() {
    let at_limit = format!("{SITE}/{}", "a".repeat(LONGEST - SITE.len() - 1));
    assert!(policy().allowed(&at_limit).is_some());
    assert!(policy().allowed(&format!("{at_limit}a")).is_none());
}

#[test]
fn the_referring_page_counts_where_the_target_does_not() {
    let page = "http://localhost:3000/login";
    assert_eq!(policy().choose(None, Some(page)).as_str(), page);
    assert_eq!(policy().choose(Some("https://evil.example"), Some(page)).as_str(), page);
    assert_eq!(policy().choose(Some("https://app.example.com/a"), Some(page)).path(), "/a");
    assert_eq!(policy().choose(None, None).as_str(), "https://app.example.com/");
}

#[test]
fn a_site_on_loopback_may_change_its_port_and_no_other_may() {
    for site in ["http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000"] {
        let policy = RedirectPolicy::new(site, []).unwrap();
        let other_port = site.replace("3000", "5173");
        assert!(policy.allowed(&other_port).is_some(), "{site}");
        assert!(policy.allowed(&site.replace("http:", "https:")).is_none(), "{site}");
    }
    let policy = RedirectPolicy::new("http://192.168.1.5:3000", []).unwrap();
    assert!(policy.allowed("http://192.168.1.5:5173/").is_none());
}

#[test]
fn a_listed_target_is_given_back_as_parsed() {
    let url = policy().allowed("HTTPS://App.Example.com:443/a/../b c".replace(' ', "%20").as_str()).unwrap();
    assert_eq!(url.as_str(), "https://app.example.com/b%20c");
}

#[test]
fn patterns_that_let_strangers_in_are_refused_at_start() {
    use RedirectPolicyError as E;
    type Error = fn(String) -> E;
    let refused: &[(&str, Error)] = &[
        ("**", E::Scheme),
        ("*://app.example.com/", E::Scheme),
        ("http*://app.example.com/", E::Scheme),
        ("javascript:*", E::Scheme),
        ("data:**", E::Scheme),
        ("file:///**", E::Scheme),
        ("://x", E::Scheme),
        ("https://**", E::Host),
        ("https://*", E::Host),
        ("https://*/callback", E::Host),
        ("https://*.com", E::Host),
        ("https://*.example", E::Host),
        ("https://**example.com/", E::Host),
        ("https://example.*/", E::Host),
        ("https://app.*.com/", E::Host),
        ("https://*.0.0.1/", E::Host),
        ("https://.example.com.*/", E::Host),
        ("https://example.com./", E::Host),
        ("https:///path", E::Host),
        ("https://example.com:8*/", E::Port),
        ("https://example.com:99999/", E::Port),
        ("https://user@example.com/", E::Syntax),
        ("https://{a,b}.example.com/", E::Syntax),
        ("https:example.com", E::Syntax),
        ("https://example.com\\**", E::Syntax),
        ("https://example.com/ **", E::Syntax),
    ];
    for (pattern, error) in refused {
        let found = RedirectPolicy::new(SITE, [*pattern]).map(|_| ()).unwrap_err();
        assert_eq!(found, error((*pattern).to_owned()), "{pattern}");
    }
    for site in
        ["", "app.example.com", "javascript:x", "https://user@app.example.com", "https://app.example.com."]
    {
        assert!(matches!(RedirectPolicy::new(site, []), Err(E::Site(_))), "{site}");
    }
}

#[test]
fn one_star_stays_in_its_segment_and_two_cross_it() {
    for (pattern, text, fits) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "abc", true),
        ("*", "a.c", false),
        ("*", "a/c", false),
        ("**", "a/b.c", true),
        ("***", "a/b.c", true),
        ("a*c", "ac", true),
        ("a*c", "abbc", true),
        ("a*c", "abcb", false),
        ("a*b**c", "axb/./c", true),
        ("a**b*c", "a/./bxc", true),
        ("a**b*c", "a/./bx.c", false),
        ("**.a.*", "x/y.a.z", true),
        ("**.a.*", "x/y.a.z.", false),
    ] {
        assert_eq!(Glob::new(pattern).matches(text), fits, "{pattern} {text}");
    }
}

#[test]
fn many_wildcards_cost_no_more_than_the_product_of_the_lengths() {
    // Backtracking would need longer than the age of the universe here.
    assert!(!Glob::new(&format!("{}b", "*a**".repeat(40))).matches(&"a".repeat(2000)));
}

proptest! {
    /// Whatever is asked for: the target's host is the site's or one that a pattern names.
    #[test]
    fn the_target_is_always_a_listed_host(
        start in "(https?:|com.example.app:|HTTPS:|)[/\\\\]{0,3}",
        host in "(app\\.example\\.com|evil\\.example|localhost|[a-z]{1,5}\\.preview\\.example\\.com|[a-z@:%.\\\\\u{3002}]{0,12}){1,3}",
        rest in "[:/?#@%.\\\\a-z0-9]{0,16}",
    ) {
        let target = policy().choose(Some(&format!("{start}{host}{rest}")), None);
        let name = target.host_str().unwrap_or_default();
        let listed = name == "app.example.com" || name == "localhost" || name.ends_with(".preview.example.com")
            || (target.scheme() == "com.example.app" && matches!(name, "callback" | "login"));
        prop_assert!(listed, "{target}");
        prop_assert!(target.username().is_empty() && target.password().is_none());
    }

    #[test]
    fn any_text_fits_the_pattern_that_repeats_it_with_stars(parts in prop::collection::vec("[a-z]{0,4}", 1..6)) {
        prop_assert!(Glob::new(&parts.join("*")).matches(&parts.join("xyz")));
        prop_assert!(Glob::new(&parts.join("**")).matches(&parts.join("x/y.z")));
    }
}
