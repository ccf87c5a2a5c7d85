//! A Redis of a test's own, on a Unix socket in a temporary folder: nothing is kept, and it can be killed, stopped and
//! started again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use goforward::kernel::redis::Redis;
use goforward::kernel::secret::Secret;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{eventually, free_port};

/// A Redis; killed when dropped.
pub struct RedisServer {
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
    /// Kills the server when this process ends without having done so: then its input ends.
    watcher: Option<Child>,
}

impl RedisServer {
    /// A running one.
    pub async fn start() -> Self {
        let mut server = Self::down();
        server.begin().await;
        server
    }

    /// The same with more arguments.
    pub async fn with(arguments: &[&str]) -> Self {
        let mut server = Self::down();
        server.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        server.begin().await;
        server
    }

    /// One for the name `localhost` that speaks TLS only; with its port and the file of the authority to trust.
    pub async fn with_tls() -> (Self, u16, PathBuf) {
        let authority_key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(parameters, authority_key);
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &issuer).unwrap().pem();
        let mut server = Self::down();
        let port = free_port();
        let files = [("authority", authority), ("certificate", certificate), ("key", key.serialize_pem())];
        let paths = files.map(|(name, text)| {
            let path = server.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        let [authority, certificate, key] = paths.map(|path| path.display().to_string());
        let port_text = port.to_string();
        let arguments = ["--bind", "127.0.0.1", "--tls-port", &port_text, "--tls-cert-file", &certificate]
            .into_iter()
            .chain(["--tls-key-file", &key, "--tls-auth-clients", "no"]);
        server.arguments = arguments.map(str::to_owned).collect();
        server.begin().await;
        (server, port, authority.into())
    }

    /// One that does not run yet.
    pub fn down() -> Self {
        let folder = tempfile::Builder::new().prefix("goforward-redis-").tempdir().unwrap();
        Self { folder, arguments: Vec::new(), child: None, watcher: None }
    }

    /// Starts it, or starts it again; it knows nothing of before.
    pub async fn begin(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no"]);
        command.arg("--unixsocket").arg(self.socket()).arg("--dir").arg(self.folder.path());
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("install Debian's package redis-server");
        let mut watcher = Command::new("sh");
        watcher.args(["-c", "read -r _; kill -9 \"$0\"", &child.id().to_string()]);
        self.watcher = Some(watcher.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        self.child = Some(child);
        eventually("Redis to listen", async || {
            std::os::unix::net::UnixStream::connect(self.socket()).is_ok()
        })
        .await;
    }

    /// Kills it.
    pub fn kill(&mut self) {
        // The watcher first: the number may be another's once the server is gone.
        for mut child in [self.watcher.take(), self.child.take()].into_iter().flatten() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// It answers nothing from now on, but its sockets stay.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The settings of a node for it.
    pub fn settings(&self) -> Redis {
        Redis::new(&Secret::new(self.url()), "test", None).unwrap()
    }

    /// What it answers to a command, as text.
    pub async fn ask(&self, command: &[&[u8]]) -> String {
        let client = redis::Client::open(self.url()).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        let mut sent = redis::Cmd::new();
        for part in command {
            sent.arg(*part);
        }
        let answer: redis::Value = sent.query_async(&mut connection).await.unwrap();
        format!("{answer:?}")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
