//! A checker of histories: writers change two tables at random, some roll back and one stays open for long; sockets break,
//! connections to the database are cut, the server is killed. In the end every subscriber has got exactly the changes that
//! it was allowed to see, each once, those of a row in their order.
//!
//! `GOFORWARD_TEST_HISTORY_ROUNDS` makes it longer, `GOFORWARD_TEST_SEED` repeats it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;

use crate::harness::{Caller, Database, Event, Options, Server, Socket, Walk, eventually, free_port};

const USERS: [&str; 3] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333",
];
const TABLES: [&str; 2] = ["plain", "asked"];

/// What is said of `plain` is decided by the server, of `asked` by PostgreSQL. The log is what was really committed.
const SCHEMA: &str = "
create table members (team int, uid uuid);
insert into members values (1, '11111111-1111-4111-8111-111111111111'), (2, '22222222-2222-4222-8222-222222222222'),
    (2, '11111111-1111-4111-8111-111111111111');
alter table members enable row level security;
create policy everybody on members for select using (true);
create table plain (id int primary key, owner uuid, team int, open bool, version int);
create table asked (like plain including all);
alter table plain enable row level security;
alter table asked enable row level security;
create policy seen on plain for select using (open or (select auth.uid()) = owner);
create policy seen on asked for select using (open or exists (
    select from public.members m where m.team = asked.team and m.uid = auth.uid()));
grant select on members, plain, asked to anon, authenticated;
create table log (seq bigserial primary key, name text, old jsonb, new jsonb);
create function note() returns trigger language plpgsql as $$
begin
    insert into public.log (name, old, new)
    values (tg_table_name, case when tg_op <> 'INSERT' then to_jsonb(old) end, case when tg_op <> 'DELETE' then to_jsonb(new) end);
    return null;
end $$;
create trigger note after insert or update or delete on plain for each row execute function note();
create trigger note after insert or update or delete on asked for each row execute function note();
alter publication supabase_realtime add table plain, asked;";

/// The last row: whoever sees it has seen everything.
const END: i64 = -1;

/// What happened to each row, by table and id.
type History = BTreeMap<(String, i64), Vec<String>>;

#[derive(Default)]
struct Shared {
    commits: AtomicU64,
    is_over: AtomicBool,
}

#[tokio::test]
async fn g01_g06_every_subscriber_gets_what_it_may_see_once_and_in_order_whatever_breaks() {
    tokio::task::LocalSet::new().run_until(check()).await;
}

async fn check() {
    let rounds = std::env::var("GOFORWARD_TEST_HISTORY_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let database = Database::create().await;
    database.run(SCHEMA).await;
    let port = free_port();
    let options = || Options::default().port(port).database(&database.url());
    let mut server = Server::start(options()).await;
    let keys = server.keys();
    let shared = Arc::new(Shared::default());

    let mut subscribers = JoinSet::new();
    for user in [None, Some(USERS[0]), Some(USERS[1]), Some(USERS[2])] {
        let token = user.map(|user| Caller::user(user).token(&keys.jwt_secret));
        let (key, ready) = (keys.anon_key.clone(), Arc::new(AtomicBool::new(false)));
        subscribers.spawn_local(subscriber(port, key, (user, token), Arc::clone(&ready)));
        eventually("a subscription", async || ready.load(Ordering::SeqCst)).await;
    }
    let mut writers = JoinSet::new();
    for number in 0..4 {
        writers.spawn_local(writer(database.url(), number, Arc::clone(&shared)));
    }
    let mut walk = Walk::new();
    for round in 0..rounds.unwrap_or(12) {
        let before = shared.commits.load(Ordering::SeqCst);
        eventually("writes to go on", async || shared.commits.load(Ordering::SeqCst) > before + 60).await;
        if round % 4 == 3 {
            server.kill().await;
            server = Server::start(options()).await;
        } else if walk.once_in(2) {
            cut_connections(&database).await;
        }
    }
    shared.is_over.store(true, Ordering::SeqCst);
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    for table in TABLES {
        database.run(&format!("insert into {table} values ({END}, null, null, true, 0)")).await;
    }
    let log = database.value("select jsonb_agg(to_jsonb(log) order by seq)::text from log").await;
    let log: Vec<Value> = serde_json::from_str(&log).unwrap();
    while let Some(heard) = subscribers.join_next().await {
        let (user, heard) = heard.unwrap();
        let allowed = allowed(&log, user);
        let wrong = allowed.iter().find(|(row, events)| heard.get(*row) != Some(*events));
        let seed = walk.seed();
        assert_eq!(
            wrong.map(|(row, events)| (row, events, heard.get(row))),
            None,
            "user {user:?}, seed {seed}"
        );
        let foreign: Vec<_> = heard.keys().filter(|row| !allowed.contains_key(*row)).collect();
        assert!(foreign.is_empty(), "user {user:?} heard of {foreign:?}, seed {seed}");
    }
}

/// Ends every connection of the server's logins to the database.
async fn cut_connections(database: &Database) {
    database
        .run_as_superuser(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and usename in ('goforward', 'authenticator')",
        )
        .await;
}

/// Writes on rows of its own until the end. Every fourth one keeps a transaction open while the others go on.
async fn writer(url: String, number: usize, shared: Arc<Shared>) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut walk = Walk::new();
    let (mut next, mut version) = (i64::try_from(number).unwrap() * 1_000_000 + 1, 0);
    let first = next;
    while !shared.is_over.load(Ordering::SeqCst) {
        let mut transaction = connection.begin().await.unwrap();
        for _ in 0..=walk.below(4) {
            version += 1;
            let statement = statement(&mut walk, (first, &mut next), version);
            transaction.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await.unwrap();
        }
        if number == 3 {
            let before = shared.commits.load(Ordering::SeqCst);
            eventually("others to commit", async || {
                shared.is_over.load(Ordering::SeqCst) || shared.commits.load(Ordering::SeqCst) > before + 40
            })
            .await;
        }
        if walk.once_in(5) {
            transaction.rollback().await.unwrap();
        } else {
            transaction.commit().await.unwrap();
            shared.commits.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn statement(walk: &mut Walk, (first, next): (i64, &mut i64), version: i64) -> String {
    let table = TABLES[walk.below(2)];
    let owner = ["null".to_owned(), format!("'{}'", USERS[walk.below(3)])][walk.below(2)].clone();
    let (team, open) = (walk.below(4), walk.once_in(4));
    let span = usize::try_from(*next - first + 1).unwrap();
    let some = first + i64::try_from(walk.below(span)).unwrap();
    match walk.below(4) {
        0 | 1 => {
            *next += 1;
            format!("insert into {table} values ({next}, {owner}, {team}, {open}, {version})")
        }
        2 => format!(
            "update {table} set owner = {owner}, team = {team}, open = {open}, version = {version} where id = {some}"
        ),
        _ => format!("delete from {table} where id = {some}"),
    }
}

/// What a user may hear, by what was committed.
fn allowed(log: &[Value], user: Option<&str>) -> History {
    let is_member = |team: &Value| match user {
        Some(user) if user == USERS[0] => *team == 1 || *team == 2,
        Some(user) if user == USERS[1] => *team == 2,
        _ => false,
    };
    let mut history = History::new();
    for entry in log {
        let table = entry["name"].as_str().unwrap();
        let seen = |row: &Value| {
            let is_own = user.is_some() && row["owner"].as_str() == user;
            row.is_object()
                && (row["open"] == true || if table == "plain" { is_own } else { is_member(&row["team"]) })
        };
        let (old, new) = (&entry["old"], &entry["new"]);
        let event = match (seen(old), seen(new)) {
            (_, true) if old.is_null() => format!("INSERT {}", new["version"]),
            (_, true) => format!("UPDATE {}", new["version"]),
            (true, false) => "DELETE".to_owned(),
            (false, false) => continue,
        };
        let id = new["id"].as_i64().or(old["id"].as_i64()).unwrap();
        history.entry((table.to_owned(), id)).or_default().push(event);
    }
    history
}

/// Listens until the last rows have come; its socket breaks now and then, and it goes on from its last cursor.
async fn subscriber(
    port: u16,
    key: String,
    (user, token): (Option<&'static str>, Option<String>),
    ready: Arc<AtomicBool>,
) -> (Option<&'static str>, History) {
    let (mut history, mut cursor, mut walk) = (History::new(), Value::Null, Walk::new());
    loop {
        let mut connected = None;
        eventually("a socket", async || {
            connected = Socket::connect(port, "2.0.0", &key).await.ok();
            connected.is_some()
        })
        .await;
        let Some(mut socket) = connected else { continue };
        let changes: Vec<Value> = TABLES
            .iter()
            .map(|table| json!({"event": "*", "schema": "public", "table": table, "since": cursor}))
            .collect();
        let join = json!({"config": {"postgres_changes": changes}, "access_token": token});
        if socket.begin_to_join("realtime:db", join).await.is_err() {
            continue;
        }
        let breaks_after = 20 + walk.below(200);
        for _ in 0..breaks_after {
            let Some(event) = socket.try_next().await else { break };
            match event.name.as_str() {
                "system" => {
                    assert_eq!(event.payload["message"], "Subscribed to PostgreSQL", "{event:?}");
                    ready.store(true, Ordering::SeqCst);
                    take_cursor(&mut cursor, &event);
                }
                "postgres_changes" => {
                    take_cursor(&mut cursor, &event);
                    note(&mut history, &event.payload["data"]);
                }
                // The database is away: it is asked again.
                "phx_reply" if !event.is_ok() => break,
                _ => {}
            }
            let is_at_end = |table: &str| history.contains_key(&(table.to_owned(), END));
            if TABLES.iter().all(|table| is_at_end(table)) {
                return (user, history);
            }
        }
        socket.drop_connection();
    }
}

fn take_cursor(cursor: &mut Value, event: &Event) {
    if event.payload["cursor"].is_string() {
        *cursor = event.payload["cursor"].clone();
    }
}

fn note(history: &mut History, data: &Value) {
    let (table, kind) = (data["table"].as_str().unwrap(), data["type"].as_str().unwrap());
    let id = data["record"]["id"].as_i64().or(data["old_record"]["id"].as_i64()).unwrap();
    let event = match kind {
        "DELETE" => kind.to_owned(),
        _ => format!("{kind} {}", data["record"]["version"]),
    };
    history.entry((table.to_owned(), id)).or_default().push(event);
}
