//! The messages that the database holds: `realtime.messages`.

use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgPool;

use crate::realtime::protocol::UserBroadcast;
use crate::realtime::request::Replay;

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
