//! A PostgreSQL for one test, as a hoster would run it: passwords, its own access rules, stopped and started at will.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tempfile::TempDir;

use super::{account, as_account, binaries, free_port};

/// The superuser's password.
const PASSWORD: &str = "the superuser's";

/// A running or stopped PostgreSQL; gone with its files when dropped.
pub struct Postgres {
    home: TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Child>,
}

/// Gives the path to PostgreSQL's account.
fn owned(path: &Path) {
    if let Some((user, group)) = account() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

impl Postgres {
    /// Takes any login with a password.
    pub fn start() -> Self {
        Self::with(&[], "host all all all scram-sha-256\n", &[])
    }

    /// With settings (`name=value`), the text of `pg_hba.conf`, and files of the data directory.
    pub fn with(settings: &[&str], access: &str, files: &[(&str, &str)]) -> Self {
        let mut postgres = Self::empty(settings);
        let password = postgres.home.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        owned(&password);
        let mut initdb = postgres.program("initdb");
        let done = initdb
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg("--pwfile")
            .arg(&password)
            .arg("-D")
            .arg(postgres.data())
            .output()
            .unwrap();
        assert!(done.status.success(), "initdb failed: {}", String::from_utf8_lossy(&done.stderr));
        for (name, text) in files.iter().chain(&[("pg_hba.conf", access)]) {
            let path = postgres.data().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            owned(&path);
        }
        postgres.start_again();
        postgres
    }

    /// A standby that follows this server, which must let it in without a password. The server is stopped for a moment and
    /// its files are copied, since not every PostgreSQL comes with pg_basebackup.
    pub fn standby(&mut self) -> Self {
        let primary = format!("primary_conninfo=host=127.0.0.1 port={} user=postgres", self.port);
        let mut standby = Self::empty(&[&primary]);
        self.stop();
        let copied = Command::new("cp").arg("-a").args([self.data(), standby.data()]).status().unwrap();
        assert!(copied.success());
        let signal = standby.data().join("standby.signal");
        fs::write(&signal, "").unwrap();
        owned(&signal);
        self.start_again();
        standby.start_again();
        standby
    }

    /// Neither files nor a process yet.
    fn empty(settings: &[&str]) -> Self {
        let home = tempfile::Builder::new().prefix("goforward-external-").tempdir().unwrap();
        owned(home.path());
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { port: free_port(), settings, process: None, home }
    }

    fn program(&self, name: &str) -> Command {
        as_account(Command::new(binaries().join(name)), account(), self.home.path())
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A folder that PostgreSQL may write to.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join(name);
        fs::create_dir(&folder).unwrap();
        owned(&folder);
        folder
    }

    /// Starts it after [`Postgres::stop`], on the same port.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none());
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.home.path().join("log")).unwrap();
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k"]).arg(self.home.path());
        let fixed = ["listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=32MB"];
        for setting in fixed.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.process = Some(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        let is_ready = || {
            let state = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            state.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        };
        while !is_ready() {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL did not start:\n{}",
                fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it, cutting all connections.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _gone = kill_process(Pid::from_child(&child), Signal::INT);
            child.wait().unwrap();
        }
    }

    /// Ends it on the spot, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            kill_process(Pid::from_child(&child), Signal::QUIT).unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets all its processes stand still: connections stay open, and nothing answers.
    pub fn freeze(&self) {
        // Its first process first, so that no further one is made meanwhile.
        self.signal_all(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let Some(child) = &self.process else { return };
        let first = Pid::from_child(child);
        kill_process(first, signal).unwrap();
        let tasks = format!("/proc/{0}/task/{0}/children", child.id());
        let children = fs::read_to_string(tasks).unwrap();
        for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ended_meanwhile = kill_process(pid, signal);
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection string for the superuser in the database `postgres`.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// A connection string for the superuser in this database.
    pub fn url_of(&self, database: &str) -> String {
        self.url_as("postgres", &PASSWORD.replace(' ', "%20"), database)
    }

    /// A connection string for a login; all parts as they stand in a URL.
    pub fn url_as(&self, login: &str, password: &str, database: &str) -> String {
        format!("postgres://{login}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The superuser's password.
    pub fn password() -> &'static str {
        PASSWORD
    }

    /// Runs SQL by a connection string.
    pub async fn run_as(url: &str, sql: &str) {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        done.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    /// Runs SQL as the superuser in the database `postgres`.
    pub async fn run(&self, sql: &str) {
        Self::run_as(&self.url(), sql).await;
    }

    /// The first column of the first row, as the superuser.
    pub async fn value(&self, sql: &str) -> String {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
        row.try_get_raw(0).unwrap().as_str().unwrap().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.thaw(); // a frozen one would not stop
        }
        self.stop();
    }
}
