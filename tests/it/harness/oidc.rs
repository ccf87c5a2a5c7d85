//! An identity provider on a real socket that plays all of them: OpenID Connect with discovery and signed tokens, and the
//! APIs of GitHub, GitLab, Discord and Facebook. It checks what a real one checks (our credentials, the redirect, PKCE, one
//! use of a code) and misbehaves on demand.
//!
//! [`Browser`] is the user's side: it follows redirects, posts forms, and stops where the application is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::{digest, rsa, signature};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use url::form_urlencoded::{Serializer, parse};

use super::tokens::now;

/// Our id and secret with the provider.
pub const CLIENT: (&str, &str) = ("our-client", "our secret+/=");

/// How the provider behaves. The default is what a good one does.
#[derive(Clone, Default)]
pub struct ProviderRules {
    /// The user who is signed in there: the claims of ID tokens.
    pub claims: Value,
    /// What its API says of that user.
    pub user: Value,
    /// The addresses that GitHub's API tells.
    pub emails: Value,
    /// Claims that stand in ID tokens in place of the right ones; null takes one away.
    pub forged: Value,
    /// Whether the user refuses.
    pub refuses: bool,
    /// What becomes of requests for keys.
    pub keys: KeysRule,
    /// What it calls itself, if not what it is.
    pub issuer: Option<String>,
}

/// What becomes of requests for keys.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum KeysRule {
    /// They are answered.
    #[default]
    Given,
    /// 500.
    Down,
    /// 10 MB, the keys among them.
    Huge,
}

/// The running provider.
pub struct FakeProvider {
    state: Arc<Inner>,
    serving: JoinHandle<()>,
}

struct Inner {
    url: String,
    rules: Mutex<ProviderRules>,
    key: Mutex<SigningKey>,
    codes: Mutex<HashMap<String, HashMap<String, String>>>,
    requests: Mutex<Vec<String>>,
}

struct SigningKey {
    id: String,
    pair: rsa::KeyPair,
}

impl SigningKey {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), pair: rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap() }
    }

    fn public(&self) -> Value {
        let public = self.pair.public_key();
        let n = public.modulus().big_endian_without_leading_zero();
        let e = public.exponent().big_endian_without_leading_zero();
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id, "n": encode(n), "e": encode(e)})
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "kid": self.id}).to_string();
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
        let mut tag = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair.sign(&signature::RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut tag).unwrap();
        format!("{message}.{}", encode(&tag))
    }
}

impl FakeProvider {
    /// Listens on a free port of the loopback interface; `claims` are those of who is signed in there.
    pub async fn start(claims: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rules = ProviderRules { claims, ..ProviderRules::default() };
        let state = Arc::new(Inner {
            url,
            rules: Mutex::new(rules),
            key: Mutex::new(SigningKey::new("first")),
            codes: Mutex::default(),
            requests: Mutex::default(),
        });
        let service = routes(Arc::clone(&state));
        let serving = tokio::spawn(serve(listener, service));
        Self { state, serving }
    }

    /// Its address, which is what it calls itself.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Changes how it behaves.
    pub fn rule(&self, change: impl FnOnce(&mut ProviderRules)) {
        change(&mut self.state.rules.lock().unwrap());
    }

    /// Signs in another user there.
    pub fn user(&self, claims: Value) {
        self.rule(|rules| rules.claims = claims);
    }

    /// Signs with a new key from now on.
    pub fn rotate(&self, id: &str) {
        *self.state.key.lock().unwrap() = SigningKey::new(id);
    }

    /// An ID token of the user for our client, with these claims over the right ones.
    pub fn id_token(&self, forged: &Value) -> String {
        let claims = self.state.claims(CLIENT.0, None);
        self.state.key.lock().unwrap().sign(&laid_over(claims, forged))
    }

    /// Paths and queries of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How often its keys were asked for.
    pub fn key_requests(&self) -> usize {
        self.requests().iter().filter(|request| request.starts_with("/keys")).count()
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Inner {
    fn rules(&self) -> ProviderRules {
        self.rules.lock().unwrap().clone()
    }

    fn claims(&self, client: &str, nonce: Option<&str>) -> Value {
        let rules = self.rules();
        let issuer = rules.issuer.unwrap_or_else(|| self.url.clone());
        let right = json!({"iss": issuer, "aud": client, "iat": now(), "exp": now() + 600, "nonce": nonce});
        laid_over(laid_over(right, &rules.claims), &rules.forged)
    }
}

async fn serve(listener: TcpListener, service: Router) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(service.clone());
        let builder = auto::Builder::new(TokioExecutor::new());
        connections.spawn(async move {
            let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// One object over another; null takes away.
fn laid_over(mut below: Value, above: &Value) -> Value {
    let object = below.as_object_mut().unwrap();
    for (name, value) in above.as_object().into_iter().flatten() {
        object.insert(name.clone(), value.clone());
    }
    object.retain(|_, value| !value.is_null());
    below
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn routes(state: Arc<Inner>) -> Router {
    let mut router = Router::new();
    for path in
        ["/authorize", "/login/oauth/authorize", "/oauth/authorize", "/oauth2/authorize", "/dialog/oauth"]
    {
        router = router.route(path, get(authorize));
    }
    for path in
        ["/token", "/login/oauth/access_token", "/oauth/token", "/api/oauth2/token", "/oauth/access_token"]
    {
        router = router.route(path, post(token));
    }
    for path in ["/api/v3/user", "/api/v4/user", "/api/users/@me", "/me"] {
        router = router.route(
            path,
            get(async |State(state): State<Arc<Inner>>, headers: HeaderMap| {
                guarded(&headers, state.rules().user)
            }),
        );
    }
    router
        .route("/.well-known/openid-configuration", get(describe))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(describe))
        .route("/keys", get(keys))
        .route(
            "/userinfo",
            get(async |State(state): State<Arc<Inner>>, headers: HeaderMap| {
                guarded(&headers, state.rules().user)
            }),
        )
        .route(
            "/api/v3/user/emails",
            get(async |State(state): State<Arc<Inner>>, headers: HeaderMap| {
                guarded(&headers, state.rules().emails)
            }),
        )
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&state), record))
        .with_state(state)
}

async fn record(
    State(state): State<Arc<Inner>>,
    uri: Uri,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    state.requests.lock().unwrap().push(uri.to_string());
    next.run(request).await
}

/// Only with the access token.
fn guarded(headers: &HeaderMap, answer: Value) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer == Some("Bearer provider-access") {
        Json(answer).into_response()
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

async fn describe(State(state): State<Arc<Inner>>) -> Json<Value> {
    let url = &state.url;
    Json(json!({
        "issuer": state.rules().issuer.unwrap_or_else(|| url.clone()),
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "jwks_uri": format!("{url}/keys"),
    }))
}

async fn keys(State(state): State<Arc<Inner>>) -> Response {
    let mut document = json!({"keys": [state.key.lock().unwrap().public()]});
    match state.rules().keys {
        KeysRule::Down => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        KeysRule::Huge => document["padding"] = "x".repeat(10 * 1024 * 1024).into(),
        KeysRule::Given => {}
    }
    Json(document).into_response()
}

/// The user agrees at once. What the address asked for is kept for the exchange.
async fn authorize(State(state): State<Arc<Inner>>, RawQuery(query): RawQuery) -> Response {
    let asked: HashMap<String, String> = parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let code = format!("code-{}", state.requests.lock().unwrap().len());
    let answer = if state.rules().refuses {
        [("error", "access_denied".to_owned()), ("error_description", "The user said no".to_owned())]
    } else {
        [("code", code.clone()), ("iss", state.url.clone())]
    };
    let mut fields = Serializer::new(String::new());
    fields.extend_pairs(answer).append_pair("state", &asked["state"]);
    let redirect = asked["redirect_uri"].clone();
    let posts = asked.get("response_mode").is_some_and(|mode| mode == "form_post");
    state.codes.lock().unwrap().insert(code, asked);
    if posts {
        let user = json!({"name": {"firstName": "Ada", "lastName": "Lovelace"}, "email": "evil@example.com"});
        fields.append_pair("user", &user.to_string());
        // Stands for the page with a form that sends itself.
        return ([("x-form-target", redirect)], fields.finish()).into_response();
    }
    (StatusCode::FOUND, [(header::LOCATION, format!("{redirect}?{}", fields.finish()))]).into_response()
}

/// Exchanges a code for tokens, once, for who has asked for it.
async fn token(State(state): State<Arc<Inner>>, headers: HeaderMap, body: String) -> Response {
    let given: HashMap<String, String> = parse(body.as_bytes()).into_owned().collect();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = STANDARD.encode(format!("{}:{}", encoded(CLIENT.0), encoded(CLIENT.1)));
    let by_header = basic == Some(&format!("Basic {credentials}"));
    let field = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
    if !by_header && (field("client_id"), field("client_secret")) != CLIENT {
        return refused("invalid_client");
    }
    let Some(asked) = state.codes.lock().unwrap().remove(field("code")) else {
        return refused("invalid_grant");
    };
    let challenge = encode(digest::digest(&digest::SHA256, field("code_verifier").as_bytes()));
    if asked.get("code_challenge") != Some(&challenge)
        || asked.get("redirect_uri").map(String::as_str) != Some(field("redirect_uri"))
    {
        return refused("invalid_grant");
    }
    let mut answer = json!({
        "access_token": "provider-access", "refresh_token": "provider-refresh", "token_type": "Bearer",
    });
    if asked.get("scope").is_some_and(|scope| scope.split(' ').any(|scope| scope == "openid")) {
        let claims = state.claims(&asked["client_id"], asked.get("nonce").map(String::as_str));
        answer["id_token"] = state.key.lock().unwrap().sign(&claims).into();
    }
    Json(answer).into_response()
}

/// A user's browser.
pub struct Browser(reqwest::Client);

/// Where a browser ended up.
#[derive(Debug)]
pub struct Landing {
    /// The application's address with all its parameters.
    pub url: Url,
    /// The headers of the last redirect.
    pub headers: HeaderMap,
    /// All addresses on the way, the first one included.
    pub trail: Vec<Url>,
}

impl Browser {
    /// A new one.
    pub fn new() -> Self {
        // Of all clients of this process the first one installs it.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_mins(1))
            .no_proxy()
            .build()
            .unwrap();
        Self(http)
    }

    /// One request, redirects not followed.
    pub async fn open(&self, url: &str) -> reqwest::Response {
        self.0.get(url).send().await.unwrap()
    }

    /// Follows redirects and forms until an address is of neither of these servers.
    pub async fn follow(&self, start: &str, servers: &[&str]) -> Landing {
        let mut trail = vec![Url::parse(start).unwrap()];
        let mut answer = self.open(start).await;
        loop {
            let headers = answer.headers().clone();
            let here = trail.last().unwrap().clone();
            if let Some(target) = headers.get("x-form-target") {
                let target = target.to_str().unwrap().to_owned();
                let form = answer.text().await.unwrap();
                trail.push(Url::parse(&target).unwrap());
                let request = self.0.post(target).header("content-type", "application/x-www-form-urlencoded");
                answer = request.body(form).send().await.unwrap();
                continue;
            }
            let status = answer.status();
            let Some(location) = headers.get(header::LOCATION) else {
                panic!("{here} is no redirect but {status}: {}", answer.text().await.unwrap());
            };
            let next = here.join(location.to_str().unwrap()).unwrap();
            let is_ours = servers.iter().any(|server| Url::parse(server).unwrap().origin() == next.origin());
            if !is_ours {
                return Landing { url: next, headers, trail };
            }
            trail.push(next.clone());
            answer = self.open(next.as_str()).await;
        }
    }
}

impl Landing {
    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// A parameter of the fragment.
    pub fn fragment(&self, name: &str) -> Option<String> {
        let fragment = self.url.fragment().unwrap_or_default();
        parse(fragment.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }
}
