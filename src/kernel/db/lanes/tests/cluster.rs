//! Throwaway PostgreSQL clusters: one shared by all tests that only speak to it, own ones for tests that break it.
//!
//! A shell holds each server and ends it when the test process is gone, however that ends.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::kernel::db::embedded::tests::free_port;
use crate::kernel::db::target::{Host, Target};

const SETTINGS: &str = "fsync = off\nmax_connections = 80\nlogging_collector = off\nautovacuum = off\nssl = on\n\
    ssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nlog_min_messages = warning\nshared_buffers = 32MB\n";
const ACCESS: &str = "local all all trust\nhostssl all tls_user 127.0.0.1/32 scram-sha-256\n\
    host all scram_user 127.0.0.1/32 scram-sha-256\nhost all md5_user 127.0.0.1/32 md5\n\
    host all clear_user 127.0.0.1/32 password\n";
const ROLES: &str = "create role authenticator login noinherit; \
    create role md5_user login; set password_encryption = md5; alter role md5_user password 'pw'; reset password_encryption; \
    create role scram_user login password 'pw'; create role clear_user login password 'pw'; \
    create role tls_user login password 'pw';";

/// A server in a folder of its own.
pub(super) struct Cluster {
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    /// Closing it stops the server and removes the folder.
    keeper: (Child, Option<ChildStdin>),
}

/// The folder of PostgreSQL's programs.
pub(super) fn bin() -> String {
    std::env::var("GOFORWARD_TEST_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned())
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs as `postgres`, because PostgreSQL refuses root.
fn as_postgres(args: &[&str]) {
    let mut all = vec!["-u", "postgres", "--"];
    all.extend(args);
    run("runuser", &all);
}

impl Cluster {
    /// The cluster that tests share.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A cluster of its own for a test that stops or kills it.
    pub(super) fn start() -> Self {
        let bin = bin();
        let folder = tempfile::Builder::new().prefix("gf-wire-").tempdir_in("/tmp").unwrap().keep();
        run("chown", &["postgres:", folder.to_str().unwrap()]);
        let data = folder.join("data");
        as_postgres(&[
            &format!("{bin}/initdb"),
            "-D",
            data.to_str().unwrap(),
            "-A",
            "trust",
            "-U",
            "postgres",
            "-N",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]);
        let key = data.join("server.key");
        let certificate = data.join("server.crt");
        run(
            "openssl",
            &[
                "req",
                "-new",
                "-x509",
                "-days",
                "2",
                "-nodes",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
                key.to_str().unwrap(),
                "-out",
                certificate.to_str().unwrap(),
            ],
        );
        run("chown", &["postgres:", key.to_str().unwrap(), certificate.to_str().unwrap()]);
        let port = free_port();
        let own = format!("{SETTINGS}port = {port}\nunix_socket_directories = '{}'\n", folder.display());
        let file = data.join("postgresql.conf");
        fs::write(&file, fs::read_to_string(&file).unwrap() + &own).unwrap();
        fs::write(data.join("pg_hba.conf"), ACCESS).unwrap();
        let mut keeper = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "cat; kill -CONT $(head -n 1 {0}/data/postmaster.pid); runuser -u postgres -- {bin}/pg_ctl -D {0}/data -m immediate -s stop; rm -rf {0}",
                folder.display()
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = keeper.stdin.take();
        let cluster = Self { folder, port, keeper: (keeper, pipe) };
        cluster.launch();
        cluster.psql("postgres", ROLES);
        cluster
    }

    /// Starts the server and waits until it answers.
    pub(super) fn launch(&self) {
        let bin = bin();
        let data = self.folder.join("data");
        let log = self.folder.join("log");
        let start = format!("{bin}/pg_ctl -D {} -l {} -w -t 60 start", data.display(), log.display());
        let output =
            Command::new("runuser").args(["-u", "postgres", "--", "sh", "-c", &start]).output().unwrap();
        assert!(output.status.success(), "{}", fs::read_to_string(log).unwrap());
    }

    /// Sends a signal to the postmaster and all its processes, and waits for their end if it is KILL.
    pub(super) fn signal(&self, signal: &str) {
        let postmaster = self.postmaster();
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let all: Vec<_> = std::iter::once(postmaster.as_str()).chain(children.split_whitespace()).collect();
        for pid in &all {
            // A child may have ended by itself.
            let _ = Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status();
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        let is_running = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        };
        while signal == "-KILL" && all.iter().any(is_running) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if signal == "-KILL" {
            // Where nobody reaps the dead process, its number still looks alive to the next server.
            let _ = fs::remove_file(self.folder.join("data/postmaster.pid"));
            let _ = fs::remove_file(self.folder.join(format!(".s.PGSQL.{}.lock", self.port)));
        }
    }

    fn postmaster(&self) -> String {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().to_owned()
    }

    /// Runs SQL as the superuser.
    pub(super) fn psql(&self, database: &str, sql: &str) {
        let folder = self.folder.to_str().unwrap();
        let port = self.port.to_string();
        run(
            "psql",
            &[
                "-X",
                "-q",
                "-h",
                folder,
                "-p",
                &port,
                "-U",
                "postgres",
                "-d",
                database,
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
            ],
        );
    }

    /// The superuser's way to a database.
    pub(super) fn target(&self, database: &str) -> Target {
        Target::new(Host::new(self.folder.to_str().unwrap(), self.port), "postgres", database)
    }

    /// A new database.
    pub(super) async fn database(&'static self) -> Target {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("create database {name} template template0 strategy file_copy");
        tokio::task::spawn_blocking(move || {
            self.psql("postgres", &sql);
            self.target(&name)
        })
        .await
        .unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.1.take());
        let _ = self.keeper.0.wait();
    }
}
