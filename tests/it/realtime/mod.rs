//! Realtime over real sockets, on the real executable; the ids are those of the list of threats.

mod broadcast;
mod catching_up;
mod changes;
mod definitions;
mod joining;
mod kept;
mod nodes;
mod outbox;
mod predicates;
mod presence;
mod private_topics;
mod publishing;
mod wire;

use crate::harness::{Options, TestApp};

/// A server that lets a test ask as often as it needs.
pub fn options() -> Options {
    Options::default().set("realtime.presence_calls", "1000").set("realtime.events_per_second", "100000")
}

/// A server, and the key that sockets open with.
pub async fn start() -> (TestApp, String) {
    let app = TestApp::with(options()).await;
    let key = app.server.keys().anon_key;
    (app, key)
}
