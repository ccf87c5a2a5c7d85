//! One throwaway PostgreSQL for the whole test run, whatever runs the tests: `cargo test` with threads, or a runner
//! with a process per test.
//!
//! The first process to come starts the cluster under a file lock and writes where it is; the others read that. Every
//! process holds a shared lock for as long as it lives. A small shell process waits until nobody holds it any more and
//! then stops the cluster and removes its files, so nothing is left behind, not even after a kill.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Where the cluster listens.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Cluster {
    /// Its port on the loopback address.
    pub(super) port: u16,
    home: PathBuf,
}

/// The superuser of the cluster; it needs no password.
pub(super) const SUPERUSER: &str = "postgres";

/// Stops the cluster when no test process is left for a while. Arguments: start lock, users' lock, state file, home.
const WATCH: &str = r#"
while :; do
  flock -x "$2" true
  seen=$(stat -c %y "$2")
  sleep 15
  exec 9>"$1"
  flock -x 9
  if flock -n -x "$2" true && [ "$seen" = "$(stat -c %y "$2")" ]; then
    rm -f "$3"
    pid=$(head -n 1 "$4/data/postmaster.pid")
    kill -INT "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    rm -rf "$4"
    exit 0
  fi
  exec 9>&-
done
"#;

/// The cluster of this run, started if need be. Blocks for the second or two that takes.
pub(super) fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<(Cluster, File)> = OnceLock::new();
    let (cluster, _users) = CLUSTER.get_or_init(join);
    cluster
}

/// Runs `work` while no other test process can run such work.
pub(super) fn exclusively<T>(work: impl FnOnce() -> T) -> T {
    let _guard = locked(&folder().join("start.lock"));
    work()
}

#[expect(clippy::zombie_processes, reason = "the watching process outlives this one on purpose")]
fn join() -> (Cluster, File) {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let (start, users, state) =
        (folder.join("start.lock"), folder.join("users.lock"), folder.join("cluster.json"));
    let _guard = locked(&start);
    let mut mine = open(&users);
    mine.lock_shared().unwrap();
    mine.write_all(b".").unwrap(); // changes the time that the watching process compares
    if let Some(cluster) = running(&state) {
        return (cluster, mine);
    }
    let cluster = Cluster::start();
    fs::write(&state, serde_json::to_vec(&cluster).unwrap()).unwrap();
    Command::new("sh")
        .args(["-c", WATCH, "sh"])
        .args([&start, &users, &state, &cluster.home])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    (cluster, mine)
}

/// One folder per PostgreSQL, so that runs against several versions do not meet.
fn folder() -> PathBuf {
    let name: String = binaries().to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster{name}"))
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn locked(path: &Path) -> File {
    let file = open(path);
    file.lock().unwrap();
    file
}

fn running(state: &Path) -> Option<Cluster> {
    let cluster: Cluster = serde_json::from_slice(&fs::read(state).ok()?).ok()?;
    let pid = fs::read_to_string(cluster.home.join("data/postmaster.pid")).ok()?;
    let alive = Path::new("/proc").join(pid.lines().next()?).exists();
    (alive && std::net::TcpStream::connect(("127.0.0.1", cluster.port)).is_ok()).then_some(cluster)
}

impl Cluster {
    fn start() -> Self {
        let home = tempfile::Builder::new().prefix("goforward-it-").tempdir().unwrap().keep();
        let account = account();
        if let Some((user, group)) = account {
            chown(&home, Some(user), Some(group)).unwrap();
        }
        let data = home.join("data");
        let done = as_account(Command::new(binaries().join("initdb")), account, &home)
            .args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(done.status.success(), "initdb failed: {}", String::from_utf8_lossy(&done.stderr));
        for _ in 0..5 {
            let port = super::free_port();
            if launch(&home, &data, port, account) {
                return Self { port, home };
            }
        }
        panic!("PostgreSQL did not start:\n{}", fs::read_to_string(home.join("log")).unwrap_or_default());
    }

    /// A connection string for the superuser or another login.
    pub(super) fn url(&self, login: &str, database: &str) -> String {
        format!("postgres://{login}@127.0.0.1:{}/{database}", self.port)
    }
}

/// Whether PostgreSQL answers on the port within the deadline.
fn launch(home: &Path, data: &Path, port: u16, account: Option<(u32, u32)>) -> bool {
    let log = open(&home.join("log"));
    let mut command = as_account(Command::new(binaries().join("postgres")), account, home);
    command.arg("-D").arg(data).args(["-p", &port.to_string(), "-k"]).arg(home);
    for setting in [
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "wal_level=logical",
        "max_connections=400",
        "shared_buffers=64MB",
    ] {
        command.args(["-c", setting]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap();
    answers(&mut child, data)
}

fn answers(child: &mut Child, data: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_mins(1);
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The command as that account, in `home`, with nothing of this process's environment.
pub fn as_account(mut command: Command, account: Option<(u32, u32)>, home: &Path) -> Command {
    command.env_clear().env("LC_ALL", "C.UTF-8").env("TZ", "UTC").current_dir(home);
    if let Some((user, group)) = account {
        command.uid(user).gid(group);
    }
    command
}

/// The unprivileged account for PostgreSQL when the tests run as root.
pub fn account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
        Some((ids.next()?, ids.next()?))
    };
    Some(of("postgres").or_else(|| of("nobody")).expect("an account named postgres or nobody"))
}

/// The folder of the PostgreSQL to test with: `GOFORWARD_TEST_POSTGRES`, else the newest installed.
pub fn binaries() -> PathBuf {
    if let Ok(given) = std::env::var("GOFORWARD_TEST_POSTGRES") {
        return PathBuf::from(given);
    }
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = installed
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|major| Path::new(&format!("/usr/lib/postgresql/{major}/bin/initdb")).exists())
        .max()
        .expect("install PostgreSQL (Debian: apt-get install postgresql) or set GOFORWARD_TEST_POSTGRES to its bin folder");
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}
