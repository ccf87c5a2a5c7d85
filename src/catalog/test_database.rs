//! A throwaway PostgreSQL for the tests of this folder, shared by those that run at the same time and stopped with the
//! last. Each test has a database of its own; where that is not enough, a server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

/// A running server, stopped when dropped.
pub(super) struct Cluster {
    directory: tempfile::TempDir,
    server: Mutex<Child>,
    databases: std::sync::atomic::AtomicUsize,
}

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// The shared server, or `None` (with a note) where PostgreSQL is not installed.
pub(super) fn cluster() -> Option<Arc<Cluster>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return Some(running);
    }
    let started = Arc::new(own_cluster()?);
    *shared = Arc::downgrade(&started);
    Some(started)
}

/// A server of a test's own, where nobody else makes roles: databases do not keep those apart.
pub(super) fn own_cluster() -> Option<Cluster> {
    let found = binaries();
    if found.is_none() {
        eprintln!("PostgreSQL is not installed: not run");
    }
    found.map(|binaries| Cluster::start(&binaries))
}

/// The newest installed version, or the folder that `GOFORWARD_TEST_PG_BIN` names.
fn binaries() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("GOFORWARD_TEST_PG_BIN") {
        return Some(folder.into());
    }
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

impl Cluster {
    fn start(binaries: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("gfcat").tempdir_in("/tmp").expect("a directory");
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            let status = Command::new("chown").arg("postgres").arg(directory.path()).status().expect("chown");
            assert!(status.success());
        }
        let program = |name: &str| {
            let mut command = if is_root {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                    .arg(binaries.join(name));
                command
            } else {
                Command::new(binaries.join(name))
            };
            command.current_dir(directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let data = directory.path().join("data");
        let status = program("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .status()
            .expect("initdb");
        assert!(status.success(), "initdb");
        let server = spawn_server(program("postgres"), &data, directory.path());
        let cluster = Self { directory, server: Mutex::new(server), databases: 0.into() };
        cluster.wait();
        cluster
    }

    /// The server's lock file says when it takes connections.
    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let lock = self.directory.path().join("data/postmaster.pid");
        while !std::fs::read_to_string(&lock)
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "ready"))
        {
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where to connect to `database` as the superuser.
    pub(super) fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .port(5433)
            .username("postgres")
            .database(database)
            .disable_statement_logging()
    }

    /// A new empty database.
    pub(super) async fn database(&self) -> PgConnectOptions {
        let number = self.databases.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("test_{number}");
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await.expect("connected");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {name}")))
            .execute(&mut connection)
            .await
            .expect("database created");
        self.options(&name)
    }

    /// Runs the loader of the conformance fixtures into a database called `name`.
    pub(super) fn load_fixtures(&self, folder: &Path, name: &str) {
        let output = Command::new("bash")
            .arg(folder.join("load_fixtures.sh"))
            .env("PGHOST", self.directory.path())
            .env("PGPORT", "5433")
            .env("PGDATABASE", name)
            .output()
            .expect("bash");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn spawn_server(mut command: Command, data: &Path, sockets: &Path) -> Child {
    command
        .arg("-D")
        .arg(data)
        .arg("-k")
        .arg(sockets)
        .args([
            "-p",
            "5433",
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "max_locks_per_transaction=1000",
        ])
        .spawn()
        .expect("postgres")
}

fn stop(server: &mut Child, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(server.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
    let _ = server.wait();
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        stop(&mut server, rustix::process::Signal::QUIT);
    }
}

/// The folder of the conformance cases, if it is beside the project.
pub(super) fn conformance() -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/conformance/postgrest"))
        .find(|folder| folder.join("load_fixtures.sh").exists());
    if found.is_none() {
        eprintln!("the conformance fixtures are not here: not run");
    }
    found
}

/// Runs several statements.
pub(super) async fn run(options: &PgConnectOptions, sql: &str) {
    let mut connection = PgConnection::connect_with(options).await.expect("connected");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("SQL runs");
    connection.close().await.expect("closed");
}
