//! The real executable: started on a free port, awaited until it is ready, its log kept, stopped when dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use super::{Client, PATIENCE, eventually, free_port, said};

/// The executable under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_goforward");

/// What tokens are signed with where the database is external.
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// How to start a server. The default has an embedded database; [`Options::database`] gives it one.
#[derive(Default)]
pub struct Options {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    config: Option<String>,
    data: Option<PathBuf>,
    port: Option<u16>,
    admin: Option<u16>,
}

impl Options {
    /// An external database. It needs a secret of ours too, where the embedded one has its own.
    pub fn database(self, url: &str) -> Self {
        self.set("auth.jwt_secret", SECRET).environment("DATABASE_URL", url)
    }

    /// One more environment variable.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A configuration key by its path, as in `rest.max_rows`.
    pub fn set(self, key: &str, value: &str) -> Self {
        let name = format!("GOFORWARD_{}", key.replace('.', "__").to_uppercase());
        self.environment(&name, value)
    }

    /// One more argument after `serve`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A configuration file with this text.
    pub fn config(mut self, yaml: &str) -> Self {
        self.config = Some(yaml.to_owned());
        self
    }

    /// A data directory that outlives the server, for restarts.
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// An admin listener, which is then asked whether the server is ready.
    pub fn admin(mut self, port: u16) -> Self {
        self.admin = Some(port);
        self.set("server.admin_port", &port.to_string())
    }

    /// A port that outlives the server, for restarts.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}

/// What `goforward keys --json` prints.
#[derive(Clone, Deserialize)]
pub struct Keys {
    /// Where the API is.
    pub api_url: String,
    /// The public key.
    pub anon_key: String,
    /// The key that passes row-level security.
    pub service_role_key: String,
    /// What user tokens are signed with (HS256).
    pub jwt_secret: String,
    /// The owner's connection string of the embedded database; null for an external one.
    pub database_url: Option<String>,
}

/// A running server.
pub struct Server {
    child: Child,
    port: u16,
    admin: Option<u16>,
    home: TempDir,
    data: PathBuf,
    environment: Vec<(String, String)>,
    keys: OnceLock<Keys>,
}

impl Server {
    /// Starts the executable and waits until it is ready. Fails with its log if it ends before that.
    pub async fn start(options: Options) -> Self {
        let mut server = Self::spawn(options);
        server.wait_until_ready().await;
        server
    }

    /// Starts the executable without waiting.
    pub fn spawn(options: Options) -> Self {
        let home = tempfile::Builder::new().prefix("goforward-server-").tempdir().unwrap();
        // The embedded database's account must be able to pass through.
        fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let data = options.data.unwrap_or_else(|| home.path().join("data"));
        let port = options.port.unwrap_or_else(free_port);
        let log = File::create(home.path().join("log")).unwrap();
        let mut command = command(&options.environment);
        command.arg("serve").args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.arg("--data-dir").arg(&data).args(&options.arguments).current_dir(home.path());
        if let Some(yaml) = options.config {
            let file = home.path().join("config.yaml");
            fs::write(&file, yaml).unwrap();
            command.arg("--config").arg(file);
        }
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self {
            child,
            port,
            admin: options.admin,
            home,
            data,
            environment: options.environment,
            keys: OnceLock::new(),
        }
    }

    /// Waits for the readiness probe.
    pub async fn wait_until_ready(&mut self) {
        let probe = Client::new(format!("http://127.0.0.1:{}", self.admin.unwrap_or(self.port)));
        let deadline = tokio::time::Instant::now() + PATIENCE * 2;
        while probe.try_get("/health/ready").await.is_none_or(|answer| answer.status != 200) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status} before it was ready:\n{}", self.log());
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not ready within {:?}:\n{}",
                PATIENCE * 2,
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// The keys of its data directory.
    pub fn keys(&self) -> Keys {
        let read = || {
            let output = command(&self.environment)
                .args(["keys", "--json", "--data-dir"])
                .arg(&self.data)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "goforward keys failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            serde_json::from_slice(&output.stdout).unwrap()
        };
        self.keys.get_or_init(read).clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it gently and waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Kills it on the spot.
    pub async fn kill(&mut self) {
        self.child.kill().unwrap();
        self.ended().await;
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let child = &mut self.child;
        eventually("the server's end", async || {
            status = child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Gently first: an embedded database must not outlive its server.
            let _gone = kill_process(Pid::from_child(&self.child), Signal::TERM);
            for _ in 0..500 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _gone = self.child.kill();
            let _status = self.child.wait();
        }
        let log = self.log();
        said::keep("logs", log.as_bytes());
        if std::thread::panicking() {
            let start = log.len().saturating_sub(4000);
            let tail = log.get(start..).unwrap_or(&log);
            eprintln!("--- end of the server's log ---\n{tail}");
        }
    }
}

/// Runs the executable to its end, for commands other than `serve`.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    plain(arguments, environment).output().unwrap()
}

/// The same without waiting for its end; its output is kept.
pub fn spawn(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    plain(arguments, environment).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn plain(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut command = command(&environment);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The executable with nothing of the caller's environment but what programs need to be found.
fn command(environment: &[(String, String)]) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command.env("GOFORWARD_ENVIRONMENT", "development");
    for name in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}
