//! One join of a topic: who it is for, what it may do, and until when.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::bucket::Bucket;
use super::doubt::Doubt;
use crate::kernel::identity::SessionRefusal;
use crate::realtime::access::{AccessError, Hearing};
use crate::realtime::changes::{CatchingUp, Changes, Missed, Subscription, Viewer};
use crate::realtime::credentials::{Credentials, CredentialsError};
use crate::realtime::definitions::{ChannelRules, Forbidden};
use crate::realtime::hub::{Rights, Seat};
use crate::realtime::metrics;
use crate::realtime::protocol::{self, Frame, Status, Version};
use crate::realtime::request::{ChangeRequest, Topic};
use crate::realtime::state::RealtimeState;

/// The extension of messages about changes.
const CHANGES: &str = "postgres_changes";

/// Texts about what is not allowed.
pub(super) mod no_longer {
    /// A presence that policies refuse.
    pub(in crate::realtime::socket) const TRACK: &str =
        "You do not have permissions to track presence on this topic";

    /// A topic that could be read before.
    pub(in crate::realtime::socket) fn read(name: &str) -> String {
        format!("You no longer have permission to read from this Channel topic: {name}")
    }
}

/// Why a channel cannot go on.
pub(super) enum Lost {
    /// It may not; its client is told why.
    Refused(String),
    /// It cannot be told at the moment whether it may.
    Outage(String),
    /// That could not be told for too long.
    Unsure(String),
}

/// The longest that one step of catching up may take.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// One channel of a socket.
pub(super) struct Channel {
    pub(super) join_ref: Option<String>,
    pub(super) seat: Arc<Seat>,
    pub(super) who: Credentials,
    /// Whether their session goes on, where that cannot be told.
    pub(super) doubt: Doubt,
    /// What holds for it whoever it is for.
    pub(super) rules: Arc<ChannelRules>,
    /// What it may hear.
    pub(super) hearing: Hearing,
    /// What it may say; none until it is asked, as many channels never say anything.
    pub(super) says: Option<Rights>,
    pub(super) acknowledges: bool,
    pub(super) echoes: bool,
    pub(super) presence_key: String,
    pub(super) events: Bucket,
    pub(super) presences: Bucket,
    /// What it asked for of changes, to be asked for again under another token.
    pub(super) requests: Vec<(u64, ChangeRequest)>,
    /// The subscriptions that are in force.
    pub(super) subscription: Option<Subscription>,
    /// What is still to be sent of what it missed.
    pub(super) missed: Option<Missed>,
}

impl Channel {
    pub(super) fn topic(&self) -> &Topic {
        self.seat.topic()
    }

    /// A message of the server for this channel alone.
    pub(super) fn push(&self, version: Version, event: &str, payload: &str) -> Frame {
        protocol::push(version, self.topic().wire(), self.join_ref.as_deref(), event, payload)
    }

    /// The event `system`: how something about the channel stands.
    pub(super) fn system(&self, version: Version, about: (&'static str, Status), message: &str) -> Frame {
        self.system_with(version, about, message, &[])
    }

    fn system_with(
        &self,
        version: Version,
        about: (&'static str, Status),
        message: &str,
        more: &[(&str, Value)],
    ) -> Frame {
        let to = (self.topic().wire(), self.join_ref.as_deref());
        protocol::system(version, to, about, message, more)
    }

    /// Gives up its place.
    pub(super) fn leave(self, state: &RealtimeState) {
        if let Some(subscription) = &self.subscription {
            state.changes.unsubscribe(subscription);
        }
        self.seat.close();
        state.hub.leave(&self.seat);
        metrics::channel_left();
    }

    /// Subscribes to the changes that it asks for, in place of what it had; gives what its client is to be told. Fails with the
    /// reason where it is worth asking again.
    pub(super) async fn subscribe(
        &mut self,
        state: &RealtimeState,
        version: Version,
        address: IpAddr,
    ) -> Result<Frame, String> {
        let viewer = Viewer { caller: Arc::clone(&self.who.caller), account: self.who.account, address };
        match state.changes.subscribe((viewer, &self.seat), &self.requests, self.subscription.as_ref()).await
        {
            Ok(subscription) => {
                let cursor = Changes::cursor(&subscription, &self.requests);
                self.subscription = Some(subscription);
                let more = [("cursor", json!(cursor))];
                Ok(self.system_with(version, (CHANGES, Status::Ok), "Subscribed to PostgreSQL", &more))
            }
            Err(error) => {
                metrics::refused("subscription");
                if error.is_temporary() {
                    return Err(error.to_string());
                }
                // What was allowed to another caller is not to this one.
                if let Some(former) = self.subscription.take() {
                    state.changes.unsubscribe(&former);
                }
                self.go_live(state);
                Ok(self.system(version, (CHANGES, Status::Error), &error.to_string()))
            }
        }
    }

    /// Finds out what it missed, if it says since when; `true` if that is to be sent before it is live.
    pub(super) async fn begin_to_catch_up(&mut self, state: &RealtimeState, first: &mut Vec<Frame>) -> bool {
        let Some(subscription) = &self.subscription else { return false };
        match state.changes.missed(subscription, &self.requests).await {
            Some(CatchingUp::Steps(missed)) => self.missed = Some(missed),
            Some(CatchingUp::Resync(frame)) => first.push(frame),
            None => {}
        }
        self.missed.is_some()
    }

    /// The next step of what it missed, to be written before anything else; nothing at the end.
    pub(super) async fn catch_up(&mut self, state: &RealtimeState) -> Vec<Frame> {
        if let (Some(subscription), Some(missed)) = (&self.subscription, &mut self.missed) {
            match timeout(STEP_LIMIT, state.changes.step(subscription, missed)).await {
                Ok(Some(frames)) => return frames,
                Ok(None) => {}
                Err(_) => Changes::tell_lost(subscription),
            }
        }
        self.go_live(state);
        Vec::new()
    }

    /// Sends what has waited, and everything from now on.
    fn go_live(&mut self, state: &RealtimeState) {
        if self.missed.take().is_some() {
            state.hub.admit(&self.seat, Vec::new());
        }
    }

    /// What it may say. Asked of the database once for each token.
    pub(super) async fn may_say(&mut self, state: &RealtimeState) -> Rights {
        if let Some(known) = self.says {
            return known;
        }
        match state.access.may_say(&self.who.caller, self.topic()).await {
            Ok(rights) => *self.says.insert(rights),
            Err(_) => Rights::default(),
        }
    }

    /// Goes on for another token; `true` if that is of another caller.
    pub(super) async fn become_caller(
        &mut self,
        state: &RealtimeState,
        who: Credentials,
    ) -> Result<bool, Lost> {
        let is_same = self.who.caller.role == who.caller.role
            && self.who.caller.claims_json == who.caller.claims_json
            && self.who.account == who.account;
        self.who = who;
        if !is_same {
            state.admit(&self.rules, &self.who.caller, self.topic()).map_err(|why| self.forbidden(why))?;
            let hearing = state.access.may_hear(&self.who.caller, self.topic()).await;
            self.hear(hearing.map_err(|error| self.lost(&error))?);
        }
        Ok(!is_same)
    }

    /// Goes on with these rights.
    fn hear(&mut self, hearing: Hearing) {
        self.seat.restrict(hearing.rights);
        self.hearing = hearing;
        self.says = None;
    }

    /// Keeps to what its definition says now.
    fn follow_rules(&mut self, state: &RealtimeState) -> Result<(), Lost> {
        let now = state.definitions.rules(self.topic().name()).filter(|now| *now != self.rules);
        let Some(rules) = now else { return Ok(()) };
        state.admit(&rules, &self.who.caller, self.topic()).map_err(|why| self.forbidden(why))?;
        if rules.messages_per_second != self.rules.messages_per_second {
            self.events = Bucket::new(rules.messages_per_second, Duration::from_secs(1), Instant::now());
        }
        self.rules = rules;
        Ok(())
    }

    fn forbidden(&self, why: Forbidden) -> Lost {
        Lost::Refused(match why {
            Forbidden::Role => no_longer::read(self.topic().name()),
            Forbidden::PublicInProject | Forbidden::PublicChannel => why.to_string(),
        })
    }

    /// What becomes of it where it may not hear.
    fn lost(&self, error: &AccessError) -> Lost {
        if error.is_outage() {
            Lost::Outage(error.to_string())
        } else {
            Lost::Refused(no_longer::read(self.topic().name()))
        }
    }

    /// Whether token, session and rights go on; `true` if the account behind them is another now, for those who follow
    /// changes.
    pub(super) async fn check(&mut self, state: &RealtimeState) -> Result<bool, Lost> {
        let now = state.clock.unix_seconds();
        if let Some(end) = self.who.expires_at.filter(|end| *end <= now) {
            return Err(Lost::Refused(CredentialsError::Expired(now - end).reason()));
        }
        let mut is_other = false;
        match state.check_session(&self.who.caller).await {
            Ok(account) => {
                is_other = account != self.who.account && !self.requests.is_empty();
                self.who.account = account;
                self.doubt.settle();
            }
            // A database that is away for a moment ends nobody's session; for longer, nobody knows of any that it goes on.
            Err(SessionRefusal::Unavailable) => {
                if self.doubt.has_lasted(Instant::now()) {
                    return Err(Lost::Unsure("its session cannot be looked at".to_owned()));
                }
            }
            Err(refusal) => return Err(Lost::Refused(CredentialsError::Session(refusal).reason())),
        }
        self.follow_rules(state)?;
        let hearing = state.access.may_hear_now(&self.who.caller, self.topic(), &self.hearing).await;
        if let Some(hearing) = hearing.map_err(|error| self.lost(&error))? {
            self.hear(hearing);
        }
        Ok(is_other)
    }
}
