//! The counters of the service.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// How many sockets are open.
pub(super) fn sockets(open: usize) {
    gauge!("goforward_realtime_sockets").set(u32::try_from(open).unwrap_or(u32::MAX));
}

/// How many channels are joined.
pub(super) fn channel_joined() {
    gauge!("goforward_realtime_channels").increment(1);
}

/// See [`channel_joined`].
pub(super) fn channel_left() {
    gauge!("goforward_realtime_channels").decrement(1);
}

/// How long ago the definitions of channels were read.
pub(super) fn definitions_age(age: Duration) {
    gauge!("goforward_realtime_definitions_age_seconds").set(age.as_secs_f64());
}

/// How many are present, on all nodes.
pub(super) fn presences(present: usize) {
    gauge!("goforward_realtime_presences").set(u32::try_from(present).unwrap_or(u32::MAX));
}

/// A message of another node could not be read.
pub(super) fn unreadable() {
    counter!("goforward_realtime_unreadable_total").increment(1);
}

/// The presences of this node are told anew to others.
pub(super) fn presences_retold() {
    counter!("goforward_realtime_presences_retold_total").increment(1);
}

/// A message of a client was taken.
pub(super) fn received(kind: &'static str) {
    counter!("goforward_realtime_messages_received_total", "kind" => kind).increment(1);
}

/// A change was sent to so many channels, so many milliseconds after it was written.
pub(super) fn delivered(channels: usize, lag: i64) {
    counter!("goforward_realtime_changes_total").increment(1);
    counter!("goforward_realtime_changes_sent_total").increment(channels as u64);
    let lag = u32::try_from(lag.max(0)).unwrap_or(u32::MAX);
    histogram!("goforward_realtime_lag_seconds").record(f64::from(lag) / 1000.0);
}

/// Images of rows were not decided about, as policies failed on them.
pub(super) fn undecided(images: usize) {
    counter!("goforward_realtime_undecided_total").increment(images as u64);
}

/// Clients were told to read anew.
pub(super) fn resync() {
    counter!("goforward_realtime_resyncs_total").increment(1);
}

/// A socket, channel or message was refused.
pub(super) fn refused(reason: &'static str) {
    counter!("goforward_realtime_refused_total", "reason" => reason).increment(1);
}
