//! What is refused, and with which advice; and disks that fill up.

use super::*;

/// A file system of its own size; `None` where this process may not mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = reachable();
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs"]).arg(directory.path());
        if command.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        eprintln!("skipped: no right to mount a small file system");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_disk_without_room_is_refused_before_anything_is_made() {
    let Some(disk) = SmallDisk::mount("100m") else { return };
    let config = quick(disk.0.path());

    let refused = start(&config).await.unwrap_err();

    assert!(matches!(refused, EmbeddedError::NoSpace { .. }), "{refused}");
    assert!(refused.to_string().contains("free at least 150 MB"));
    assert!(!config.data_dir.join("postgres").exists());
}

#[tokio::test]
async fn a_disk_that_fills_up_ends_the_service_and_room_brings_it_back() {
    let Some(disk) = SmallDisk::mount("200m") else { return };
    let config = quick(disk.0.path());
    let postgres = within(120, start(&config)).await.unwrap();
    let mut state = postgres.state();
    let mut connection = connect(&postgres).await;
    connection.execute("create table kept as select 7 as id").await.unwrap();
    let filler = disk.0.path().join("filler");
    let _ = fs::write(&filler, vec![1; 200 << 20]);
    // Needs new segments of the write-ahead log, for which there is no room: PostgreSQL gives up.
    let _ = connection
        .execute("create table big as select repeat('x', 1000) from generate_series(1, 100000)")
        .await;
    connection.execute("select pg_switch_wal()").await.ok();
    drop(connection);
    let restarting = state.wait_for(|state| *state == State::Restarting);
    let _ = tokio::time::timeout(Duration::from_secs(5), restarting).await;

    fs::remove_file(&filler).unwrap();

    within(120, state.wait_for(|state| *state == State::Ready)).await.unwrap();
    connect(&postgres).await.execute("select id from kept").await.unwrap();
    postgres.stop().await;
}

#[tokio::test]
async fn a_second_start_on_the_same_directory_is_refused_by_naming_the_first() {
    let directory = reachable();
    let config = quick(directory.path());
    let postgres = within(120, start(&config)).await.unwrap();

    let refused = start(&config).await.unwrap_err();

    assert!(
        matches!(&refused, EmbeddedError::AlreadyRunning { pid, .. } if *pid == std::process::id().to_string())
    );
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())));
    postgres.stop().await;
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
    within(120, start(&config)).await.unwrap().stop().await;
    let file = config.data_dir.join("postgres-passwords.json");
    fs::write(&file, r#"{"postgres":"x","goforward":"y","authenticator":"z"}"#).unwrap();

    assert!(matches!(within(120, start(&config)).await, Err(EmbeddedError::WrongPassword { .. })));
    fs::remove_file(&file).unwrap();
    assert!(matches!(start(&config).await, Err(EmbeddedError::Passwords { .. })));
    assert!(survivors::processes(&config.data_dir.join("postgres")).is_empty());
}

#[tokio::test]
async fn a_taken_loopback_port_is_named() {
    let directory = reachable();
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let config = EmbeddedConfig { loopback_port: Some(port), ..quick(directory.path()) };

    let refused = within(120, start(&config)).await.unwrap_err();

    assert!(matches!(refused, EmbeddedError::PortInUse { .. }), "{refused}");
    drop(taken);
    let postgres = within(120, start(&config)).await.unwrap();
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok());
    postgres.stop().await;
}
