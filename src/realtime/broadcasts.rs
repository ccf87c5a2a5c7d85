//! Broadcasts of clients on their way to everybody on a topic: kept first where the channel's definition asks for it.

use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::definitions::ChannelRules;
use super::metrics;
use super::protocol::UserBroadcast;
use super::request::Topic;
use super::state::RealtimeState;
use super::store::messages;

/// The longest that keeping a message may take.
const PATIENCE: Duration = Duration::from_secs(3);

impl RealtimeState {
    /// Sends a broadcast, as a rule to everybody but its sender. Fails where it was to be kept and could not be: then nobody
    /// gets it, so that who joins later misses nothing that others had.
    pub(super) async fn send(
        &self,
        (topic, rules): (&Topic, &ChannelRules),
        broadcast: UserBroadcast,
        (except, id): (Option<u64>, Option<Uuid>),
    ) -> Result<(), sqlx::Error> {
        if !(rules.keeps && topic.is_private()) {
            let broadcast = match id {
                Some(id) => broadcast.with_id(&id.to_string(), false),
                None => broadcast,
            };
            self.hub.broadcast(topic, broadcast, except);
            return Ok(());
        }
        let id = id.unwrap_or_else(|| self.new_id());
        // Before it is sent: who joins meanwhile finds it there, or hears it.
        let kept = timeout(PATIENCE, messages::keep(&self.pool, (id, topic), &broadcast)).await;
        kept.unwrap_or(Err(sqlx::Error::PoolTimedOut)).inspect_err(|error| {
            metrics::refused("keep");
            tracing::warn!(kind = "app", "a broadcast that is to be kept was refused: {error}");
        })?;
        let id = id.to_string();
        self.hub.broadcast(topic, broadcast.with_id(&id, false), except);
        Ok(())
    }

    /// An id for a message that has none.
    pub(super) fn new_id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.bytes()).into_uuid()
    }
}
