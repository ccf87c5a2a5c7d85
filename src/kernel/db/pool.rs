//! The connections of services other than REST: a small pool under one of our own logins.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::login::Login;

/// How long a service waits for a connection; then its database counts as down.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_mins(5);
/// How long after its use a connection counts as alive.
const FRESH: Duration = Duration::from_secs(1);
/// How often it is looked which of several servers is the right one.
const FOLLOW: Duration = Duration::from_secs(5);

/// A pool of at most so many connections, opened when they are needed. It ends at `stop`, and follows the login to another
/// of its servers after a failover.
pub async fn start(
    login: Login,
    most: u32,
    (tracker, stop): (&TaskTracker, CancellationToken),
) -> Result<PgPool, sqlx::Error> {
    let options = PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(PATIENCE)
        .idle_timeout(IDLE)
        .test_before_acquire(false)
        // Asking a connection whether it lives takes a round trip, which one that was just used need not spend.
        .before_acquire(|connection, known| {
            Box::pin(async move { Ok(known.idle_for < FRESH || connection.ping().await.is_ok()) })
        });
    let pool = options.connect_lazy_with(login.choose().await?);
    let watched = pool.clone();
    tracker.spawn(async move {
        loop {
            let pause = if login.has_choice() { FOLLOW } else { Duration::MAX };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            // A server that is down is told of by whoever needs it.
            if let Ok(server) = login.choose().await {
                watched.set_connect_options(server);
            }
        }
        watched.close().await;
    });
    Ok(pool)
}

/// Begins a transaction, to its end even where nobody waits for it any more.
///
/// sqlx counts a transaction once `BEGIN` has been answered. A caller who goes away before that, as when a client hangs up, would
/// leave a connection in the pool that is in a transaction and does not know it: what others do on it would not be committed.
#[expect(clippy::disallowed_methods, reason = "the one place that waits for it in any case")]
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let beginning = tokio::spawn(async move { pool.begin().await });
    beginning.await.unwrap_or_else(|error| Err(sqlx::Error::Io(std::io::Error::other(error))))
}

/// Whether a login may do what accounts and jobs need: an existing schema may be somebody else's.
pub async fn may_keep_accounts(login: &Login) -> Result<bool, sqlx::Error> {
    let mut connection = login.connect().await?;
    let allowed = sqlx::query_scalar(
        "select coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('auth.users'), 'insert'), false)
            and coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('goforward.jobs'), 'insert'), false)",
    )
    .fetch_one(&mut connection)
    .await;
    let _ = connection.close().await;
    allowed
}
