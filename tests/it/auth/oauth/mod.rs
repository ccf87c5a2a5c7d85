//! Signing in by other providers, all of them played by one.

mod id_token;
mod linking;
mod redirects;
mod sign_in;

use serde_json::{Value, json};

use crate::harness::{Answer, Browser, CLIENT, Client, FakeProvider, Landing, Options, TestApp};

/// Where the application is.
const SITE: &str = "https://app.example.com/welcome";
/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A server and a provider that it knows.
struct World {
    app: TestApp,
    provider: FakeProvider,
    browser: Browser,
}

fn ada() -> Value {
    json!({"sub": "ada-1", "email": "ada@example.com", "email_verified": true, "name": "Ada Lovelace"})
}

/// What a test changes about the server: keys and values.
type Changes<'a> = &'a [(&'a str, &'a str)];

impl World {
    /// Every provider that is known by name, and one that is not, with Ada signed in there.
    async fn start(changes: Changes<'_>) -> Self {
        let provider = FakeProvider::start(ada()).await;
        let one = json!({"client_id": format!("{}, our-app", CLIENT.0), "client_secret": CLIENT.1, "url": provider.url()});
        let mut external = serde_json::Map::new();
        for name in ["google", "github", "gitlab", "apple", "discord", "facebook", "custom"] {
            external.insert(name.to_owned(), one.clone());
        }
        let mut options = Options::default()
            .set("auth.external", &Value::Object(external).to_string())
            .set("auth.site_url", "https://app.example.com")
            .set("auth.manual_linking", "true")
            .set("auth.rate_limits.token", "0")
            .set("auth.rate_limits.otp", "0")
            .set("auth.rate_limits.emails_per_hour", "0")
            .set("outbound.allow_networks", "127.0.0.0/8");
        for (key, value) in changes {
            options = options.set(key, &value.replace("PROVIDER", provider.url()));
        }
        Self { app: TestApp::with(options).await, provider, browser: Browser::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/auth/v1{path}", self.app.server.url())
    }

    /// A whole way through the provider and back to the application.
    async fn go(&self, path: &str) -> Landing {
        self.follow(&self.url(path)).await
    }

    async fn follow(&self, address: &str) -> Landing {
        let server = self.app.server.url();
        let other = server.replace("127.0.0.1", "localhost");
        self.browser.follow(address, &[&server, &other, self.provider.url()]).await
    }

    /// Signs in by a provider; the access token.
    async fn sign_in(&self, provider: &str) -> Result<String, Landing> {
        let landing = self.go(&format!("/authorize?provider={provider}")).await;
        landing.fragment("access_token").ok_or(landing)
    }

    fn bearer(&self, token: &str) -> Client {
        self.client().bearer(token)
    }

    fn client(&self) -> Client {
        self.app.anon().header("x-supabase-api-version", "2024-01-01")
    }

    /// Who a token is of.
    async fn user(&self, token: &str) -> Value {
        self.bearer(token).get("/auth/v1/user").await.expect_status(200).json()
    }

    /// An account with a password; the mail that asks for its confirmation is left alone.
    async fn sign_up(&self, email: &str) -> Answer {
        let body = json!({"email": email, "password": "correct horse"});
        self.client().post("/auth/v1/signup", body).await
    }

    async fn sign_in_by_password(&self, email: &str) -> Answer {
        let body = json!({"email": email, "password": "correct horse"});
        self.client().post("/auth/v1/token?grant_type=password", body).await
    }

    async fn count(&self, sql: &str) -> String {
        self.app.database.value(&format!("select count(*)::text from {sql}")).await
    }
}
