//! One node's end of the bus, whatever carries it: what waits to go out, who is there, and who reads.
//!
//! A carrier takes frames by [`Station::outgoing`], hands in what it hears by [`Station::hear`] (what this node said
//! itself, too: that shows that the connection works), says when it is connected and when not, and lets time pass by
//! [`Station::tick`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::frame::{self, SUBJECTS, Said, Sent};
use super::inbox::Inbox;
use super::peers::{Order, Peers, Present};
use super::{
    Bus, BusStatus, MAX_PAYLOAD, Message, NodeId, PeerEvents, Subject, Subscription, Terms, metrics,
};

/// Most messages that wait to go out.
pub(super) const MOST_WAITING: usize = 8_192;

/// About how much waits to go out.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// After so long a silence a node is gone, where the terms do not say otherwise.
const SILENCE: Duration = Duration::from_secs(20);

/// So often within that time a node says that it is there, and within this part of it hears what it said.
const BEATS: u32 = 4;
const ECHO: u32 = 2;

/// How often a node says that it is there while it knows of none, which only shows that all works.
const LONELY_BEAT: Duration = Duration::from_secs(30);

/// One node's end of the bus.
#[derive(Debug)]
pub struct Station {
    node: NodeId,
    carrier: &'static str,
    /// Without a seal where frames stay in the process, or the nodes share no secret.
    terms: Terms,
    outgoing: Mutex<Outgoing>,
    filled: Notify,
    /// Never locked while `outgoing` is.
    hearing: Mutex<Hearing>,
    peers: AtomicUsize,
    /// None once the bus has stopped.
    present: watch::Sender<Option<Present>>,
}

#[derive(Debug)]
struct Outgoing {
    connected: bool,
    /// Whether good-bye was said: nothing follows it, or others would take this node for back.
    has_left: bool,
    waiting: VecDeque<Said>,
    bytes: usize,
    sent: Sent,
    /// An answer to a `hello` is on its way: one is enough for all.
    answering: bool,
    /// When this node last said that it is there.
    said_at: Instant,
    /// Since when this node has not heard itself, though it said something.
    unheard_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Hearing {
    peers: Peers,
    inboxes: [Vec<Arc<Inbox>>; SUBJECTS],
    stopped: bool,
    /// Since when there is no connection.
    away_since: Option<Instant>,
}

impl Station {
    /// The end of a node that is not connected yet.
    pub(super) fn new(node: NodeId, carrier: &'static str, now: Instant) -> Self {
        metrics::connected(carrier, false);
        metrics::peers(0);
        Self {
            node,
            carrier,
            terms: Terms { seal: None, silence: SILENCE },
            outgoing: Mutex::new(Outgoing {
                connected: false,
                has_left: false,
                waiting: VecDeque::new(),
                bytes: 0,
                sent: Sent::default(),
                answering: false,
                said_at: now,
                unheard_since: None,
            }),
            filled: Notify::new(),
            hearing: Mutex::default(),
            peers: AtomicUsize::new(0),
            present: watch::Sender::new(Some(Present::default())),
        }
    }

    /// The same on these terms.
    pub(super) fn on(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// There is a connection: others are greeted, and whoever reads is told of a gap.
    pub(super) fn connected(&self, now: Instant) {
        let mut outgoing = self.lock_outgoing();
        outgoing.connected = true;
        outgoing.unheard_since = None;
        outgoing.say(Said::Hello, now);
        drop(outgoing);
        self.filled.notify_one();
        metrics::connected(self.carrier, true);
        let mut hearing = self.lock_hearing();
        if let Some(since) = hearing.away_since.take() {
            hearing.peers.excuse(now.saturating_duration_since(since));
        }
        hearing.inboxes.iter().flatten().for_each(|inbox| inbox.gap());
    }

    /// The connection is lost: what waits is dropped, because by the time there is another it would be old.
    pub(super) fn disconnected(&self, now: Instant) {
        let mut outgoing = self.lock_outgoing();
        let messages = outgoing.waiting.iter().filter(|said| matches!(said, Said::Message { .. })).count();
        outgoing.connected = false;
        outgoing.clear();
        drop(outgoing);
        metrics::dropped("disconnected", messages);
        metrics::connected(self.carrier, false);
        self.lock_hearing().away_since.get_or_insert(now);
    }

    /// Whether there is a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.lock_outgoing().connected
    }

    /// Waits until something is to go out. Dropping the future loses nothing.
    pub(super) async fn something_waits(&self) {
        while self.lock_outgoing().waiting.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes what is to go out, in order: at most so many frames, and no further one beyond so many bytes.
    pub(super) fn outgoing(&self, most: usize, most_bytes: usize) -> Vec<Said> {
        let mut outgoing = self.lock_outgoing();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < most && bytes < most_bytes {
            let Some(said) = outgoing.waiting.pop_front() else { break };
            bytes += said.bytes();
            outgoing.bytes -= said.bytes();
            outgoing.answering &= !matches!(said, Said::Here(_));
            taken.push(said);
        }
        taken
    }

    /// What goes into a channel, in the order in which it is asked for; none where it cannot be sealed.
    pub(super) fn write(&self, channel: &str, said: &Said) -> Option<Vec<u8>> {
        let mut frame = Vec::with_capacity(said.bytes());
        frame::encode(self.node, said, &mut frame);
        match &self.terms.seal {
            Some(seal) => seal.seal(channel, &frame),
            None => Some(frame),
        }
    }

    fn read(&self, channel: &str, bytes: Bytes) -> Option<(NodeId, Said)> {
        let Some(seal) = &self.terms.seal else { return frame::decode(bytes) };
        let opened = seal.open(channel, bytes)?;
        let (from, said) = frame::decode(opened.frame)?;
        seal.is_new(from, opened.stamp).then_some((from, said))
    }

    /// Something came out of a channel.
    pub(super) fn hear(&self, channel: &str, bytes: Bytes, now: Instant) {
        let Some((from, said)) = self.read(channel, bytes) else { return metrics::ignored() };
        if from == self.node {
            return self.hear_itself();
        }
        let mut hearing = self.lock_hearing();
        if said == Said::Bye {
            if hearing.peers.stopped(from) {
                self.tell_watchers(&hearing);
            }
            return;
        }
        let Some(is_new) = hearing.peers.heard(from, now) else { return metrics::ignored() };
        let answers = matches!(said, Said::Hello(_)) || (is_new && !matches!(said, Said::Here(_)));
        if is_new {
            self.tell_watchers(&hearing);
        }
        match said {
            Said::Message { subject, number, payload } => {
                hearing.deliver(subject, number, &Message { from, payload });
            }
            Said::Hello(sent) | Said::Here(sent) | Said::Beat(sent) => {
                for subject in hearing.peers.sent(from, &sent) {
                    hearing.gap(subject);
                }
            }
            Said::Bye => {}
        }
        drop(hearing);
        if answers {
            self.answer(now);
        }
    }

    /// What this node said came out of the channel.
    pub(super) fn hear_itself(&self) {
        self.lock_outgoing().unheard_since = None;
    }

    /// Whether all that this node said has come back to it.
    pub(super) fn hears_itself(&self) -> bool {
        let outgoing = self.lock_outgoing();
        outgoing.connected && outgoing.unheard_since.is_none()
    }

    /// Lets time pass: forgets silent nodes, and says that this one is there.
    pub(super) fn tick(&self, now: Instant) {
        let mut hearing = self.lock_hearing();
        let lost = hearing.peers.forget_silent(now, self.terms.silence);
        if lost {
            self.tell_watchers(&hearing);
        }
        let interval = if hearing.peers.len() == 0 { LONELY_BEAT } else { self.terms.silence / BEATS };
        drop(hearing);
        let mut outgoing = self.lock_outgoing();
        if !outgoing.connected {
            return;
        }
        if lost {
            // Whoever is still there, although not heard, answers.
            outgoing.say(Said::Hello, now);
        } else if now >= outgoing.said_at + interval {
            outgoing.say(Said::Beat, now);
        } else {
            return;
        }
        drop(outgoing);
        self.filled.notify_one();
    }

    /// Whether what this node said has not come back for so long that its connection must be dead.
    pub(super) fn is_deaf(&self, now: Instant) -> bool {
        let unheard_since = self.lock_outgoing().unheard_since;
        unheard_since.is_some_and(|since| now.saturating_duration_since(since) > self.terms.silence / ECHO)
    }

    /// Says good-bye, after what waits.
    pub(super) fn say_bye(&self) {
        let mut outgoing = self.lock_outgoing();
        if outgoing.connected {
            outgoing.push(Said::Bye);
            outgoing.has_left = true;
        }
        drop(outgoing);
        self.filled.notify_one();
    }

    /// Ends subscriptions.
    pub(super) fn close(&self) {
        self.disconnected(Instant::now());
        let mut hearing = self.lock_hearing();
        hearing.stopped = true;
        hearing.inboxes.iter().flatten().for_each(|inbox| inbox.close());
        hearing.peers = Peers::default();
        self.peers.store(0, Ordering::Relaxed);
        metrics::peers(0);
        self.present.send_replace(None);
    }

    fn answer(&self, now: Instant) {
        let mut outgoing = self.lock_outgoing();
        if outgoing.connected && !outgoing.answering {
            outgoing.answering = true;
            outgoing.say(Said::Here, now);
            drop(outgoing);
            self.filled.notify_one();
        }
    }

    fn tell_watchers(&self, hearing: &Hearing) {
        self.peers.store(hearing.peers.len(), Ordering::Relaxed);
        metrics::peers(hearing.peers.len());
        self.present.send_replace(Some(hearing.peers.present()));
    }

    fn lock_outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_hearing(&self) -> MutexGuard<'_, Hearing> {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus for Station {
    fn node(&self) -> NodeId {
        self.node
    }

    fn publish(&self, subject: Subject, payload: Bytes) {
        if self.peers.load(Ordering::Relaxed) == 0 {
            return;
        }
        match self.lock_outgoing().message(subject, payload) {
            Ok(()) => {
                self.filled.notify_one();
                metrics::published(subject);
            }
            Err(reason) => metrics::dropped(reason, 1),
        }
    }

    fn subscribe(&self, subject: Subject) -> Subscription {
        let inbox = Arc::new(Inbox::default());
        let mut hearing = self.lock_hearing();
        let readers = &mut hearing.inboxes[subject.place()];
        readers.retain(|reader| !reader.is_closed());
        readers.push(Arc::clone(&inbox));
        if hearing.stopped {
            inbox.close();
        } else if self.is_connected() {
            inbox.gap();
        }
        Subscription::new(inbox)
    }

    fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    fn backlog(&self) -> usize {
        self.lock_outgoing().bytes
    }

    fn peer_events(&self) -> PeerEvents {
        PeerEvents::new(self.present.subscribe())
    }

    fn status(&self) -> BusStatus {
        BusStatus { carrier: self.carrier, connected: self.is_connected(), peers: self.peers() }
    }
}

impl Outgoing {
    /// Numbers a message and adds it. What is dropped has its number too: by that the receivers notice.
    fn message(&mut self, subject: Subject, payload: Bytes) -> Result<(), &'static str> {
        let number = &mut self.sent[subject.place()];
        *number += 1;
        let said = Said::Message { subject, number: *number, payload };
        if !self.connected {
            return Err("disconnected");
        }
        if said.bytes() > MAX_PAYLOAD + frame::OVERHEAD {
            return Err("too_large");
        }
        if self.waiting.len() >= MOST_WAITING || self.bytes + said.bytes() > MOST_BYTES {
            return Err("queue_full");
        }
        self.push(said);
        Ok(())
    }

    fn say(&mut self, what: fn(Sent) -> Said, now: Instant) {
        let said = what(self.sent);
        self.push(said);
        self.said_at = now;
        self.unheard_since.get_or_insert(now);
    }

    fn push(&mut self, said: Said) {
        if self.has_left {
            return;
        }
        self.bytes += said.bytes();
        self.waiting.push_back(said);
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
        self.answering = false;
        self.unheard_since = None;
    }
}

impl Hearing {
    fn deliver(&mut self, subject: Subject, number: u64, message: &Message) {
        match self.peers.order(message.from, subject, number) {
            Order::Old => return,
            Order::AfterHole => self.gap(subject),
            Order::Next => {}
        }
        metrics::received(subject);
        for inbox in &self.inboxes[subject.place()] {
            if !inbox.put(message.clone()) {
                metrics::dropped("slow_reader", 1);
            }
        }
    }

    fn gap(&self, subject: Subject) {
        self.inboxes[subject.place()].iter().for_each(|inbox| inbox.gap());
    }
}

#[cfg(test)]
mod tests;
