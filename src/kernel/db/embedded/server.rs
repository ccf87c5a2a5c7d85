//! One PostgreSQL process: started, watched until it takes connections, stopped in order.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cluster::as_account;
use super::error::{EXISTING_CLUSTER_MB, EmbeddedError, io_error};
use super::home::Home;
use super::log::{self, Tail};
use super::{LoginPasswords, pidfile, survivors};

const STEP: Duration = Duration::from_millis(10);
/// How often a long start (crash recovery) is mentioned in the log.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How often a start is tried again while remains of an earlier server block it.
const BLOCKED_RETRIES: u32 = 50;
const BLOCKED_PAUSE: Duration = Duration::from_millis(200);
/// Time for an orderly stop, and for an immediate one after it.
const FAST: Duration = Duration::from_mins(1);
const IMMEDIATE: Duration = Duration::from_secs(5);

/// What it takes to start the server again and again.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) home: Home,
    pub(super) program: PathBuf,
    pub(super) socket_directory: PathBuf,
    pub(super) port: u16,
    /// Whether it also listens on 127.0.0.1.
    pub(super) on_loopback: bool,
    pub(super) passwords: LoginPasswords,
    pub(super) tail: Tail,
    pub(super) tracker: TaskTracker,
}

/// A server that takes connections, and the task that reads its log.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    log: JoinHandle<()>,
}

impl Server {
    /// Connects as `login` to `database` through the socket.
    pub(super) fn options(&self, login: &str, password: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_directory)
            .port(self.port)
            .username(login)
            .password(password)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Starts the server and returns when it takes connections.
    ///
    /// Crash recovery may take minutes: as long as the process lives this waits, until `cancel`.
    pub(super) async fn launch(&self, cancel: &CancellationToken) -> Result<Running, EmbeddedError> {
        let mut retries = 0;
        loop {
            survivors::stop(&self.home.cluster()).await?;
            self.clear_stale_socket();
            self.tail.clear();
            let mut running = self.spawn()?;
            match self.wait_ready(&mut running, cancel).await {
                Ok(()) => return Ok(running),
                Err(Failure::Blocked(_)) if retries < BLOCKED_RETRIES => {
                    retries += 1;
                    tokio::select! {
                        () = cancel.cancelled() => return Err(EmbeddedError::Cancelled),
                        () = tokio::time::sleep(BLOCKED_PAUSE) => {}
                    }
                }
                Err(Failure::Blocked(error) | Failure::Final(error)) => {
                    running.stop().await;
                    return Err(error);
                }
            }
        }
    }

    /// Removes the socket of a server that is gone: PostgreSQL refuses to start while a process has the number in its
    /// lock file, were it another's or one that nobody has reaped. The directory is ours and holds no other server's.
    fn clear_stale_socket(&self) {
        for suffix in ["", ".lock"] {
            let path = self.socket_directory.join(format!(".s.PGSQL.{}{suffix}", self.port));
            // What cannot be removed is PostgreSQL's to complain of.
            let _ = std::fs::remove_file(path);
        }
    }

    fn spawn(&self) -> Result<Running, EmbeddedError> {
        let cluster = self.home.cluster();
        let mut command = as_account(&self.program, self.home.account.as_ref());
        command
            .arg("-D")
            .arg(&cluster)
            .arg("-k")
            .arg(as_list(&self.socket_directory))
            .arg("-p")
            .arg(self.port.to_string());
        let address = if self.on_loopback { Ipv4Addr::LOCALHOST.to_string() } else { String::new() };
        for setting in [
            &format!("listen_addresses={address}"),
            "unix_socket_permissions=0700",
            "logging_collector=off",
            "log_destination=stderr",
            "log_line_prefix=",
        ] {
            command.args(["-c", setting]);
        }
        command.current_dir(&cluster).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(io_error("run", &self.program))?;
        let stderr = child.stderr.take();
        let tail = self.tail.clone();
        let log = self.tracker.spawn(async move {
            if let Some(stderr) = stderr {
                log::forward(stderr, tail).await;
            }
        });
        Ok(Running { child, log })
    }

    async fn wait_ready(&self, running: &mut Running, cancel: &CancellationToken) -> Result<(), Failure> {
        let started = Instant::now();
        let mut next_report = started + REPORT_EVERY;
        loop {
            let exited = running.child.try_wait();
            if !matches!(exited, Ok(None)) {
                running.drain_log().await;
                return Err(self.explain(&self.tail.text()));
            }
            let is_ready = pidfile::read(&self.home.cluster())
                .is_some_and(|file| file.is_ready && Some(file.pid) == running.pid());
            if is_ready && self.try_connect().await? {
                return Ok(());
            }
            if Instant::now() >= next_report {
                next_report += REPORT_EVERY;
                tracing::info!(
                    seconds = started.elapsed().as_secs(),
                    "PostgreSQL is still starting (recovery)"
                );
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(Failure::Final(EmbeddedError::Cancelled)),
                () = tokio::time::sleep(STEP) => {}
            }
        }
    }

    /// `false` while it does not take connections yet.
    async fn try_connect(&self) -> Result<bool, Failure> {
        match self.options("postgres", self.passwords.postgres.expose(), "postgres").connect().await {
            Ok(connection) => {
                let _ = connection.close().await;
                Ok(true)
            }
            // invalid_password, invalid_authorization_specification
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("28P01" | "28000")) =>
            {
                Err(Failure::Final(EmbeddedError::WrongPassword { path: self.home.passwords() }))
            }
            Err(_) => Ok(false),
        }
    }

    /// Finds the reason in the last lines of a server that ended while it started.
    fn explain(&self, text: &str) -> Failure {
        let path = || self.home.cluster();
        let says = |part: &str| text.contains(part);
        if says("is still in use") || says("lock file \"postmaster.pid\" already exists") {
            return Failure::Blocked(EmbeddedError::Start { message: text.to_owned() });
        }
        Failure::Final(if says("No space left on device") {
            EmbeddedError::NoSpace { path: path(), needed_mb: EXISTING_CLUSTER_MB }
        } else if says("Address already in use") && self.on_loopback {
            EmbeddedError::PortInUse { port: self.port }
        } else if says("Permission denied") || says("has wrong ownership") || says("has invalid permissions")
        {
            EmbeddedError::Permission { action: "use", path: path() }
        } else {
            EmbeddedError::Start { message: text.to_owned() }
        })
    }
}

/// A path as the only item of PostgreSQL's comma-separated list of directories.
fn as_list(directory: &Path) -> OsString {
    let mut quoted = b"\"".to_vec();
    for byte in directory.as_os_str().as_bytes() {
        quoted.extend_from_slice(if *byte == b'"' { b"\"\"" } else { std::slice::from_ref(byte) });
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

/// Why a start did not succeed.
enum Failure {
    /// Remains of an earlier server are in the way; they will go.
    Blocked(EmbeddedError),
    /// Another try would end the same.
    Final(EmbeddedError),
}

impl Running {
    /// The postmaster's process; `None` once it has ended.
    pub(super) fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Returns when the process has ended, with what the operating system says of it.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.drain_log().await;
        match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Lets the log reader catch up with a process that has ended; children may hold the pipe longer.
    async fn drain_log(&mut self) {
        let _ = tokio::time::timeout(Duration::from_millis(500), &mut self.log).await;
    }

    /// Stops the server: fast (clients are disconnected, a checkpoint is written), then immediate, then hard.
    pub(super) async fn stop(mut self) {
        for (signal, limit) in [(Signal::INT, FAST), (Signal::QUIT, IMMEDIATE), (Signal::KILL, IMMEDIATE)] {
            let Some(pid) = self.pid().and_then(Pid::from_raw) else { return };
            if let Err(error) = kill_process(pid, signal) {
                tracing::warn!(%error, "could not signal PostgreSQL");
            }
            if tokio::time::timeout(limit, self.ended()).await.is_ok() {
                return;
            }
            tracing::warn!(seconds = limit.as_secs(), "PostgreSQL does not stop, being more forceful");
        }
    }
}
