//! The messages that the database holds: `realtime.messages`.

use std::time::Duration;

use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection as _, PgPool, Postgres};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::realtime::protocol::{Content, UserBroadcast};
use crate::realtime::request::{Replay, Topic};

/// The extension of rows that are broadcasts; others are there for policies to speak of.
const BROADCAST: &str = "broadcast";

/// One stored broadcast, as `to_jsonb` writes its row.
#[derive(Debug, Deserialize)]
pub(in crate::realtime) struct StoredMessage {
    /// Its id.
    pub(in crate::realtime) id: Uuid,
    /// The name of the topic.
    pub(in crate::realtime) topic: String,
    /// Whether the topic is a private one.
    #[serde(default)]
    pub(in crate::realtime) private: bool,
    extension: String,
    event: Option<String>,
    payload: Option<Box<RawValue>>,
    binary_payload: Option<String>,
}

impl StoredMessage {
    /// Reads a row; none if it is no broadcast.
    pub(in crate::realtime) fn read(row: &str) -> Option<Self> {
        let row: Self = serde_json::from_str(row).ok()?;
        (row.extension == BROADCAST).then_some(row)
    }

    /// The message as it is sent; none where it has no payload.
    pub(in crate::realtime) fn into_broadcast(self, replayed: bool) -> Option<UserBroadcast> {
        let event = self.event.unwrap_or_default();
        let broadcast = match (self.payload, self.binary_payload) {
            (Some(payload), _) => UserBroadcast::json(event, String::from(Box::<str>::from(payload)).into())?,
            (None, Some(hex)) => {
                UserBroadcast::bytes(event, hex::decode(hex.strip_prefix("\\x")?).ok()?.into())?
            }
            (None, None) => return None,
        };
        Some(broadcast.with_id(self.id, replayed))
    }
}

/// The newest private broadcasts on a topic since a moment, the oldest first.
const SINCE: &str = "
select to_jsonb(newest)::text from (
    select * from realtime.messages
    where topic = $1 and extension = 'broadcast' and private and inserted_at >= $2
    order by inserted_at desc, id desc
    limit $3
) newest
order by inserted_at, id";

/// Reads what [`Replay`] asks for.
pub(in crate::realtime) async fn since(
    pool: &PgPool,
    topic: &str,
    replay: Replay,
) -> Result<Vec<StoredMessage>, sqlx::Error> {
    let since = DateTime::from_timestamp_millis(replay.since).unwrap_or(DateTime::UNIX_EPOCH).naive_utc();
    let query = sqlx::query_scalar(SINCE).bind(topic).bind(since).bind(i64::from(replay.limit));
    let rows: Vec<String> = query.fetch_all(pool).await?;
    Ok(rows.iter().filter_map(|row| StoredMessage::read(row)).collect())
}

/// The trigger that captures messages is told that this server delivers them itself. Nobody waits for the disk: what a crash of
/// PostgreSQL takes is the last moment before it.
const BEGIN: &str = "begin; set local statement_timeout = '2s'; set local synchronous_commit = off;
set local goforward.delivered = 'on'";

/// Those that are kept together are read again in their order.
const KEEP: &str = "
insert into realtime.messages (id, topic, event, payload, binary_payload, private, extension, inserted_at)
select id, topic, event, cast(payload as jsonb), bytes, true, 'broadcast',
       (now() at time zone 'utc') + place * interval '1 microsecond'
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    with ordinality as kept (id, topic, event, payload, bytes, place)";

/// How long the answer to a commit is waited for: until it is there nobody knows what has become of it.
const COMMIT_PATIENCE: Duration = Duration::from_secs(3);

/// Keeps broadcasts on private topics for those who join later, all or none. One that fails is not kept, nor will be, even by
/// a database that goes on after `deadline`; unless it is lost between a commit and its answer.
pub(in crate::realtime) async fn keep(
    pool: &PgPool,
    deadline: Instant,
    broadcasts: &[(Uuid, &Topic, &UserBroadcast)],
) -> Result<(), sqlx::Error> {
    let mut connection = before(deadline, pool.acquire()).await?;
    let kept = async {
        let mut transaction = before(deadline, connection.begin_with(BEGIN)).await?;
        before(deadline, insert(broadcasts).execute(&mut *transaction)).await?;
        before(Instant::now() + COMMIT_PATIENCE, transaction.commit()).await
    };
    let kept = kept.await;
    if kept.as_ref().is_err_and(|error| error.as_database_error().is_none()) {
        // Closed, and so rolled back: it may be anywhere in what it was told.
        drop(connection.detach());
    }
    kept
}

async fn before<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout_at(deadline, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn insert<'q>(broadcasts: &[(Uuid, &'q Topic, &'q UserBroadcast)]) -> Query<'q, Postgres, PgArguments> {
    let contents = broadcasts.iter().map(|(.., broadcast)| match broadcast.content() {
        Content::Json(text) => (Some(text.as_str()), None),
        Content::Bytes(bytes) => (None, Some(&**bytes)),
    });
    let (texts, bytes): (Vec<Option<&str>>, Vec<Option<&[u8]>>) = contents.unzip();
    sqlx::query(KEEP)
        .bind(broadcasts.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
        .bind(broadcasts.iter().map(|(_, topic, _)| topic.name()).collect::<Vec<_>>())
        .bind(broadcasts.iter().map(|(.., broadcast)| broadcast.event()).collect::<Vec<_>>())
        .bind(texts)
        .bind(bytes)
}
