//! Which tables are captured: those of the publication `supabase_realtime`. As the owner of the tables, since nobody else
//! may put triggers on them.
//!
//! Where event triggers can be had, capture follows the publication in the transaction that changes it; what is said here is
//! the way without them, and finishes what could not be done there because a table was in use.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::kernel::db::login::Login;

/// How often it is looked.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that a look may take; a table in use takes 50 ms of it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A table where capture is not as the publication wants it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Uncaptured {
    /// The table, quoted and qualified as SQL needs it.
    pub table: String,
    /// What PostgreSQL says to it.
    pub problem: String,
}

/// Brings capture to where the publication wants it; returns the tables where that was not possible now.
pub async fn sync(connection: &mut PgConnection) -> Result<Vec<Uncaptured>, sqlx::Error> {
    sqlx::query_as("select relation::text as \"table\", problem from realtime.sync_capture()")
        .fetch_all(connection)
        .await
}

/// Keeps capture where the publication wants it, until `stop`.
pub async fn follow(owner: Login, stop: CancellationToken) {
    let mut connection = None;
    let mut told = Vec::new();
    while stop.run_until_cancelled(sleep(PAUSE)).await.is_some() {
        let looked = timeout(PATIENCE, look(&owner, &mut connection));
        match stop.run_until_cancelled(looked).await {
            None => break,
            Some(Ok(Ok(uncaptured))) => tell(&mut told, uncaptured),
            Some(Ok(Err(error))) => {
                tracing::debug!(%error, "cannot see which tables are to be captured");
                connection = None;
            }
            Some(Err(_)) => connection = None,
        }
    }
    if let Some(connection) = connection {
        // It was used to look only: that it ends badly changes nothing.
        let _ = connection.close().await;
    }
}

async fn look(owner: &Login, connection: &mut Option<PgConnection>) -> Result<Vec<Uncaptured>, sqlx::Error> {
    let working = match connection.take() {
        Some(working) => working,
        None => owner.connect().await?,
    };
    sync(connection.insert(working)).await
}

/// Says it once: a table may be in use, or somebody else's, for long.
fn tell(told: &mut Vec<Uncaptured>, uncaptured: Vec<Uncaptured>) {
    for Uncaptured { table, problem } in uncaptured.iter().filter(|new| !told.contains(new)) {
        tracing::warn!(table, problem, "capture does not follow the publication yet; it is tried again");
    }
    *told = uncaptured;
}
