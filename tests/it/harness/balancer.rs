//! A balancer in front of several servers: each connection goes to the next one in turn, and past those that are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Balances until it is dropped.
pub struct Balancer {
    port: u16,
    task: JoinHandle<()>,
}

impl Balancer {
    /// A balancer for the servers on these ports.
    pub async fn start(servers: Vec<u16>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (servers, turn): (Arc<[u16]>, _) = (servers.into(), AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let first = turn.fetch_add(1, Ordering::Relaxed);
                        connections.spawn(pass(accepted.unwrap().0, Arc::clone(&servers), first));
                    }
                    Some(_ended) = connections.join_next() => {}
                }
            }
        });
        Self { port, task }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes a connection on to the first server that takes it.
async fn pass(mut client: TcpStream, servers: Arc<[u16]>, first: usize) {
    for place in 0..servers.len() {
        let port = servers[(first + place) % servers.len()];
        if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
            // Either end may go away at any time.
            let _ended = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
