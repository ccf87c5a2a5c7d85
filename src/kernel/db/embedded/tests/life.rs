//! Cold starts, restarts, and crashes of either side.

use super::*;

#[tokio::test]
async fn a_new_data_directory_becomes_a_server_with_checksums_utf8_and_logical_wal() {
    let directory = reachable();
    // Separators of PostgreSQL's lists and of URLs must not matter.
    let config = quick(&directory.path().join("my, \"own\" @data"));
    let postgres = within(120, start(&config)).await.unwrap();

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
    let first = within(120, start(&config)).await.unwrap();
    let mut connection = connect(&first).await;
    connection.execute("create table kept as select 7 as id").await.unwrap();
    connection.execute("alter system set work_mem = '9MB'").await.unwrap();
    let password = first.passwords().clone();
    first.stop().await;

    let second = within(120, start(&config)).await.unwrap();

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
    let postgres = within(120, start(&config)).await.unwrap();
    let mut state = postgres.state();
    let mut busy = connect(&postgres).await;
    busy.execute("create table kept as select 7 as id").await.unwrap();
    for _ in 0..2 {
        state.mark_unchanged();
        // A backend in the middle of work outlives its postmaster and holds the shared memory.
        let sleeper = tokio::spawn(async move { busy.execute("select pg_sleep(60)").await });
        kill_process(Pid::from_raw(postmaster(&config)).unwrap(), Signal::KILL).unwrap();
        within(10, state.changed()).await.unwrap();
        within(120, state.wait_for(|state| *state == State::Ready)).await.unwrap();
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
        let postgres = within(120, start(&config)).await.unwrap();
        let mut connection = connect(&postgres).await;
        let id: i32 = sqlx::query_scalar("select id from kept").fetch_one(&mut connection).await.unwrap();
        assert_eq!(id, 7);
        assert_ne!(postmaster(&config), before);
        postgres.stop().await;
    });
}

#[tokio::test]
async fn a_hard_stop_ends_the_server_and_the_next_start_has_what_was_committed() {
    let directory = reachable();
    let config = EmbeddedConfig { is_durable: true, ..quick(directory.path()) };
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let postgres = EmbeddedPostgres::start(&config, &Random::system(), &tracker, &cancel).await.unwrap();
    connect(&postgres).await.execute("create table kept as select 7 as id").await.unwrap();
    let pid = postmaster(&config);

    cancel.cancel();
    postgres.stop_hard();

    within(10, async {
        while survivors::processes(&config.data_dir.join("postgres")).contains(&pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(postgres);
    tracker.close();
    within(10, tracker.wait()).await;
    let again = within(120, start(&config)).await.unwrap();
    connect(&again).await.execute("select id from kept").await.unwrap();
    again.stop().await;
}

#[tokio::test]
async fn stale_lock_files_and_an_interrupted_initdb_do_not_hinder_a_start() {
    let directory = reachable();
    let config = quick(directory.path());
    fs::create_dir_all(config.data_dir.join("postgres.part/base")).unwrap();
    fs::write(config.data_dir.join("goforward.lock"), "1\n").unwrap();
    let first = within(120, start(&config)).await.unwrap();
    first.stop().await;
    assert!(!config.data_dir.join("postgres.part").exists());
    // A number that a stranger has by now.
    let stale = format!("{}\n/old\n1\n5432\n/run\n\n 1 2\nready   \n", std::process::id());
    fs::write(config.data_dir.join("postgres/postmaster.pid"), stale).unwrap();

    let second = within(120, start(&config)).await.unwrap();

    second.stop().await;
}

#[tokio::test]
async fn a_long_path_moves_the_socket_to_a_short_directory() {
    let directory = reachable();
    let deep = directory.path().join("d".repeat(100));
    let postgres = within(120, start(&quick(&deep))).await.unwrap();

    assert!(!postgres.socket_dir().starts_with(&deep));
    connect(&postgres).await;
    let short = postgres.socket_dir().to_owned();
    postgres.stop().await;
    fs::remove_dir_all(short).unwrap();
}

#[tokio::test]
async fn cancelling_stops_the_server_and_a_start_that_is_called_off_leaves_nothing_behind() {
    let directory = reachable();
    let config = quick(directory.path());
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let postgres = EmbeddedPostgres::start(&config, &Random::system(), &tracker, &cancel).await.unwrap();
    let mut state = postgres.state();

    cancel.cancel();
    within(120, state.wait_for(|state| *state == State::Stopped)).await.unwrap();
    tracker.close();
    within(10, tracker.wait()).await;
    assert!(!postgres.is_ready());
    drop(postgres);

    let called_off = EmbeddedPostgres::start(&config, &Random::system(), &TaskTracker::new(), &cancel).await;
    assert!(matches!(called_off, Err(EmbeddedError::Cancelled)));
    assert!(survivors::processes(&config.data_dir.join("postgres")).is_empty());
}
