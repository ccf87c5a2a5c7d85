//! kill -9 of the server and of PostgreSQL while people sign up and refresh: there is no half user, and whoever holds the
//! last token that arrived is still signed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::crashes::killed_by_turns;
use crate::auth::{PASSWORD, options, refresh, speaking};
use crate::harness::{Client, Server, Walk, eventually, free_port};

const ROUNDS: usize = 6;
const PEOPLE: usize = 4;

#[derive(Default)]
struct Progress {
    next: AtomicUsize,
    acknowledged: AtomicUsize,
    is_over: AtomicBool,
}

/// A session that the server has acknowledged: the newest refresh token of it that arrived.
struct Held {
    email: String,
    token: String,
}

#[tokio::test]
async fn no_crash_leaves_half_a_user_or_loses_a_session() {
    let home = tempfile::Builder::new().prefix("goforward-accounts-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let data = home.path().join("data");
    let port = free_port();
    let options = || options().set("auth.email.autoconfirm", "true").data(&data).port(port);
    let mut server = Server::start(options()).await;
    let keys = server.keys();
    let url = keys.database_url.expect("an embedded database");
    let client = speaking(Client::new(server.url()).apikey(&keys.anon_key));
    let progress = Arc::new(Progress::default());
    let mut people = tokio::task::JoinSet::new();
    for _ in 0..PEOPLE {
        people.spawn(keep_signing_up(client.clone(), Arc::clone(&progress)));
    }
    let mut walk = Walk::new();

    for round in 0..ROUNDS {
        let before = progress.acknowledged.load(Ordering::SeqCst);
        let goes_on = async || progress.acknowledged.load(Ordering::SeqCst) > before + 20;
        eventually("sign-ups and refreshes to go on", goes_on).await;
        server = killed_by_turns((&mut walk, round), server, options(), &data).await;
        eventually("service to return by itself", async || {
            client.try_get("/health/ready").await.is_some_and(|answer| answer.status == 200)
        })
        .await;
    }

    progress.is_over.store(true, Ordering::SeqCst);
    let held: Vec<Held> = people.join_all().await.into_iter().flatten().collect();
    assert!(held.len() > PEOPLE, "{} sessions", held.len());
    for session in &held {
        let answer = refresh(&client, &session.token).await;
        assert_eq!(answer.status, 200, "{} is signed out: {}", session.email, answer.text());
    }
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (users, halves): (i64, i64) = sqlx::query_as(HALVES).fetch_one(&mut connection).await.unwrap();
    assert_eq!(halves, 0, "of {users} users");
    assert!(usize::try_from(users).unwrap() >= held.len());
}

/// Users without what every user has, and what belongs to no user.
const HALVES: &str = "
    select count(*), count(*) filter (where i.user_id is null or s.user_id is null or r.user_id is null
                                         or u.email_confirmed_at is null)
    from auth.users u
    left join auth.identities i on i.user_id = u.id and i.provider = 'email'
    left join goforward.auth_user_settings s on s.user_id = u.id
    left join goforward.auth_user_roles r on r.user_id = u.id";

/// Signs up and refreshes until the end; the sessions whose sign-up was answered.
async fn keep_signing_up(client: Client, progress: Arc<Progress>) -> Vec<Held> {
    let mut held = Vec::new();
    while !progress.is_over.load(Ordering::SeqCst) {
        let email = format!("person-{}@example.com", progress.next.fetch_add(1, Ordering::SeqCst));
        let body = json!({"email": email, "password": PASSWORD});
        let Some(token) = token_of(&client, "/auth/v1/signup", body).await else { continue };
        progress.acknowledged.fetch_add(1, Ordering::SeqCst);
        let mut session = Held { email, token };
        for _ in 0..8 {
            let body = json!({"refresh_token": session.token});
            if let Some(token) = token_of(&client, "/auth/v1/token?grant_type=refresh_token", body).await {
                session.token = token;
                progress.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        }
        held.push(session);
    }
    held
}

/// The refresh token of an answer; nothing where none came, or the database is down.
async fn token_of(client: &Client, path: &str, body: Value) -> Option<String> {
    match client.try_send(Method::POST, path, Some(body)).await {
        Ok(answer) if answer.status == 200 => {
            Some(answer.json()["refresh_token"].as_str().unwrap().to_owned())
        }
        Ok(answer) => {
            assert!(matches!(answer.status, 503 | 504), "{}: {}", answer.status, answer.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
        Err(_) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}
