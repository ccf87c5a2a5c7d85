//! The migrations in `migrations/`: part of this program, applied in order, each once, each in its own transaction.
//!
//! A file is named `<timestamp>_<service>_<what>.sql`, touches one service's schema, and must work while the previous
//! version of goforward still runs. It never changes after a release: the checksum of an applied one must match. Numbers
//! that this program does not know are of a newer version and are left alone.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{Executor, Postgres, Transaction};

use super::error::BootstrapError;
use super::roles::can_act_as;
use super::step;
use super::{Owner, SERVICE_LOGIN};

/// One file.
#[derive(Debug)]
pub(super) struct Migration {
    /// The file's name without `.sql`.
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration {
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $name, ".sql")),
        }),*]
    };
}

/// All of them, oldest first; a test compares the list with the folder.
pub(super) const MIGRATIONS: &[Migration] = migrations![
    "20261120000100_auth_claims",
    "20261127000100_goforward_table_security",
    "20261127000300_goforward_narrowed_grants",
    "20261127000400_goforward_audit_log",
    "20261127000500_auth_schema",
    "20261127000600_goforward_auth",
    "20261127000700_goforward_jobs",
    "20261127000800_goforward_auth_challenges",
    "20261127000900_auth_pending_changes",
    "20261127001000_realtime_schema",
    "20261127001100_realtime_changes",
    "20261127001200_goforward_channels",
    "20261127001300_goforward_cron_schedules",
    "20261127001400_goforward_bus_messages",
    "20261127001500_realtime_lighter_capture",
    "20261127002000_storage_schema",
    "20261127002100_goforward_storage",
    "20261127002200_goforward_s3_keys",
    "20261127002300_goforward_tus_uploads",
    "20261127002400_goforward_scans",
    "20261127002410_goforward_purges",
    "20261127002420_goforward_thumbnails",
    "20261127002500_storage_file_references",
    "20261127002510_storage_listing_functions",
    "20261127002600_goforward_storage_guards",
];

const TABLE: &str = "create table if not exists goforward.migrations (
    name text primary key,
    checksum bytea not null,
    applied_at timestamptz not null default now()
)";

/// Applies what is missing; returns the names.
pub(super) async fn apply(
    connection: &mut PgConnection,
    owner: &Owner,
) -> Result<Vec<&'static str>, BootstrapError> {
    let has_table: bool =
        sqlx::query_scalar("select pg_catalog.to_regclass('goforward.migrations') is not null")
            .fetch_one(&mut *connection)
            .await?;
    let as_service = owner.name != SERVICE_LOGIN && can_act_as(connection, SERVICE_LOGIN).await?;
    if !has_table {
        let mut transaction = begin(connection, as_service).await?;
        transaction.execute(TABLE).await?;
        transaction.commit().await?;
    }
    let known = applied(connection).await?;
    let mut new = Vec::new();
    for migration in MIGRATIONS {
        match known.get(migration.name) {
            Some(checksum) if *checksum == migration.checksum() => {}
            Some(_) => return Err(BootstrapError::ChangedMigration { name: migration.name }),
            None if apply_one(connection, migration, as_service).await? => new.push(migration.name),
            None => {}
        }
    }
    Ok(new)
}

/// A step whose objects will belong to the login `goforward`, if the owner may act as it.
async fn begin(
    connection: &mut PgConnection,
    as_service: bool,
) -> Result<Transaction<'_, Postgres>, BootstrapError> {
    let mut transaction = step::begin(connection).await?;
    if as_service {
        transaction.execute("set local role goforward").await?;
    }
    Ok(transaction)
}

/// `false` if another node applied it meanwhile.
async fn apply_one(
    connection: &mut PgConnection,
    migration: &Migration,
    as_service: bool,
) -> Result<bool, BootstrapError> {
    let mut transaction = begin(connection, as_service).await?;
    // First the row: where it is there already, nothing must run.
    let inserted = sqlx::query(
        "insert into goforward.migrations (name, checksum) values ($1, $2) on conflict do nothing",
    )
    .bind(migration.name)
    .bind(migration.checksum())
    .execute(&mut *transaction)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    let failed = |source| BootstrapError::Migration { name: migration.name, source };
    transaction.execute(migration.sql).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

async fn applied(connection: &mut PgConnection) -> Result<HashMap<String, Vec<u8>>, sqlx::Error> {
    let rows: Vec<(String, Vec<u8>)> =
        sqlx::query_as("select name, checksum from goforward.migrations").fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

impl Migration {
    fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.sql).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_folder_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> =
            MIGRATIONS.iter().map(|migration| format!("{}.sql", migration.name)).collect();
        assert_eq!(listed, files);
    }

    #[test]
    fn names_are_a_timestamp_a_service_and_a_purpose() {
        for migration in MIGRATIONS {
            let (timestamp, rest) = migration.name.split_once('_').unwrap();
            assert!(
                timestamp.len() == 14 && timestamp.bytes().all(|byte| byte.is_ascii_digit()),
                "{}",
                migration.name
            );
            assert!(rest.contains('_'), "{}", migration.name);
        }
    }
}
