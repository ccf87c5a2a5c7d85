//! A checker of histories: under random policies writers change two tables at random, some roll back and one stays open for
//! long; sockets break, connections to the database are cut, the server is killed, and so is PostgreSQL. In the end every
//! subscriber has got exactly the changes that it was allowed to see, each once, those of a row in their order.
//!
//! `GOFORWARD_TEST_HISTORY_ROUNDS` makes it longer, `GOFORWARD_TEST_SEED` repeats it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;

use crate::harness::Postgres;
use crate::harness::{Caller, Event, Options, Server, Socket, Walk, eventually, free_port};

const USERS: [&str; 3] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333",
];
const TABLES: [&str; 2] = ["plain", "asked"];

/// The log is what was really committed.
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

/// A condition of a policy, and what it comes to for a row and a user.
type Condition = (&'static str, fn(&Value, Option<&str>) -> bool);

fn is_own(row: &Value, user: Option<&str>) -> bool {
    user.is_some() && row["owner"].as_str() == user
}

fn is_member(row: &Value, user: Option<&str>) -> bool {
    match user {
        Some(user) if user == USERS[0] => row["team"] == 1 || row["team"] == 2,
        Some(user) if user == USERS[1] => row["team"] == 2,
        _ => false,
    }
}

/// Decided by the server.
const OF_PLAIN: [Condition; 5] = [
    ("(select auth.uid()) = owner", is_own),
    ("auth.uid() = owner and team <> 3", |row, user| is_own(row, user) && row["team"] != 3),
    ("team = 2 and version > 10", |row, _| row["team"] == 2 && row["version"].as_i64() > Some(10)),
    ("owner is null and (select auth.role()) = 'authenticated'", |row, user| {
        row["owner"].is_null() && user.is_some()
    }),
    ("team = any (array[0, 1])", |row, _| row["team"] == 0 || row["team"] == 1),
];

/// Decided by PostgreSQL.
const OF_ASKED: [Condition; 3] = [
    ("exists (select from public.members m where m.team = asked.team and m.uid = auth.uid())", is_member),
    (
        "team in (select m.team from public.members m where m.uid = auth.uid()) and version % 2 = 0",
        |row, user| is_member(row, user) && row["version"].as_i64().is_some_and(|version| version % 2 == 0),
    ),
    ("abs(team - 2) = 1 and (select auth.uid()) = owner", |row, user| {
        is_own(row, user) && (row["team"] == 1 || row["team"] == 3)
    }),
];

/// The policies of one table: a row is seen if it is open or what one of the conditions says, and by the restriction.
struct Policies {
    table: &'static str,
    permissive: Vec<Condition>,
    restrictive: Option<Condition>,
}

impl Policies {
    fn random(table: &'static str, conditions: &[Condition], walk: &mut Walk) -> Self {
        let permissive = (0..=walk.below(2)).map(|_| conditions[walk.below(conditions.len())]).collect();
        let restrictive: Condition = ("team is distinct from 0", |row, _| row["team"] != 0);
        Self { table, permissive, restrictive: walk.once_in(2).then_some(restrictive) }
    }

    fn sql(&self) -> String {
        let (table, mut number) = (self.table, 0);
        let mut policy = |kind: &str, condition: &str| {
            number += 1;
            format!("create policy seen_{number} on {table} as {kind} for select using ({condition});")
        };
        let mut sql = policy("permissive", "open");
        for (condition, _) in &self.permissive {
            sql.push_str(&policy("permissive", condition));
        }
        if let Some((condition, _)) = self.restrictive {
            sql.push_str(&policy("restrictive", condition));
        }
        sql
    }

    fn show(&self, row: &Value, user: Option<&str>) -> bool {
        row.is_object()
            && (row["open"] == true || self.permissive.iter().any(|(_, holds)| holds(row, user)))
            && self.restrictive.is_none_or(|(_, holds)| holds(row, user))
    }
}

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
    let mut postgres = Postgres::start();
    let (port, url) = (free_port(), postgres.url());
    let options = || Options::default().port(port).database(&url);
    let mut server = Server::start(options()).await;
    let keys = server.keys();
    let mut walk = Walk::new();
    let policies = [("plain", &OF_PLAIN[..]), ("asked", &OF_ASKED)];
    let policies = policies.map(|(table, conditions)| Policies::random(table, conditions, &mut walk));
    postgres.run(SCHEMA).await;
    for policies in &policies {
        postgres.run(&policies.sql()).await;
    }
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
        writers.spawn_local(writer(url.clone(), number, Arc::clone(&shared)));
    }
    for round in 0..rounds.unwrap_or(12) {
        let before = shared.commits.load(Ordering::SeqCst);
        eventually("writes to go on", async || shared.commits.load(Ordering::SeqCst) > before + 60).await;
        match round % 6 {
            3 => {
                server.kill().await;
                server = Server::start(options()).await;
            }
            5 => {
                postgres.kill();
                postgres.start_again();
            }
            _ if walk.once_in(2) => cut_connections(&postgres).await,
            _ => {}
        }
    }
    shared.is_over.store(true, Ordering::SeqCst);
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    for table in TABLES {
        postgres.run(&format!("insert into {table} values ({END}, null, null, true, 0)")).await;
    }
    let log = postgres.value("select jsonb_agg(to_jsonb(log) order by seq)::text from log").await;
    let log: Vec<Value> = serde_json::from_str(&log).unwrap();
    while let Some(heard) = subscribers.join_next().await {
        let (user, heard) = heard.unwrap();
        let allowed = allowed(&policies, &log, user);
        let wrong = allowed.iter().find(|(row, events)| heard.get(*row) != Some(*events));
        let seed = walk.seed();
        assert_eq!(
            wrong.map(|(row, events)| (row, events, heard.get(row))),
            None,
            "user {user:?}, seed {seed}, {}",
            policies.iter().map(Policies::sql).collect::<String>()
        );
        let foreign: Vec<_> = heard.keys().filter(|row| !allowed.contains_key(*row)).collect();
        assert!(foreign.is_empty(), "user {user:?} heard of {foreign:?}, seed {seed}");
    }
}

/// Ends every connection of the server's logins to the database.
async fn cut_connections(postgres: &Postgres) {
    postgres
        .run(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and usename in ('goforward', 'authenticator')",
        )
        .await;
}

/// Writes on rows of its own until the end, on another connection whenever one breaks. What a commit that broke came to, the
/// log says.
async fn writer(url: String, number: usize, shared: Arc<Shared>) {
    let mut walk = Walk::new();
    let (mut next, mut version) = (i64::try_from(number).unwrap() * 1_000_000 + 1, 0);
    let rows = (next, &mut next);
    let mut writing = Writing { number, rows, version: &mut version, walk: &mut walk };
    while !shared.is_over.load(Ordering::SeqCst) {
        let mut connected = None;
        eventually("a connection", async || {
            connected = PgConnection::connect(&url).await.ok();
            connected.is_some()
        })
        .await;
        let Some(mut connection) = connected else { continue };
        let mut works = true;
        while works && !shared.is_over.load(Ordering::SeqCst) {
            works = writing.transact(&mut connection, &shared).await.is_ok();
        }
    }
}

/// What a writer is at.
struct Writing<'a> {
    number: usize,
    rows: (i64, &'a mut i64),
    version: &'a mut i64,
    walk: &'a mut Walk,
}

impl Writing<'_> {
    /// One transaction. Every fourth writer keeps it open while the others go on.
    async fn transact(&mut self, connection: &mut PgConnection, shared: &Shared) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin().await?;
        for _ in 0..=self.walk.below(4) {
            *self.version += 1;
            let statement = statement(self.walk, (self.rows.0, self.rows.1), *self.version);
            transaction.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await?;
        }
        if self.number == 3 {
            let before = shared.commits.load(Ordering::SeqCst);
            eventually("others to commit", async || {
                shared.is_over.load(Ordering::SeqCst) || shared.commits.load(Ordering::SeqCst) > before + 40
            })
            .await;
        }
        if self.walk.once_in(5) {
            transaction.rollback().await
        } else {
            transaction.commit().await?;
            shared.commits.fetch_add(1, Ordering::SeqCst);
            Ok(())
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
fn allowed(policies: &[Policies], log: &[Value], user: Option<&str>) -> History {
    let mut history = History::new();
    for entry in log {
        let table = entry["name"].as_str().unwrap();
        let policies = policies.iter().find(|policies| policies.table == table).unwrap();
        let seen = |row: &Value| policies.show(row, user);
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
