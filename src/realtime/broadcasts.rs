//! Broadcasts of clients on their way to everybody on a topic: kept first where the channel's definition asks for it, one at a
//! time, so that what senders want kept takes no more than its turn at the database.

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

/// Why a broadcast that was to be kept was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// PostgreSQL has no such JSON, as with `\\u0000`.
    Content,
    /// The database did not answer.
    Outage,
}

impl NotKept {
    /// What the sender is told.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Content => "the message holds what the database cannot keep",
            Self::Outage => "the message cannot be kept at the moment",
        }
    }

    fn because(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if code.is_some_and(|code| code.starts_with("22")) {
            return Self::Content;
        }
        tracing::warn!(kind = "app", "a broadcast that is to be kept was refused: {error}");
        Self::Outage
    }
}

impl RealtimeState {
    /// Sends a broadcast, as a rule to everybody but its sender. Fails where it was to be kept and is not known to be: then
    /// nobody gets it now, so that who joins later misses nothing that others had.
    pub(super) async fn send(
        &self,
        (topic, rules): (&Topic, &ChannelRules),
        broadcast: UserBroadcast,
        (except, id): (Option<u64>, Option<Uuid>),
    ) -> Result<(), NotKept> {
        let keeps = rules.keeps && topic.is_private();
        let id = id.or_else(|| keeps.then(|| self.new_id()));
        if let Some(id) = id.filter(|_| keeps) {
            // Before it is sent: who joins meanwhile finds it there, or hears it.
            let kept = timeout(PATIENCE, async {
                let _turn = self.keeping.acquire().await;
                messages::keep(&self.pool, (id, topic), &broadcast).await
            });
            kept.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(|error| {
                metrics::refused("keep");
                NotKept::because(&error)
            })?;
        }
        let broadcast = match id {
            Some(id) => broadcast.with_id(&id.to_string(), false),
            None => broadcast,
        };
        self.hub.broadcast(topic, broadcast, except);
        Ok(())
    }

    /// An id for a message that has none.
    pub(super) fn new_id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.bytes()).into_uuid()
    }
}
