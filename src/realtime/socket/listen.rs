//! What a client's messages do: heartbeats, leaving, tokens, broadcasts and presence. Joining is in `join`.

use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::channel::{Channel, Lost, no_longer};
use super::{CHECK_EVERY, End, Socket};
use crate::realtime::broadcasts::{NotKept, Sending};
use crate::realtime::credentials::keeps_the_key;
use crate::realtime::metrics;
use crate::realtime::protocol::{self, Event, Frame, Incoming, ReplyTo, Status, UserBroadcast};
use crate::realtime::state::RealtimeState;

/// The topic of the socket itself.
const SOCKET: &str = "phoenix";

/// The response of a reply that has nothing to say.
const NOTHING: &str = "{}";

impl Socket {
    /// Takes a frame of the client. What it leads to has memory of its own while it lasts: a socket waits most of its life.
    pub(super) async fn take(&mut self, frame: Frame) -> Result<(), End> {
        let Ok(message) = protocol::read(self.version, frame) else {
            metrics::refused("malformed");
            return Ok(());
        };
        match &message.event {
            Event::Heartbeat if message.topic == SOCKET => {
                metrics::received("heartbeat");
                self.reply(&message, Status::Ok, NOTHING);
            }
            Event::Join(payload) => {
                metrics::received("join");
                let payload = payload.clone();
                return Box::pin(self.join(&message, &payload)).await;
            }
            _ => Box::pin(self.take_on_channel(message)).await,
        }
        Ok(())
    }

    async fn take_on_channel(&mut self, message: Incoming) {
        let Some(channel) = self.channels.get_mut(&message.topic) else {
            self.refuse(&message, "unmatched topic");
            return;
        };
        let is_of_another_join = message.join_ref.is_some() && message.join_ref != channel.join_ref;
        if is_of_another_join {
            // From before the topic was joined again; whoever leaves has left.
            if matches!(message.event, Event::Leave) {
                self.reply(&message, Status::Ok, NOTHING);
            }
            return;
        }
        match &message.event {
            Event::Leave => {
                metrics::received("leave");
                self.reply(&message, Status::Ok, NOTHING);
                self.close(&message.topic);
            }
            Event::AccessToken(payload) => {
                metrics::received("access_token");
                self.renew(&message.topic, payload).await;
            }
            Event::Broadcast(broadcast) => {
                metrics::received("broadcast");
                self.broadcast(&message, broadcast.clone()).await;
            }
            Event::Presence(payload) => {
                metrics::received("presence");
                self.presence(&message, payload).await;
            }
            Event::Join(_) | Event::Heartbeat | Event::Unknown => {
                self.refuse(&message, "unknown event");
            }
        }
    }

    /// Answers a message.
    pub(super) fn reply(&self, message: &Incoming, status: Status, response: &str) {
        let to = ReplyTo {
            topic: &message.topic,
            join_ref: message.join_ref.as_deref(),
            reference: message.reference.as_deref(),
        };
        self.outbox.push(protocol::reply(self.version, to, status, response));
    }

    /// Answers a message that is not done.
    pub(super) fn refuse(&self, message: &Incoming, reason: &str) {
        self.reply(message, Status::Error, &json!({ "reason": reason }).to_string());
    }

    /// Ends a channel as its client expects it.
    pub(super) fn close(&mut self, topic: &str) {
        if let Some(channel) = self.channels.remove(topic) {
            let farewell = channel.push(self.version, "phx_close", NOTHING);
            channel.leave(&self.state);
            self.outbox.push(farewell);
        }
    }

    /// Ends a channel and says why.
    pub(super) fn end(&mut self, topic: &str, message: &str) {
        if let Some(channel) = self.channels.get(topic) {
            self.outbox.push(channel.system(self.version, ("system", Status::Error), message));
        }
        self.close(topic);
    }

    async fn renew(&mut self, topic: &str, payload: &RawValue) {
        #[derive(Deserialize)]
        struct Payload {
            access_token: Option<String>,
        }
        let token =
            serde_json::from_str::<Payload>(payload.get()).ok().and_then(|payload| payload.access_token);
        let Some(token) = token.filter(|token| !keeps_the_key(token)) else { return };
        if !self.joins.take(Instant::now()) {
            return self.end(topic, "Too many messages per second");
        }
        let who = match self.caller(&token).await {
            Ok(who) => who,
            Err(error) if error.is_temporary() => return self.give_up(topic, &error.reason()),
            Err(error) => return self.end(topic, &error.reason()),
        };
        let Some(channel) = self.channels.get_mut(topic) else { return };
        match channel.become_caller(&self.state, who).await {
            Ok(true) if !channel.requests.is_empty() => {}
            Ok(_) => return,
            Err(lost) => return self.lose(topic, lost),
        }
        match channel.subscribe(&self.state, self.version, self.address).await {
            // Only a failure is news.
            Ok(told) if channel.subscription.is_none() => self.outbox.push(told),
            Ok(_) => {}
            Err(reason) => self.give_up(topic, &reason),
        }
    }

    /// Ends a channel for a reason that passes: clients join again after a pause.
    fn give_up(&mut self, topic: &str, reason: &str) {
        tracing::warn!(kind = "app", "a channel was given up: {reason}");
        if let Some(channel) = self.channels.remove(topic) {
            let failed = channel.push(self.version, "phx_error", NOTHING);
            channel.leave(&self.state);
            self.outbox.push(failed);
        }
    }

    /// Ends a channel that may not go on. What waits for it was perhaps sent when it might not hear it any more.
    fn lose(&mut self, topic: &str, lost: Lost) {
        if let Some(channel) = self.channels.get(topic) {
            channel.seat.silence();
        }
        match lost {
            Lost::Refused(reason) => self.end(topic, &reason),
            Lost::Outage(reason) | Lost::Unsure(reason) => self.give_up(topic, &reason),
        }
    }

    async fn broadcast(&mut self, message: &Incoming, broadcast: Option<UserBroadcast>) {
        let Some(channel) = self.channels.get_mut(&message.topic) else { return };
        if !channel.events.take(Instant::now()) {
            metrics::refused("events");
            self.end(&message.topic, "Too many messages per second");
            return;
        }
        let acknowledges = channel.acknowledges;
        let refusal = match broadcast {
            None => Some("the payload of a broadcast is {event, payload}"),
            Some(broadcast) if broadcast.size() > channel.rules.max_payload => {
                metrics::refused("payload");
                Some("the payload is too large")
            }
            Some(broadcast) => {
                if !channel.may_say(&self.state).await.broadcast {
                    // Nothing is said about it, not even that it was refused.
                    metrics::refused("broadcast");
                    return;
                }
                let except = (!channel.echoes).then(|| channel.seat.id());
                let to = (channel.topic().clone(), &*channel.rules);
                let sending = Sending::new(to, broadcast, &self.state.random);
                let sent = self.state.send(vec![sending], except).await;
                sent.err().map(NotKept::reason)
            }
        };
        match refusal.filter(|_| acknowledges) {
            Some(reason) => self.refuse(message, reason),
            None if acknowledges => self.reply(message, Status::Ok, NOTHING),
            None => {}
        }
    }

    async fn presence(&mut self, message: &Incoming, payload: &RawValue) {
        #[derive(Deserialize)]
        struct Payload {
            event: String,
            #[serde(default)]
            payload: Value,
        }
        let Some(channel) = self.channels.get_mut(&message.topic) else { return };
        let limits = &self.state.config;
        let end = if !channel.presences.take(Instant::now()) {
            Some("Client presence rate limit exceeded")
        } else if payload.get().len() > limits.max_presence.as_usize() {
            Some("Track message size exceeded")
        } else {
            None
        };
        if let Some(reason) = end {
            metrics::refused("presence");
            self.end(&message.topic, reason);
            return;
        }
        let Ok(wish) = serde_json::from_str::<Payload>(payload.get()) else {
            self.refuse(message, "the payload of presence is {event: track | untrack, payload}");
            return;
        };
        let outcome = match wish.event.to_ascii_lowercase().as_str() {
            "track" => match wish.payload {
                Value::Object(who) => track(&self.state, channel, &who).await,
                Value::Null => track(&self.state, channel, &Map::new()).await,
                _ => Err("Presence track payload must be a map".to_owned()),
            },
            "untrack" => {
                self.state.hub.untrack(&channel.seat);
                Ok(())
            }
            _ => Err("unknown presence event".to_owned()),
        };
        match outcome {
            Ok(()) => self.reply(message, Status::Ok, NOTHING),
            Err(reason) => self.refuse(message, &reason),
        }
    }

    /// Asks whether what the channels rest on goes on: their tokens, sessions and rights. `true` if one was ended.
    pub(super) async fn check(&mut self) -> bool {
        self.check_at = Instant::now() + CHECK_EVERY;
        let (topics, before): (Vec<String>, usize) =
            (self.channels.keys().cloned().collect(), self.channels.len());
        for topic in topics {
            let Some(channel) = self.channels.get_mut(&topic) else { continue };
            match channel.check(&self.state).await {
                // Asked again in a second.
                Ok(false) | Err(Lost::Outage(_)) => {}
                // The account is another now: so may be what it sees.
                Ok(true) => {
                    if let Err(reason) = channel.subscribe(&self.state, self.version, self.address).await {
                        self.give_up(&topic, &reason);
                    }
                }
                Err(lost) => self.lose(&topic, lost),
            }
        }
        self.channels.len() < before
    }

    /// Ends the socket of a client that joins too often.
    pub(super) fn joins_too_often(&self, message: &Incoming) -> End {
        metrics::refused("joins");
        self.refuse(message, "ClientJoinRateLimitReached: Too many joins per second");
        End::Close(CloseCode::Policy, "too many joins per second")
    }
}

async fn track(state: &RealtimeState, channel: &mut Channel, who: &Map<String, Value>) -> Result<(), String> {
    if !channel.may_say(state).await.presence {
        return Err(no_longer::TRACK.to_owned());
    }
    if channel.hearing.rights.presence {
        state.hub.watch_presence(&channel.seat);
    }
    state.hub.track(&channel.seat, &channel.presence_key, who).map_err(|full| {
        metrics::refused("presence");
        full.to_string()
    })
}
