//! The messages that the database holds: `realtime.messages`.

use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgPool;
use uuid::Uuid;

use crate::realtime::protocol::{Content, UserBroadcast};
use crate::realtime::request::{Replay, Topic};

/// The extension of rows that are broadcasts; others are there for policies to speak of.
const BROADCAST: &str = "broadcast";

/// One stored broadcast, as `to_jsonb` writes its row.
#[derive(Debug, Deserialize)]
pub(in crate::realtime) struct StoredMessage {
    /// Its id.
    pub(in crate::realtime) id: String,
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
        Some(broadcast.with_id(&self.id, replayed))
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

/// Keeps a message that this server delivers itself, as the trigger that captures messages is told. Nobody waits for the disk:
/// what a crash of PostgreSQL takes is the last moment before it.
const KEEP: &str = "
with told as materialized (
    select set_config('goforward.delivered', 'on', true), set_config('synchronous_commit', 'off', true)
)
insert into realtime.messages (id, topic, event, payload, binary_payload, private, extension)
select $1, $2, $3, cast($4 as text)::jsonb, $5, $6, 'broadcast' from told";

/// Keeps a broadcast of a client for those who join later.
pub(in crate::realtime) async fn keep(
    pool: &PgPool,
    (id, topic): (Uuid, &Topic),
    broadcast: &UserBroadcast,
) -> Result<(), sqlx::Error> {
    let (json, bytes) = match broadcast.content() {
        Content::Json(text) => (Some(text.as_str()), None),
        Content::Bytes(bytes) => (None, Some(&**bytes)),
    };
    let query = sqlx::query(KEEP).bind(id).bind(topic.name()).bind(broadcast.event()).bind(json).bind(bytes);
    query.bind(topic.is_private()).execute(pool).await.map(drop)
}
