//! Joining a topic (contract section 3): who may, and what is sent first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::bucket::Bucket;
use super::channel::Channel;
use super::doubt::Doubt;
use super::{End, Socket};
use crate::realtime::access::Hearing;
use crate::realtime::credentials::{Credentials, CredentialsError, keeps_the_key};
use crate::realtime::definitions::{ChannelRules, Forbidden};
use crate::realtime::hub::Seat;
use crate::realtime::metrics;
use crate::realtime::protocol::{self, Encoded, Frame, Incoming, ReplyTo, Status};
use crate::realtime::request::{JoinRequest, LONGEST_KEY, Replay, Topic, TopicError};
use crate::realtime::store::messages;

/// The largest payload of a join: it is kept as long as the channel.
const LARGEST_JOIN: usize = 64 * 1024;

/// Why a join is refused; the texts are the contract's.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    #[error("unmatched topic")]
    Unmatched,
    #[error("{0}")]
    Topic(TopicError),
    #[error("{}", .0.reason())]
    Credentials(CredentialsError),
    #[error("ChannelRateLimitReached: Too many channels")]
    TooManyChannels,
    #[error("JoinTooLarge: The payload of a join may have at most {LARGEST_JOIN} bytes")]
    TooLarge,
    #[error("{0}")]
    PrivateOnly(Forbidden),
    #[error("ChannelMembersLimitReached: The channel has as many members as it may have")]
    Full,
    #[error("Unauthorized: You do not have permissions to read from this Channel topic: {0}")]
    Unauthorized(String),
    #[error("UnableToReplayMessages: Replay params are not valid")]
    Replay,
    #[error("UnableToReplayMessages: Replay is not allowed for public channels")]
    ReplayOfPublic,
    #[error("PresenceKeyRefused: A presence key must be the id of the signed-in user")]
    PresenceKey,
    #[error("PresenceKeyRefused: A presence key has at most {LONGEST_KEY} bytes")]
    PresenceKeyLength,
    #[error("UnableToConnectToProject: The database cannot be asked at the moment")]
    Database,
    #[error("UnableToConnectToProject: {0}")]
    NotNow(String),
}

impl JoinError {
    fn forbidden(why: Forbidden, topic: &Topic) -> Self {
        match why {
            Forbidden::PublicInProject | Forbidden::PublicChannel => Self::PrivateOnly(why),
            Forbidden::Role => Self::Unauthorized(topic.name().to_owned()),
        }
    }
}

/// A join that is allowed.
struct Allowed {
    topic: Topic,
    who: Credentials,
    rules: Arc<ChannelRules>,
    hearing: Hearing,
    replay: Option<Replay>,
    presence_key: String,
}

impl Socket {
    /// Joins a topic, or says why not. One that is joined already is left first.
    pub(super) async fn join(&mut self, message: &Incoming, payload: &RawValue) -> Result<(), End> {
        if !self.joins.take(Instant::now()) {
            return Err(self.joins_too_often(message));
        }
        let name = message.topic.strip_prefix("realtime:").unwrap_or_default();
        let request = JoinRequest::parse(payload.get(), name);
        // Whatever becomes of this join, the one before is over.
        self.close(&message.topic);
        let outcome = match self.allow(message, &request, payload.get().len()).await {
            Ok(allowed) => self.open(message, &request, allowed).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            metrics::refused("join");
            self.refuse(message, &error.to_string());
        }
        Ok(())
    }

    /// Finds out whether the client may join, and as whom.
    async fn allow(
        &self,
        message: &Incoming,
        request: &JoinRequest,
        size: usize,
    ) -> Result<Allowed, JoinError> {
        if size > LARGEST_JOIN {
            return Err(JoinError::TooLarge);
        }
        let topic = Topic::parse(&message.topic, request.is_private).map_err(|error| match error {
            TopicError::Invalid if !message.topic.starts_with("realtime:") => JoinError::Unmatched,
            error => JoinError::Topic(error),
        })?;
        if self.channels.len() >= self.state.config.max_channels {
            return Err(JoinError::TooManyChannels);
        }
        let who = self.who_joins(request).await.map_err(JoinError::Credentials)?;
        let rules = self.state.definitions.rules(topic.name()).ok_or(JoinError::Database)?;
        self.state.admit(&rules, &who.caller, &topic).map_err(|why| JoinError::forbidden(why, &topic))?;
        let hearing = self.hearing(&who, &topic).await?;
        let replay = match request.replay {
            None => None,
            Some(_) if !topic.is_private() => return Err(JoinError::ReplayOfPublic),
            // Stored messages are broadcasts.
            Some(replay) => {
                Some(replay.map_err(|()| JoinError::Replay)?).filter(|_| hearing.rights.broadcast)
            }
        };
        let presence_key = self.presence_key(request, &who)?;
        Ok(Allowed { topic, who, rules, hearing, replay, presence_key })
    }

    async fn who_joins(&self, request: &JoinRequest) -> Result<Credentials, CredentialsError> {
        if let Some(token) = request.access_token.as_deref().filter(|token| !keeps_the_key(token)) {
            return self.caller(token).await;
        }
        let now = self.state.clock.unix_seconds();
        match self.key.expires_at.filter(|end| *end <= now) {
            Some(end) => Err(CredentialsError::Expired(now - end)),
            None => Ok(self.key.clone()),
        }
    }

    async fn hearing(&self, who: &Credentials, topic: &Topic) -> Result<Hearing, JoinError> {
        let hearing = self.state.access.may_hear(&who.caller, topic).await;
        hearing.map_err(|error| {
            if error.is_outage() {
                JoinError::Database
            } else {
                JoinError::Unauthorized(topic.name().to_owned())
            }
        })
    }

    /// The key that others see: the client's, unless keys must say who is signed in.
    fn presence_key(&self, request: &JoinRequest, who: &Credentials) -> Result<String, JoinError> {
        let user = who.caller.subject.as_deref();
        let key = match (&request.presence_key, self.state.config.presence_key_is_user) {
            (Some(key), true) if user != Some(key.as_str()) => return Err(JoinError::PresenceKey),
            (Some(key), _) => key.clone(),
            (None, true) if user.is_some() => user.unwrap_or_default().to_owned(),
            (None, _) => self.state.random.uuid().to_string(),
        };
        if key.len() > LONGEST_KEY { Err(JoinError::PresenceKeyLength) } else { Ok(key) }
    }

    /// Sets the channel up: it hears everything from here on, and is told so last.
    async fn open(
        &mut self,
        message: &Incoming,
        request: &JoinRequest,
        allowed: Allowed,
    ) -> Result<(), JoinError> {
        let replay = allowed.replay;
        let mut channel = self.channel(message, request, allowed);
        if replay.is_some() {
            // Otherwise messages that are stored already could come after it as if they were new.
            self.state.changes.caught_up().await.map_err(|error| unreadable(&error))?;
        }
        if !self.state.hub.enter(&channel.seat, channel.rules.max_members) {
            return Err(JoinError::Full);
        }
        metrics::channel_joined();
        let mut first = match self.first(message, request, &mut channel, replay).await {
            Ok(first) => first,
            Err(error) => {
                channel.leave(&self.state);
                return Err(error);
            }
        };
        if channel.begin_to_catch_up(&self.state, &mut first).await {
            // It is admitted once it has everything.
            for frame in first {
                self.outbox.push(frame);
            }
        } else {
            self.state.hub.admit(&channel.seat, first);
        }
        self.channels.insert(message.topic.clone(), channel);
        Ok(())
    }

    /// The channel, of which nobody knows yet.
    fn channel(&self, message: &Incoming, request: &JoinRequest, allowed: Allowed) -> Channel {
        let Allowed { topic, who, rules, hearing, presence_key, .. } = allowed;
        let place = (self.state.hub.next_id(), topic, self.version);
        let (config, now) = (&self.state.config, Instant::now());
        Channel {
            join_ref: message.join_ref.clone(),
            seat: Arc::new(Seat::new(place, Arc::clone(&self.outbox), hearing.rights, request.presence)),
            who,
            doubt: Doubt::default(),
            hearing,
            says: None,
            acknowledges: request.acknowledges,
            echoes: request.echoes,
            presence_key,
            events: Bucket::new(rules.messages_per_second, Duration::from_secs(1), now),
            rules,
            presences: Bucket::new(config.presence_calls, config.presence_period.get(), now),
            requests: request
                .changes
                .iter()
                .map(|change| (self.state.hub.next_id(), change.clone()))
                .collect(),
            subscription: None,
            missed: None,
        }
    }

    /// What the channel is sent first: the reply, how its wishes stand, and what is sent again.
    async fn first(
        &self,
        message: &Incoming,
        request: &JoinRequest,
        channel: &mut Channel,
        replay: Option<Replay>,
    ) -> Result<Vec<Frame>, JoinError> {
        let replayed = match replay {
            Some(replay) => self.replayed(channel.topic(), replay).await?,
            None => Vec::new(),
        };
        let (ids, replayed): (Vec<Uuid>, Vec<Frame>) = replayed.into_iter().unzip();
        channel.seat.replays(ids);
        let mut first = vec![self.joined(message, channel)];
        if request.tells_replication {
            let told = "Replication connection established";
            first.push(channel.system(self.version, ("system", Status::Ok), told));
        }
        if request.too_many_changes {
            let told = "too many subscriptions of one channel";
            first.push(channel.system(self.version, ("postgres_changes", Status::Error), told));
        } else if !channel.requests.is_empty() {
            let told = channel.subscribe(&self.state, self.version, self.address).await;
            first.push(told.map_err(JoinError::NotNow)?);
        }
        first.extend(replayed);
        Ok(first)
    }

    /// The reply to a join.
    fn joined(&self, message: &Incoming, channel: &Channel) -> Frame {
        let changes = channel.requests.iter().map(|(id, request)| {
            let mut echo = request.echo.clone();
            echo.insert("id".to_owned(), (*id).into());
            Value::Object(echo)
        });
        let changes: Vec<Value> = changes.collect();
        let response = json!({ "postgres_changes": changes }).to_string();
        let to = ReplyTo {
            topic: &message.topic,
            join_ref: message.join_ref.as_deref(),
            reference: message.reference.as_deref(),
        };
        protocol::reply(self.version, to, Status::Ok, &response)
    }

    /// Stored messages, the oldest first.
    async fn replayed(&self, topic: &Topic, replay: Replay) -> Result<Vec<(Uuid, Frame)>, JoinError> {
        let stored = messages::since(&self.state.pool, topic.name(), replay).await;
        let frames = stored.map_err(|error| unreadable(&error))?.into_iter().filter_map(|stored| {
            let id = stored.id;
            let largest = self.state.config.max_payload.as_usize();
            let broadcast = stored.into_broadcast(true).filter(|broadcast| broadcast.size() <= largest)?;
            let frame = Encoded::broadcast(topic.wire().to_owned(), broadcast).frame(self.version)?;
            Some((id, frame))
        });
        Ok(frames.collect())
    }
}

fn unreadable(error: &sqlx::Error) -> JoinError {
    tracing::warn!(kind = "app", "stored messages cannot be read: {error}");
    JoinError::Database
}
