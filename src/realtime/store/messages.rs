//! The messages that the database holds: `realtime.messages`.

use bytes::Bytes;
use chrono::DateTime;
use sqlx::PgPool;
use uuid::Uuid;

use crate::realtime::channel::Replay;
use crate::realtime::protocol::UserBroadcast;

/// One stored broadcast.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::realtime) struct StoredMessage {
    /// Its id.
    pub(in crate::realtime) id: Uuid,
    event: Option<String>,
    payload: Option<String>,
    binary_payload: Option<Vec<u8>>,
}

impl StoredMessage {
    /// The message as it is sent; none where it has no payload.
    pub(in crate::realtime) fn into_broadcast(self, replayed: bool) -> Option<UserBroadcast> {
        let event = self.event.unwrap_or_default();
        let broadcast = match (self.payload, self.binary_payload) {
            (Some(payload), _) => UserBroadcast::json(event, payload.into())?,
            (None, Some(bytes)) => UserBroadcast::bytes(event, Bytes::from(bytes))?,
            (None, None) => return None,
        };
        Some(broadcast.with_id(&self.id.to_string(), replayed))
    }
}

/// The newest private broadcasts on a topic since a moment, the oldest first.
const SINCE: &str = "
select id, event, payload, binary_payload from (
    select id, event, payload::text as payload, binary_payload, inserted_at
    from realtime.messages
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
    sqlx::query_as(SINCE).bind(topic).bind(since).bind(i64::from(replay.limit)).fetch_all(pool).await
}
