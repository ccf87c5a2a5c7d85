//! The other nodes: when each was heard last, and up to which message of each subject.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::frame::{SUBJECTS, Sent};
use super::{NodeId, PeerEvent, Subject};

/// Most other nodes; further ones are not heard.
const MOST_PEERS: usize = 1_024;

/// The nodes that are there, each with the number of its arrival.
pub(super) type Present = Arc<BTreeMap<NodeId, u64>>;

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, Peer>,
    arrivals: u64,
}

#[derive(Debug)]
struct Peer {
    arrival: u64,
    heard_at: Instant,
    /// By subject: the last message; none before the first word about it.
    last: [Option<u64>; SUBJECTS],
}

/// What a message's number says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// It follows the one before.
    Next,
    /// Some before it were missed.
    AfterHole,
    /// It was here already.
    Old,
}

impl Peers {
    /// A node was heard; says whether it is new. None where there are too many.
    pub(super) fn heard(&mut self, node: NodeId, now: Instant) -> Option<bool> {
        if let Some(peer) = self.known.get_mut(&node) {
            peer.heard_at = now;
            return Some(false);
        }
        if self.known.len() >= MOST_PEERS {
            return None;
        }
        self.arrivals += 1;
        self.known.insert(node, Peer { arrival: self.arrivals, heard_at: now, last: [None; SUBJECTS] });
        Some(true)
    }

    /// Takes note of a message's number.
    pub(super) fn order(&mut self, node: NodeId, subject: Subject, number: u64) -> Order {
        let Some(peer) = self.known.get_mut(&node) else { return Order::AfterHole };
        let last = &mut peer.last[subject.place()];
        let expected = last.map_or(1, |last| last.saturating_add(1));
        if number < expected || Some(number) == *last {
            return Order::Old;
        }
        *last = Some(number);
        if number == expected { Order::Next } else { Order::AfterHole }
    }

    /// Takes note of the last numbers that a node has sent; yields the subjects of which some were missed.
    pub(super) fn sent(&mut self, node: NodeId, sent: &Sent) -> Vec<Subject> {
        let Some(peer) = self.known.get_mut(&node) else { return Vec::new() };
        let mut missed = Vec::new();
        for subject in Subject::ALL {
            let (last, sent) = (&mut peer.last[subject.place()], sent[subject.place()]);
            if last.is_some_and(|last| last < sent) {
                missed.push(subject);
            }
            *last = Some(last.map_or(sent, |last| last.max(sent)));
        }
        missed
    }

    /// A node has stopped; says whether it was there.
    pub(super) fn stopped(&mut self, node: NodeId) -> bool {
        self.known.remove(&node).is_some()
    }

    /// Forgets the nodes that have been silent for so long; says whether there were any.
    pub(super) fn forget_silent(&mut self, now: Instant, silence: Duration) -> bool {
        let before = self.known.len();
        self.known.retain(|_, peer| now.saturating_duration_since(peer.heard_at) < silence);
        self.known.len() < before
    }

    /// A time without connection, in which nobody can have been heard, counts for nobody.
    pub(super) fn excuse(&mut self, away: Duration) {
        self.known.values_mut().for_each(|peer| peer.heard_at += away);
    }

    /// Who is there.
    pub(super) fn present(&self) -> Present {
        Arc::new(self.known.iter().map(|(node, peer)| (*node, peer.arrival)).collect())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

/// Who comes and goes; see [`Bus::peer_events`](super::Bus::peer_events). Ends with the bus.
#[derive(Debug)]
pub struct PeerEvents {
    present: watch::Receiver<Option<Present>>,
    told: Present,
    waiting: VecDeque<PeerEvent>,
}

impl PeerEvents {
    pub(super) fn new(mut present: watch::Receiver<Option<Present>>) -> Self {
        present.mark_changed();
        Self { present, told: Present::default(), waiting: VecDeque::new() }
    }

    /// The next event; none once the bus has stopped. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<PeerEvent> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            self.present.changed().await.ok()?;
            let now = self.present.borrow_and_update().clone()?;
            let left = self.told.iter().filter(|(node, arrival)| now.get(node) != Some(arrival));
            let joined = now.iter().filter(|(node, arrival)| self.told.get(node) != Some(arrival));
            self.waiting.extend(left.map(|(node, _)| PeerEvent::Left(*node)));
            self.waiting.extend(joined.map(|(node, _)| PeerEvent::Joined(*node)));
            self.told = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(20);

    fn node(number: u64) -> NodeId {
        NodeId::new(number).unwrap()
    }

    #[test]
    fn a_silent_node_is_gone_after_its_time() {
        let (mut peers, start) = (Peers::default(), Instant::now());
        assert_eq!(peers.heard(node(1), start), Some(true));
        assert_eq!(peers.heard(node(2), start), Some(true));
        assert_eq!(peers.heard(node(1), start + SILENCE / 2), Some(false));

        assert!(!peers.forget_silent(start + SILENCE - Duration::from_millis(1), SILENCE));
        assert!(peers.forget_silent(start + SILENCE, SILENCE));

        assert_eq!(peers.present().keys().copied().collect::<Vec<_>>(), [node(1)]);
    }

    #[test]
    fn a_silent_node_is_gone_though_the_connection_comes_and_goes() {
        let (mut peers, start) = (Peers::default(), Instant::now());
        peers.heard(node(1), start);
        // Of every ten seconds four are without connection. One node is heard of in between, the other is not.
        let (mut now, mut listened) = (start, Duration::ZERO);
        peers.heard(node(2), start);
        while listened < SILENCE {
            assert!(!peers.forget_silent(now, SILENCE), "after {listened:?} of listening");
            peers.heard(node(1), now);
            now += Duration::from_secs(4);
            peers.excuse(Duration::from_secs(4));
            now += Duration::from_secs(6);
            listened += Duration::from_secs(6);
        }
        assert!(peers.forget_silent(now, SILENCE), "what counts is the time of listening");
        assert_eq!(peers.present().keys().copied().collect::<Vec<_>>(), [node(1)]);
    }

    #[test]
    fn numbers_tell_what_was_missed_and_what_came_twice() {
        let mut peers = Peers::default();
        peers.heard(node(1), Instant::now());
        let mut order = |number| peers.order(node(1), Subject::Presence, number);
        assert_eq!(
            [order(1), order(2), order(2), order(1)],
            [Order::Next, Order::Next, Order::Old, Order::Old]
        );
        assert_eq!([order(5), order(6)], [Order::AfterHole, Order::Next]);
        assert_eq!(peers.sent(node(1), &[0, 6, 0]), []);
        assert_eq!(peers.sent(node(1), &[0, 8, 0]), [Subject::Presence]);
        assert_eq!(peers.order(node(1), Subject::Presence, 9), Order::Next);
    }

    #[test]
    fn a_node_that_has_said_much_before_is_no_gap_once_it_said_how_much() {
        let mut peers = Peers::default();
        peers.heard(node(1), Instant::now());
        assert_eq!(peers.sent(node(1), &[70, 0, 0]), []);
        assert_eq!(peers.order(node(1), Subject::Broadcast, 71), Order::Next);
        peers.heard(node(2), Instant::now());
        assert_eq!(peers.order(node(2), Subject::Broadcast, 71), Order::AfterHole);
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let mut peers = Peers::default();
        for number in 1..5_000 {
            peers.heard(node(number), Instant::now());
        }
        assert_eq!(peers.len(), MOST_PEERS);
    }

    #[tokio::test]
    async fn who_reads_slowly_is_told_of_one_that_left_and_came_back() {
        let mut peers = Peers::default();
        let (sender, receiver) = watch::channel(Some(Present::default()));
        let mut events = PeerEvents::new(receiver);
        peers.heard(node(1), Instant::now());
        sender.send_replace(Some(peers.present()));
        assert_eq!(events.next().await, Some(PeerEvent::Joined(node(1))));

        peers.stopped(node(1));
        peers.heard(node(1), Instant::now());
        sender.send_replace(Some(peers.present()));
        drop(sender);

        assert_eq!(events.next().await, Some(PeerEvent::Left(node(1))));
        assert_eq!(events.next().await, Some(PeerEvent::Joined(node(1))));
        assert_eq!(events.next().await, None);
    }
}
