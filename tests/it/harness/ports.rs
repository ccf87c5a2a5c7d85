//! Ports for servers under test: also for the unit tests of the library, which start PostgreSQL.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody listens on, and that no other call gives out: below those that the system gives to connections, in its
/// turn.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 22_000;
    // Tests of another process begin somewhere else.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + turn % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
