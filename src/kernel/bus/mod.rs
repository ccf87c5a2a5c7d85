//! Messages between the nodes of one project: a port, and what carries it (Redis, PostgreSQL, or the memory of one process).
//!
//! Each message arrives at most once, and in the order of its sender. What was lost is told by [`Delivery::Gap`], so that
//! a receiver that must not miss anything asks anew. Everything is bounded: who publishes never waits, and a receiver
//! that is too slow gets a gap. Nothing relies on the bus for being right; it makes news travel faster.
//! What leaves the process is [sealed](Seal).

mod allowance;
mod carrier;
mod frame;
mod inbox;
mod local;
mod metrics;
mod peers;
pub mod postgres;
pub mod redis;
mod seal;
mod station;

pub use inbox::Subscription;
pub use local::{LocalBus, LocalNode};
pub use peers::PeerEvents;
pub use seal::Seal;
pub use station::Station;

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

use crate::kernel::random::Random;

/// One running server; another after each start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// A new name.
    pub fn random(random: &Random) -> Self {
        Self(NonZeroU64::new(u64::from_be_bytes(random.bytes())).unwrap_or(NonZeroU64::MIN))
    }

    /// The node of this number; none for 0.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Its number, to be sent to others.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// What a message is about; each use of the bus has its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// Messages of clients to channels of realtime.
    Broadcast,
    /// Who is in channels of realtime.
    Presence,
    /// Sessions, users and keys that ended.
    Sessions,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Broadcast, Self::Presence, Self::Sessions];

    /// Its name on channels and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::Presence => "presence",
            Self::Sessions => "sessions",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    fn place(self) -> usize {
        match self {
            Self::Broadcast => 0,
            Self::Presence => 1,
            Self::Sessions => 2,
        }
    }
}

/// The largest payload; a larger one is dropped by [`Bus::publish`].
pub const MAX_PAYLOAD: usize = 8 * 1024 * 1024;

/// A message of another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who published it.
    pub from: NodeId,
    /// What was published.
    pub payload: Bytes,
}

/// What [`Subscription::next`] yields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// A message.
    Message(Message),
    /// Messages may have been missed here: the connection was made or made anew, one was lost on the way, or this
    /// subscription was read too slowly.
    Gap,
}

/// What [`PeerEvents::next`] yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerEvent {
    /// Another node is there. What is published from now on reaches it.
    Joined(NodeId),
    /// It has stopped, or has not been heard for 20 seconds (`server.node_timeout`).
    Left(NodeId),
}

/// How the bus is doing, for the health page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusStatus {
    /// What carries it: `redis`, `postgres` or `local`.
    pub carrier: &'static str,
    /// Whether messages go out and come in.
    pub connected: bool,
    /// Other nodes.
    pub peers: usize,
}

/// What the nodes of a project have in common.
#[derive(Debug)]
pub struct Terms {
    /// Seals what leaves the process. Without it everybody is believed who may use what carries the bus.
    pub seal: Option<Seal>,
    /// A node that was not heard for so long is gone; each says accordingly often that it is there.
    pub silence: Duration,
}

/// One node's end of the bus.
pub trait Bus: Send + Sync {
    /// This node.
    fn node(&self) -> NodeId;

    /// Sends a message to every other node. Never waits and never fails: what does not fit into the bounded queue, or is
    /// published while there is no connection, is dropped and counted, and the receivers get a [`Delivery::Gap`]. Does
    /// nothing while there is no other node.
    fn publish(&self, subject: Subject, payload: Bytes);

    /// The messages of other nodes from now on, beginning with a [`Delivery::Gap`] (once there is a connection).
    /// Messages of this node are not among them.
    fn subscribe(&self, subject: Subject) -> Subscription;

    /// How many other nodes there are.
    fn peers(&self) -> usize;

    /// How many bytes wait to go out: who has much to send that can wait sends it little by little.
    fn backlog(&self) -> usize;

    /// Who comes and goes, beginning with those that are there. None is missed, however slowly it is read: who left
    /// and came back meanwhile is told as both.
    fn peer_events(&self) -> PeerEvents;

    /// How it is doing.
    fn status(&self) -> BusStatus;
}
