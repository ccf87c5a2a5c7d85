//! A token counts only while the session behind it does.

use std::sync::Mutex;

use super::*;
use crate::kernel::identity::sessions::LookingUp;
use crate::kernel::identity::{Account, Caller, SessionRefusal, SessionState, Sessions};

/// Remembers and finds what it is told; counts how often it is asked.
struct Told {
    remembered: Option<SessionState>,
    found: Result<SessionState, SessionRefusal>,
    asked: Mutex<u32>,
}

impl Told {
    fn new(remembered: Option<SessionState>, found: Result<SessionState, SessionRefusal>) -> Arc<Self> {
        Arc::new(Self { remembered, found, asked: Mutex::new(0) })
    }
}

impl Sessions for Told {
    fn remembered(&self, _: &Caller) -> Option<SessionState> {
        self.remembered
    }

    fn look_up<'a>(&'a self, _: &'a Caller) -> LookingUp<'a> {
        *self.asked.lock().unwrap() += 1;
        Box::pin(std::future::ready(self.found))
    }
}

const LIVE: SessionState =
    SessionState::Live { account: Some(Account { verified: true }), second_factor: false };

/// Answers with what is known of the account.
fn account() -> Mount {
    let handler = |request: Request<Body>| async move {
        let context = request.extensions().get::<Arc<RequestContext>>().cloned().unwrap();
        Response::new(Body::from(format!("{:?}", context.account)))
    };
    Mount::handler("account", "/account", Arc::new(handler))
}

async fn ask(sessions: &Arc<Told>, bearer: Option<&str>) -> Answer {
    let (identity, _) = identity(KeyMode::Lenient);
    let gateway = gateway_with(GatewayOptions::default(), identity, vec![account()])
        .sessions(Arc::clone(sessions) as Arc<dyn Sessions>);
    let bearer = bearer.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    get_it(&gateway, "/account", &headers).await
}

fn token() -> String {
    let claims =
        serde_json::json!({"role": "authenticated", "sub": "u", "session_id": "s", "exp": 4_000_000_000_u64});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

#[tokio::test]
async fn what_is_remembered_is_not_asked_for_again() {
    let sessions = Told::new(Some(LIVE), Err(SessionRefusal::Unavailable));

    let answer = ask(&sessions, Some(&token())).await;

    assert_eq!((answer.status, answer.text()), (200, "Some(Account { verified: true })"));
    assert_eq!(*sessions.asked.lock().unwrap(), 0);
}

#[tokio::test]
async fn nobody_asks_about_the_session_of_a_key_or_of_nobody() {
    let sessions = Told::new(None, Ok(SessionState::Ended));

    let answer = ask(&sessions, None).await;

    assert_eq!((answer.status, answer.text()), (200, "None"));
    assert_eq!(*sessions.asked.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_token_whose_session_does_not_allow_it_is_refused() {
    for (found, status, code) in [
        (Ok(SessionState::Ended), 401, "session_not_found"),
        (Ok(SessionState::Banned), 403, "user_banned"),
        (Err(SessionRefusal::Unavailable), 503, "sessions_unavailable"),
    ] {
        let answer = ask(&Told::new(None, found), Some(&token())).await;

        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)));
    }
}
