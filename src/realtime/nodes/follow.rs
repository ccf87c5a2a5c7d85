//! The task that hears what other nodes tell, and hands it to the hub.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::replica::{Effect, Replicas};
use super::telling::Telling;
use super::wire::{Malformed, PresenceMessage, Sent};
use crate::kernel::bus::{Bus, Delivery, Message, NodeId, PeerEvent, PeerEvents, Subject, Subscription};
use crate::realtime::hub::Hub;
use crate::realtime::metrics;
use crate::realtime::presence::{Amount, Member, Presence};
use crate::realtime::request::Topic;

/// How often it is looked whether questions were answered.
const TICK: Duration = Duration::from_secs(1);
/// After so many ticks the number of the latest message is told, so that a lost one is missed.
const BEAT_TICKS: u32 = 5;
/// Between two warnings about messages that cannot be read.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The changes of one topic, in their order.
type Changes = Vec<(Member, Option<Arc<Presence>>)>;

/// Follows the other nodes.
pub(in crate::realtime) struct Follower {
    hub: Arc<Hub>,
    bus: Arc<dyn Bus>,
    broadcasts: Subscription,
    presences: Subscription,
    peers: PeerEvents,
    replicas: Replicas,
    telling: Telling,
    warned_at: Option<Instant>,
}

impl Follower {
    /// Hears what is said from now on. Of the presences of other nodes at most `most` are held here.
    pub(in crate::realtime) fn new(hub: Arc<Hub>, bus: Arc<dyn Bus>, most: Amount) -> Self {
        Self {
            broadcasts: bus.subscribe(Subject::Broadcast),
            presences: bus.subscribe(Subject::Presence),
            peers: bus.peer_events(),
            replicas: Replicas::new(most),
            telling: Telling::default(),
            warned_at: None,
            hub,
            bus,
        }
    }

    /// Follows until the bus ends, or `stop`.
    pub(in crate::realtime) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticked: u32 = 0;
        loop {
            tokio::select! {
                delivery = self.broadcasts.next() => match delivery {
                    Some(Delivery::Message(message)) => self.take_broadcast(message),
                    // Broadcasts arrive at most once.
                    Some(Delivery::Gap) => {}
                    None => return,
                },
                delivery = self.presences.next() => match delivery {
                    Some(Delivery::Message(message)) => self.take_presence(message).await,
                    Some(Delivery::Gap) => {
                        let effects = self.replicas.doubt();
                        self.carry_out(effects).await;
                    }
                    None => return,
                },
                event = self.peers.next() => match event {
                    Some(event) => self.take_event(event).await,
                    None => return,
                },
                _ = ticks.tick() => {
                    let effects = self.replicas.tick();
                    self.carry_out(effects).await;
                    ticked = ticked.wrapping_add(1);
                    if ticked.is_multiple_of(BEAT_TICKS) && self.bus.peers() > 0 {
                        self.hub.announcer().beat();
                    }
                }
                () = self.telling.due() => self.telling.step(&self.hub),
                () = stop.cancelled() => return,
            }
            // What comes in a flood must not keep sockets from their turn.
            consume_budget().await;
        }
    }

    fn take_broadcast(&mut self, message: Message) {
        let taken = Sent::read(message.payload).and_then(|sent| {
            // Most topics have nobody here.
            if self.hub.has_seats(&sent.topic) {
                let topic = sent.topic.clone();
                self.hub.deliver(&topic, sent.open()?);
            }
            Ok(())
        });
        if let Err(Malformed) = taken {
            self.refuse(message.from);
        }
    }

    async fn take_presence(&mut self, message: Message) {
        match PresenceMessage::decode(message.payload) {
            Ok(PresenceMessage::Ask { of, known }) => self.answer(of, known),
            Ok(told) => {
                let effects = self.replicas.take(message.from, told);
                self.carry_out(effects).await;
            }
            Err(Malformed) => self.refuse(message.from),
        }
    }

    /// Answers who asks for the presences of a node, if it is this one.
    fn answer(&mut self, of: NodeId, known: u64) {
        let announcer = self.hub.announcer();
        if of != announcer.node() {
            return;
        }
        if known == announcer.last() {
            announcer.beat();
        } else {
            self.telling.want();
        }
    }

    async fn take_event(&mut self, event: PeerEvent) {
        let effects = match event {
            PeerEvent::Joined(node) => vec![self.replicas.joined(node)],
            PeerEvent::Left(node) => self.replicas.left(node),
        };
        self.carry_out(effects).await;
    }

    /// Does what is to be done, all of a topic at once.
    async fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut topics: HashMap<Topic, Changes> = HashMap::new();
        for effect in effects {
            match effect {
                Effect::Set(topic, member, presence) => {
                    topics.entry(topic).or_default().push((member, presence));
                }
                Effect::Ask(node, known) => self.hub.announcer().ask(node, known),
            }
        }
        for (topic, changes) in topics {
            self.hub.set_remote(&topic, changes);
            consume_budget().await;
        }
    }

    fn refuse(&mut self, from: NodeId) {
        metrics::unreadable();
        if self.warned_at.is_none_or(|at| at.elapsed() > WARN_EVERY) {
            self.warned_at = Some(Instant::now());
            tracing::warn!(
                kind = "app", node = %from,
                "messages of another node cannot be read: does it run another version, or another project?"
            );
        }
    }
}
