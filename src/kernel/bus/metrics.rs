//! The counters of the bus.

use metrics::{counter, gauge};

use super::Subject;

/// Whether there is a connection.
pub(super) fn connected(carrier: &'static str, connected: bool) {
    gauge!("goforward_bus_connected", "carrier" => carrier).set(f64::from(u8::from(connected)));
}

/// How many other nodes there are.
pub(super) fn peers(count: usize) {
    gauge!("goforward_bus_peers").set(u32::try_from(count).unwrap_or(u32::MAX));
}

/// A message was given to the carrier.
pub(super) fn published(subject: Subject) {
    counter!("goforward_bus_published_total", "subject" => subject.name()).increment(1);
}

/// A message of another node was given to those who read.
pub(super) fn received(subject: Subject) {
    counter!("goforward_bus_received_total", "subject" => subject.name()).increment(1);
}

/// Messages were lost here.
pub(super) fn dropped(reason: &'static str, count: usize) {
    counter!("goforward_bus_dropped_total", "reason" => reason).increment(count as u64);
}

/// Something on the channel was no message of ours.
pub(super) fn ignored() {
    counter!("goforward_bus_ignored_total").increment(1);
}
