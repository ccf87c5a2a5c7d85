//! Broadcasts of clients on their way to everybody on a topic: kept first where the channel's definition asks for it, one at a
//! time, so that what senders want kept takes no more than its turn at the database.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::definitions::ChannelRules;
use super::metrics;
use super::protocol::UserBroadcast;
use super::request::Topic;
use super::state::RealtimeState;
use super::store::messages;
use crate::kernel::random::Random;

/// The longest that keeping messages may take, until they are committed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a broadcast that was to be kept was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// PostgreSQL has no such JSON, as with `\\u0000`.
    Content,
    /// The database did not take it in time.
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

/// A broadcast that its sender may send, and where to.
pub(super) struct Sending {
    topic: Topic,
    broadcast: UserBroadcast,
    /// What it is kept as; none where it is not.
    kept_as: Option<Uuid>,
}

impl Sending {
    /// To a topic where these rules hold. One that is kept has an id, its own or a new one.
    pub(super) fn new(
        (topic, rules): (Topic, &ChannelRules),
        broadcast: UserBroadcast,
        random: &Random,
    ) -> Self {
        if !rules.keeps || !topic.is_private() {
            return Self { topic, broadcast, kept_as: None };
        }
        let id = broadcast.id().unwrap_or_else(|| random.uuid());
        Self { topic, broadcast: broadcast.with_id(id, false), kept_as: Some(id) }
    }
}

impl RealtimeState {
    /// Sends broadcasts, as a rule to everybody but their sender. Where some are to be kept and cannot be, none is sent, so that
    /// who joins later misses nothing that others had.
    pub(super) async fn send(&self, sendings: Vec<Sending>, except: Option<u64>) -> Result<(), NotKept> {
        if sendings.iter().all(|sending| sending.kept_as.is_none()) {
            self.hand_out(sendings, except);
            return Ok(());
        }
        // What is kept is sent, also if whoever asked for it hangs up meanwhile.
        let state = self.clone();
        let sent = self.tracker.spawn(async move {
            // Before it is sent: who joins meanwhile finds it there, or hears it.
            state.keep(&sendings).await?;
            state.hand_out(sendings, except);
            Ok(())
        });
        sent.await.unwrap_or(Err(NotKept::Outage))
    }

    async fn keep(&self, sendings: &[Sending]) -> Result<(), NotKept> {
        let kept = sendings
            .iter()
            .filter_map(|Sending { topic, broadcast, kept_as }| kept_as.map(|id| (id, topic, broadcast)));
        let (kept, deadline): (Vec<_>, _) = (kept.collect(), Instant::now() + PATIENCE);
        let outcome = match timeout_at(deadline, self.keeping.acquire()).await {
            Ok(_turn) => messages::keep(&self.pool, deadline, &kept).await,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        };
        outcome.map_err(|error| {
            metrics::refused("keep");
            NotKept::because(&error)
        })
    }

    fn hand_out(&self, sendings: Vec<Sending>, except: Option<u64>) {
        for Sending { topic, broadcast, .. } in sendings {
            self.hub.broadcast(&topic, broadcast, except);
        }
    }
}
