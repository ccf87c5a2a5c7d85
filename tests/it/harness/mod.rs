//! What every integration test stands on: a database of its own, the real executable in front of it, a client.
//!
//! Start reading at [`TestApp`]. `cluster.rs` boots one throwaway PostgreSQL for the whole run, shared by all test
//! processes; `database.rs` gives each test its own copy of a migrated template; `server.rs` runs the executable;
//! `client.rs` talks to it; `tokens.rs` signs callers; `process.rs` looks at it from outside; `smtp.rs` is a mail
//! server, `socket.rs` a client of realtime, `balancer.rs` stands in front of several servers, which are `nodes.rs`; `oidc.rs`
//! is an identity provider, `redis.rs` a Redis, `postgres.rs` a PostgreSQL of a test's own; `ports.rs` finds ports; `said.rs` keeps what is scanned for secrets in the end.
//! Nothing here asserts a rule of the product.

mod balancer;
mod client;
mod cluster;
mod database;
mod nodes;
mod oidc;
mod ports;
mod postgres;
mod process;
mod random_walk;
mod redis;
mod said;
mod server;
mod smtp;
mod socket;
mod tokens;

use std::time::Duration;

pub use balancer::Balancer;
pub use client::{Answer, Client, raw_request};
pub use cluster::{account, as_account, binaries};
pub use database::Database;
pub use nodes::Nodes;
pub use oidc::{Browser, CLIENT, FakeProvider, KeysRule, Landing};
pub(crate) use ports::free_port;
pub use postgres::Postgres;
pub use process::{idle, open_files, processor_time_within, resident_mib};
pub use random_walk::Walk;
pub use redis::RedisServer;
pub use server::{Options, Server, run as run_command, spawn as spawn_command};
pub use smtp::{SmtpRules, SmtpSink, SmtpTls};
pub use socket::{Event, Socket};
pub use tokens::{Caller, now, sign, unsigned};

/// A server with its own database, and clients for it.
pub struct TestApp {
    /// The running executable.
    pub server: Server,
    /// The database behind it; SQL runs as its owner.
    pub database: Database,
}

impl TestApp {
    /// A server with default settings on a fresh copy of the template.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// The same after `sql` has run, so that the tables are there when the catalog is first read.
    pub async fn with_sql(sql: &str) -> Self {
        let database = Database::create().await;
        database.run(sql).await;
        Self::on(database, Options::default()).await
    }

    /// A server with these settings.
    pub async fn with(options: Options) -> Self {
        Self::on(Database::create().await, options).await
    }

    /// A server with these settings on a database that a test has prepared.
    pub async fn on(database: Database, options: Options) -> Self {
        let server = Server::start(options.database(&database.url())).await;
        Self { server, database }
    }

    /// A client without a user: the anon key.
    pub fn anon(&self) -> Client {
        let key = self.server.keys().anon_key;
        self.client().apikey(&key).bearer(&key)
    }

    /// A client with the service key, which passes row-level security.
    pub fn service(&self) -> Client {
        let key = self.server.keys().service_role_key;
        self.client().apikey(&key).bearer(&key)
    }

    /// A signed-in user with this id.
    pub fn user(&self, id: &str) -> Client {
        self.caller(&Caller::user(id))
    }

    /// Whoever the claims say.
    pub fn caller(&self, caller: &Caller) -> Client {
        let keys = self.server.keys();
        self.client().apikey(&keys.anon_key).bearer(&caller.token(&keys.jwt_secret))
    }

    /// A client without any key.
    pub fn client(&self) -> Client {
        Client::new(self.server.url())
    }
}

/// How long a test waits for another process before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until the condition holds; fails with `what` after [`PATIENCE`].
pub async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    eventually_within(PATIENCE, what, condition).await;
}

/// The same with another patience.
pub async fn eventually_within(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + patience;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "did not happen within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What comes of a request in the end: with many at once, some may be told that there are too many, and to come again.
pub async fn decided(ask: impl AsyncFn() -> Answer) -> Answer {
    let mut answer = ask().await;
    eventually_within(Duration::from_mins(2), "a decision", async || {
        let is_final = !matches!(answer.status, 423 | 429 | 503);
        if !is_final {
            answer = ask().await;
        }
        is_final
    })
    .await;
    answer
}
