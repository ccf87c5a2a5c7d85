//! A bad network: a TCP proxy in front of a PostgreSQL that delays, cuts, resets or swallows what passes, as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to the bytes of all connections, those that are open already too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// They pass.
    Fine,
    /// They pass late, each way.
    Late(Duration),
    /// They go nowhere, and nobody is told.
    Swallowed,
}

/// The proxy; gone with its connections when dropped.
pub(super) struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    /// Counts how often all connections were reset.
    resets: watch::Sender<u64>,
    state: Arc<State>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// How many answers' bytes may pass before the connection that they are on is reset; 0 for all.
    cut_after: AtomicUsize,
    cuts: AtomicU64,
}

impl Proxy {
    /// In front of this port on the loopback address.
    pub(super) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (weather, state) = (watch::Sender::new(Weather::Fine), Arc::<State>::default());
        let resets = watch::Sender::new(0);
        let (seen, told, shared) = (weather.subscribe(), resets.subscribe(), Arc::clone(&state));
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, target, seen.clone(), told.clone(), Arc::clone(&shared)));
            }
        });
        Self { port, weather, resets, state, accepting }
    }

    /// The same connection string, through the proxy.
    pub(super) fn through(&self, url: &str, port: u16) -> String {
        url.replace(&format!(":{port}/"), &format!(":{}/", self.port))
    }

    /// Changes the weather.
    pub(super) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Resets all connections that are open now.
    pub(super) fn reset(&self) {
        self.resets.send_modify(|count| *count += 1);
    }

    /// Resets the connection on which so many bytes of answers have passed from now on; once.
    pub(super) fn cut_after(&self, bytes: usize) {
        self.state.cut_after.store(bytes, Ordering::SeqCst);
    }

    /// How many connections were cut so.
    pub(super) fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries one connection to its end.
async fn carry(
    client: TcpStream,
    target: u16,
    weather: watch::Receiver<Weather>,
    mut resets: watch::Receiver<u64>,
    state: Arc<State>,
) {
    // Those before this connection are not its own.
    resets.mark_unchanged();
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        // So that dropping it is a reset.
        stream.set_zero_linger().unwrap();
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, weather.clone(), None) => {}
        () = pass(from_server, to_client, weather, Some(&state)) => {}
        _ = resets.changed() => {}
    }
}

/// Passes bytes one way until either end is gone or the connection is cut.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    answers: Option<&State>,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        let now = *weather.borrow_and_update();
        if let Weather::Late(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if now == Weather::Swallowed {
            continue;
        }
        let (passing, is_cut) = match answers {
            Some(state) => state.allow(count),
            None => (count, false),
        };
        if to.write_all(&bytes[..passing]).await.is_err() || is_cut {
            return;
        }
    }
}

impl State {
    /// How many of so many bytes may pass, and whether the connection ends then.
    fn allow(&self, count: usize) -> (usize, bool) {
        let left = self.cut_after.load(Ordering::SeqCst);
        if left == 0 {
            return (count, false);
        }
        if count < left {
            self.cut_after.fetch_sub(count, Ordering::SeqCst);
            return (count, false);
        }
        self.cut_after.store(0, Ordering::SeqCst);
        self.cuts.fetch_add(1, Ordering::SeqCst);
        (left, true)
    }
}
