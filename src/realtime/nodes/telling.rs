//! Telling all presences of this node to others that miss some, a bounded part at a time.
//!
//! Rooms are looked at one by one while their presences go on changing. Those who listen know by the order of messages which
//! is newer: a change that was told since the beginning always is.

use std::time::Duration;

use tokio::time::Instant;

use super::wire::{Entry, MOST_ENTRIES, News};
use crate::realtime::hub::Hub;
use crate::realtime::metrics;
use crate::realtime::request::Topic;

/// How long questions are gathered, as several nodes ask at the same time.
const GATHER: Duration = Duration::from_millis(50);
/// Between two parts, and between two looks whether the bus keeps up.
const PACE: Duration = Duration::from_millis(10);
/// About how large a part is: it goes into a notification of PostgreSQL, as larger messages are rationed there.
const PART_BYTES: usize = 4 * 1024;
/// Most parts of a step.
const STEP_PARTS: usize = 8;
/// Most topics that are looked at for one part.
const PART_TOPICS: usize = 1_000 / STEP_PARTS;

/// Where the telling has come to.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Whether it is to begin, once it is at the end.
    is_wanted: bool,
    /// What is to be told now; none where nobody has asked.
    under_way: Option<UnderWay>,
    next_at: Option<Instant>,
}

#[derive(Debug)]
struct UnderWay {
    topics: Vec<Topic>,
    /// Those of the latest topic that did not fit.
    left: Vec<Entry>,
}

impl Telling {
    /// Somebody asks.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
        if self.under_way.is_none() && self.next_at.is_none() {
            self.next_at = Some(Instant::now() + GATHER);
        }
    }

    /// When the next step is due; never while nobody asks.
    pub(super) async fn due(&self) {
        match self.next_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Tells the next part.
    pub(super) fn step(&mut self, hub: &Hub) {
        let pause = match &mut self.under_way {
            Some(_) if hub.announcer().is_busy() => Some(PACE),
            None => {
                self.is_wanted = false;
                metrics::presences_retold();
                hub.announcer().numbered(News::Begin);
                // A topic that is made from here on holds only what is told as a change.
                self.under_way = Some(UnderWay { topics: hub.topics(), left: Vec::new() });
                Some(PACE)
            }
            Some(under_way) => {
                for _ in 0..STEP_PARTS {
                    let entries = under_way.part(hub);
                    if !entries.is_empty() {
                        hub.announcer().numbered(News::Part(entries));
                    }
                }
                let is_end = under_way.left.is_empty() && under_way.topics.is_empty();
                if is_end {
                    hub.announcer().numbered(News::End);
                    self.under_way = None;
                }
                if is_end { self.is_wanted.then_some(GATHER) } else { Some(PACE) }
            }
        };
        self.next_at = pause.map(|pause| Instant::now() + pause);
    }
}

impl UnderWay {
    /// As many entries as one part holds; none may be because the topics at hand had none.
    fn part(&mut self, hub: &Hub) -> Vec<Entry> {
        let (mut part, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
        while bytes < PART_BYTES && part.len() < MOST_ENTRIES && looked_at < PART_TOPICS {
            if let Some(entry) = self.left.pop() {
                bytes += entry.size();
                part.push(entry);
            } else if let Some(topic) = self.topics.pop() {
                self.left = hub.own_presences(&topic);
                looked_at += 1;
            } else {
                break;
            }
        }
        part
    }
}
