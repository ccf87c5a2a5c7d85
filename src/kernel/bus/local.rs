//! A bus in the memory of one process: for a server that is alone, and for tests of what several nodes do.
//!
//! Messages have arrived when `publish` returns. Time stands still until [`LocalBus::advance`] moves it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Bus, BusStatus, NodeId, PeerEvents, Station, Subject, Subscription};
use crate::kernel::random::Random;

/// The one channel.
const CHANNEL: &str = "local";

/// What connects the nodes of one process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct LocalBus {
    // Held while messages travel: their order is one for all.
    nodes: Arc<Mutex<Nodes>>,
}

#[derive(Debug)]
struct Nodes {
    stations: Vec<Arc<Station>>,
    now: Instant,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { stations: Vec::new(), now: Instant::now() }
    }
}

/// A node of a [`LocalBus`]. Dropping it is like killing a server: the others notice by its silence.
#[derive(Debug)]
pub struct LocalNode {
    bus: LocalBus,
    station: Arc<Station>,
}

impl LocalBus {
    /// A bus without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A server that is alone.
    pub fn alone(random: &Random) -> LocalNode {
        Self::new().join(random)
    }

    /// A new node.
    pub fn join(&self, random: &Random) -> LocalNode {
        let mut nodes = self.lock();
        let station = Arc::new(Station::new(NodeId::random(random), "local", nodes.now));
        nodes.stations.push(Arc::clone(&station));
        station.connected(nodes.now);
        nodes.carry();
        LocalNode { bus: self.clone(), station }
    }

    /// Lets time pass for all nodes, a second at a time.
    pub fn advance(&self, by: Duration) {
        let mut nodes = self.lock();
        let until = nodes.now + by;
        while nodes.now < until {
            nodes.now = until.min(nodes.now + Duration::from_secs(1));
            nodes.stations.iter().for_each(|station| station.tick(nodes.now));
            nodes.carry();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    /// Carries everything that waits to everybody who is connected, and the answers too.
    fn carry(&self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for from in &self.stations {
                for said in from.outgoing(usize::MAX, usize::MAX) {
                    quiet = false;
                    let Some(bytes) = from.write(CHANNEL, &said).map(Bytes::from) else { continue };
                    let hearing = self.stations.iter().filter(|station| station.is_connected());
                    hearing.for_each(|station| station.hear(CHANNEL, bytes.clone(), self.now));
                }
            }
        }
    }
}

impl LocalNode {
    /// Stops in order: the others hear of it at once.
    pub fn stop(self) {
        self.station.say_bye();
        self.bus.lock().carry();
        self.station.close();
    }

    /// Loses the connection: nothing goes out or comes in.
    pub fn cut(&self) {
        let nodes = self.bus.lock();
        self.station.disconnected(nodes.now);
    }

    /// Finds the connection again.
    pub fn mend(&self) {
        let nodes = self.bus.lock();
        self.station.connected(nodes.now);
        nodes.carry();
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        self.bus.lock().stations.retain(|station| !Arc::ptr_eq(station, &self.station));
        self.station.close();
    }
}

impl Bus for LocalNode {
    fn node(&self) -> NodeId {
        self.station.node()
    }

    fn publish(&self, subject: Subject, payload: Bytes) {
        if self.station.peers() > 0 {
            let nodes = self.bus.lock();
            self.station.publish(subject, payload);
            nodes.carry();
        }
    }

    fn subscribe(&self, subject: Subject) -> Subscription {
        self.station.subscribe(subject)
    }

    fn peers(&self) -> usize {
        self.station.peers()
    }

    fn backlog(&self) -> usize {
        self.station.backlog()
    }

    fn peer_events(&self) -> PeerEvents {
        self.station.peer_events()
    }

    fn status(&self) -> BusStatus {
        self.station.status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::bus::{Delivery, Message, PeerEvent};

    fn bus() -> (LocalBus, Random) {
        (LocalBus::new(), Random::seeded(1))
    }

    async fn messages(subscription: &mut Subscription, count: usize) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for _ in 0..count {
            deliveries.push(subscription.next().await.unwrap());
        }
        deliveries
    }

    fn from(node: &LocalNode, text: &'static str) -> Delivery {
        Delivery::Message(Message { from: node.node(), payload: text.into() })
    }

    #[tokio::test]
    async fn messages_reach_every_other_node_in_order_and_never_come_back() {
        let (bus, random) = bus();
        let (one, two, three) = (bus.join(&random), bus.join(&random), bus.join(&random));
        let mut own = one.subscribe(Subject::Broadcast);
        let mut others = [two.subscribe(Subject::Broadcast), three.subscribe(Subject::Broadcast)];
        let mut elsewhere = two.subscribe(Subject::Presence);

        one.publish(Subject::Broadcast, "first".into());
        one.publish(Subject::Broadcast, "second".into());
        two.publish(Subject::Broadcast, "third".into());

        assert_eq!(messages(&mut own, 2).await, [Delivery::Gap, from(&two, "third")]);
        for other in &mut others {
            let expected = [Delivery::Gap, from(&one, "first"), from(&one, "second")];
            assert_eq!(messages(other, 3).await, expected);
        }
        two.stop();
        assert_eq!(elsewhere.next().await, Some(Delivery::Gap));
        assert_eq!(elsewhere.next().await, None);
    }

    #[tokio::test]
    async fn nodes_learn_of_each_other_and_of_the_end_of_each() {
        let (bus, random) = bus();
        let one = bus.join(&random);
        let mut events = one.peer_events();
        let (two, three) = (bus.join(&random), bus.join(&random));
        assert_eq!([one.peers(), two.peers(), three.peers()], [2; 3]);
        let mut joined = [events.next().await, events.next().await];
        let mut expected = [Some(PeerEvent::Joined(two.node())), Some(PeerEvent::Joined(three.node()))];
        joined.sort_by_key(|event| format!("{event:?}"));
        expected.sort_by_key(|event| format!("{event:?}"));
        assert_eq!(joined, expected);

        let (second, third) = (two.node(), three.node());
        two.stop();
        assert_eq!(one.peers(), 1);
        assert_eq!(events.next().await, Some(PeerEvent::Left(second)));
        drop(three);
        bus.advance(Duration::from_secs(14));
        assert_eq!(one.peers(), 1);
        bus.advance(Duration::from_secs(7));
        assert_eq!(one.peers(), 0);
        assert_eq!(events.next().await, Some(PeerEvent::Left(third)));

        drop(one);
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_lost_connection_is_a_gap_on_both_sides_and_publishing_goes_on() {
        let (bus, random) = bus();
        let (one, two) = (bus.join(&random), bus.join(&random));
        let (mut at_one, mut at_two) = (one.subscribe(Subject::Presence), two.subscribe(Subject::Presence));
        one.publish(Subject::Presence, "before".into());
        assert_eq!(messages(&mut at_two, 2).await, [Delivery::Gap, from(&one, "before")]);
        assert_eq!(at_one.next().await, Some(Delivery::Gap));

        one.cut();
        one.publish(Subject::Presence, "lost".into());
        two.publish(Subject::Presence, "lost too".into());
        one.mend();
        one.publish(Subject::Presence, "after".into());
        two.publish(Subject::Presence, "after".into());

        assert_eq!(messages(&mut at_one, 2).await, [Delivery::Gap, from(&two, "after")]);
        assert_eq!(messages(&mut at_two, 2).await, [Delivery::Gap, from(&one, "after")]);
    }

    #[tokio::test]
    async fn a_node_that_was_cut_off_for_long_is_a_new_arrival() {
        let (bus, random) = bus();
        let (one, two) = (bus.join(&random), bus.join(&random));
        let mut events = one.peer_events();
        assert_eq!(events.next().await, Some(PeerEvent::Joined(two.node())));
        two.cut();
        bus.advance(Duration::from_mins(1));
        assert_eq!((one.peers(), two.peers()), (0, 0));
        assert_eq!(events.next().await, Some(PeerEvent::Left(two.node())));
        two.mend();
        assert_eq!((one.peers(), two.peers()), (1, 1));
        assert_eq!(events.next().await, Some(PeerEvent::Joined(two.node())));
    }
}
