//! A database per test: a copy of a template that the executable itself has migrated, and SQL on it as psql would.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::cluster::{self, SUPERUSER};
use super::{Caller, Options, Server};

/// The login that owns the databases in the pass without a superuser.
const OWNER: &str = "it_owner";

/// A database that lives as long as this value.
pub struct Database {
    name: String,
}

impl Database {
    /// A copy of the migrated template.
    pub async fn create() -> Self {
        let template = template().await;
        let database = Self { name: fresh_name() };
        let sql = format!("create database {} template {template} owner {}", database.name, login());
        admin(&sql).await;
        database
    }

    /// A database that holds nothing, for services that must do without our schemas.
    pub async fn empty() -> Self {
        ensure_owner().await;
        let database = Self { name: fresh_name() };
        admin(&format!("create database {} template template0 owner {}", database.name, login())).await;
        database
    }

    /// The owner's connection string. The owner is a superuser unless `GOFORWARD_TEST_OWNER` asks for one who is not.
    pub fn url(&self) -> String {
        cluster::shared().url(login(), &self.name)
    }

    /// The connection string of another login.
    pub fn url_as(&self, login: &str) -> String {
        cluster::shared().url(login, &self.name)
    }

    /// Runs statements as the owner, like `psql -c`.
    pub async fn run(&self, sql: &str) {
        execute(&self.url(), sql).await;
    }

    /// Runs statements as the superuser of the cluster.
    pub async fn run_as_superuser(&self, sql: &str) {
        execute(&self.url_as(SUPERUSER), sql).await;
    }

    /// The first column of the first row as text; empty for null or no row. Asked as the superuser of the cluster, who sees
    /// everything.
    pub async fn value(&self, sql: &str) -> String {
        let mut connection = connect(&self.url_as(SUPERUSER)).await;
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut connection).await.unwrap();
        row.map(|row| text(&row)).unwrap_or_default()
    }

    /// What psql gives with `SET ROLE` and the caller's claims: the value of one query or writing statement, run in a
    /// transaction that is rolled back or committed; the SQLSTATE if PostgreSQL refuses.
    pub async fn as_caller(&self, caller: &Caller, sql: &str, commit: bool) -> Result<String, String> {
        let mut connection = connect(&self.url_as(SUPERUSER)).await;
        let mut transaction = connection.begin().await.unwrap();
        let claims = caller.claims().to_string();
        sqlx::query("select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)")
            .bind(caller.role())
            .bind(claims)
            .execute(&mut *transaction)
            .await
            .unwrap();
        let row = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| code_of(&error))?;
        if commit {
            transaction.commit().await.map_err(|error| code_of(&error))?;
        } else {
            transaction.rollback().await.unwrap();
        }
        Ok(row.map(|row| text(&row)).unwrap_or_default())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("drop database if exists {} with (force)", self.name);
        // A test may already be unwinding and its runtime be gone: a thread of its own, and no complaint if it fails.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(admin(&sql));
        });
        drop(dropped.join());
    }
}

fn text(row: &sqlx::postgres::PgRow) -> String {
    if row.is_empty() {
        return String::new();
    }
    let value = row.try_get_raw(0).unwrap();
    value.as_str().map(str::to_owned).unwrap_or_default()
}

fn code_of(error: &sqlx::Error) -> String {
    let database = error.as_database_error().unwrap_or_else(|| panic!("{error}"));
    database.code().unwrap_or_default().into_owned()
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn execute(url: &str, sql: &str) {
    let mut connection = connect(url).await;
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .unwrap_or_else(|error| panic!("{error}\n{sql}"));
}

async fn admin(sql: &str) {
    execute(&cluster::shared().url(SUPERUSER, "postgres"), sql).await;
}

fn login() -> &'static str {
    if std::env::var_os("GOFORWARD_TEST_OWNER").is_some() { OWNER } else { SUPERUSER }
}

async fn ensure_owner() {
    let create = "do $$ begin
        if not exists (select from pg_roles where rolname = 'it_owner') then
            create role it_owner login createrole createdb nosuperuser;
        end if;
    exception when duplicate_object or unique_violation then null;
    end $$";
    admin(create).await;
}

/// Unique within the cluster, also over processes.
fn fresh_name() -> String {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    format!("it_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// The template of this build of the executable, made once: an empty database that `serve` has migrated.
async fn template() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    // A thread of its own, since waiting for the lock of another process would stop this test's runtime.
    let made = tokio::task::spawn_blocking(|| {
        NAME.get_or_init(|| {
            cluster::shared();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            cluster::exclusively(|| runtime.block_on(make_template()))
        })
    });
    made.await.unwrap()
}

async fn make_template() -> String {
    ensure_owner().await;
    let name = template_name();
    let mut connection = connect(&cluster::shared().url(SUPERUSER, "postgres")).await;
    let exists: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
        .bind(&name)
        .fetch_optional(&mut connection)
        .await
        .unwrap();
    if exists.is_none() {
        let draft = format!("{name}_draft");
        admin(&format!("drop database if exists {draft} with (force)")).await;
        admin(&format!("create database {draft} template template0 owner {}", login())).await;
        let mut server =
            Server::start(Options::default().database(&cluster::shared().url(login(), &draft))).await;
        server.stop().await;
        admin(&format!("alter database {draft} rename to {name}")).await;
    }
    name
}

fn template_name() -> String {
    let meta = std::fs::metadata(env!("CARGO_BIN_EXE_goforward")).unwrap();
    let built = meta.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
    format!("it_template_{}_{:x}", login(), built.as_nanos())
}
