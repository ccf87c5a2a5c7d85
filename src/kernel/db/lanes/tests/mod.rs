//! The lanes and the wire client against a real PostgreSQL.

mod bench;
mod cluster;
mod departures;
mod groups;
mod isolation;
mod logins;
mod outages;
mod sharing;
mod stopping;

use std::future::Future;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::cluster::Cluster;
use super::{LaneConfig, Lanes};
use crate::kernel::db::target::Target;
use crate::kernel::db::wire::{Access, DbError, Finish, Group, Query, Reply, SqlError};
use crate::kernel::sql::Param;

/// Lanes that end with the test.
struct Running {
    lanes: Lanes,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl std::ops::Deref for Running {
    type Target = Lanes;

    fn deref(&self) -> &Lanes {
        &self.lanes
    }
}

impl Running {
    fn start(target: Target, config: LaneConfig) -> Self {
        let tracker = TaskTracker::new();
        let cancel = CancellationToken::new();
        let lanes = Lanes::start(target, config, &tracker, cancel.clone()).unwrap();
        Self { lanes, tracker, cancel }
    }

    /// On the shared cluster, in a database of its own.
    async fn fresh(config: LaneConfig) -> Self {
        Self::start(Cluster::shared().database().await, config)
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Runs a query as the login and gives its only cell.
    async fn cell(&self, sql: &str) -> Result<String, DbError> {
        cell(self.run(write(sql)).await?).await
    }

    async fn execute(&self, sql: &str) {
        self.run(write(sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}")).finish().await.unwrap();
    }

    /// The SQL error of a query that must fail.
    async fn sql_error(&self, group: Group) -> SqlError {
        let error = match self.run(group).await {
            Ok(reply) => reply.finish().await.unwrap_err(),
            Err(error) => error,
        };
        match error {
            DbError::Sql(error) => *error,
            other => panic!("{other:?}"),
        }
    }
}

fn small() -> LaneConfig {
    LaneConfig { max_connections: 6, shared_connections: 2, ..LaneConfig::default() }
}

fn query(sql: &str, columns: u16) -> Query {
    Query { sql: sql.into(), params: Vec::new(), columns, prepared: true }
}

fn write(sql: &str) -> Group {
    Group::new(query(sql, 0), Access::Write)
}

fn read(sql: &str) -> Group {
    let shape = sql.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Group::new(query(sql, 0), Access::Read { shape })
}

/// The last cell of the first row.
async fn cell(mut reply: Reply) -> Result<String, DbError> {
    reply.next_row().await?.expect("a row");
    let mut text = Vec::new();
    while let Some(chunk) = reply.chunk().await? {
        text.extend_from_slice(&chunk);
    }
    reply.finish().await?;
    Ok(String::from_utf8(text).unwrap())
}

/// Waits until `condition` holds, at most twenty seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn shape(group: &Group) -> u64 {
    let Access::Read { shape } = group.access else { panic!("only reads have one") };
    shape
}

/// Runs a read, and has its shape count as proven however long that took.
async fn prove(lanes: &Lanes, group: &Group) {
    lanes.run(group.clone()).await.unwrap().finish().await.unwrap();
    while !lanes.hub.shapes.is_proven(shape(group)) {
        lanes.hub.shapes.prove(shape(group));
    }
}

fn text(value: &str) -> Param {
    Param::text(value.as_bytes().to_vec())
}

fn deciding(mut group: Group) -> Group {
    group.finish = Finish::Decide;
    group
}
