//! Several servers on one database, each with an admin listener, and a balancer in front of them.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Balancer, Client, Database, Options, Server, Socket, TestApp, eventually, free_port};

/// Servers on one database. By the balancer the first client is on the first server, and so on in turn.
pub struct Nodes {
    /// The first server, and the database of all.
    pub app: TestApp,
    /// The others.
    pub others: Vec<Server>,
    /// The admin listener of each, the first one's first.
    pub admins: Vec<Client>,
    balancer: Balancer,
}

impl Nodes {
    /// So many servers on a database in which `sql` has run. They may not know of each other yet.
    pub async fn start(count: usize, sql: &str, options: impl Fn() -> Options) -> Self {
        let database = Database::create().await;
        database.run(sql).await;
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let starts = ports.iter().map(|port| Server::start(options().admin(*port).database(&database.url())));
        let mut servers = join_all(starts).await;
        let balancer = Balancer::start(servers.iter().map(Server::port).collect()).await;
        let others = servers.split_off(1);
        let app = TestApp { server: servers.remove(0), database };
        let admins = ports.iter().map(|port| Client::new(format!("http://127.0.0.1:{port}"))).collect();
        Self { app, others, admins, balancer }
    }

    /// What the operator is told of each server that answers.
    pub async fn health(&self) -> Vec<Value> {
        let asked = self.admins.iter().map(async |admin| admin.try_get("/health/ready").await);
        join_all(asked).await.into_iter().flatten().map(|answer| answer.json()).collect()
    }

    /// Waits until so many servers answer, and each knows of all others by this bus.
    pub async fn acquainted(&self, count: usize, carrier: &str) {
        let bus = json!({"carrier": carrier, "connected": true, "peers": count - 1});
        eventually("the nodes to know each other", async || {
            let health = self.health().await;
            health.len() == count && health.iter().all(|health| health["bus"] == bus)
        })
        .await;
    }

    /// The key of callers without a user.
    pub fn key(&self) -> String {
        self.app.server.keys().anon_key
    }

    /// A client without a user for each server.
    pub fn anons(&self) -> Vec<Client> {
        let urls = [self.app.server.url()].into_iter().chain(self.others.iter().map(Server::url));
        urls.map(|url| Client::new(url).apikey(&self.key()).bearer(&self.key())).collect()
    }

    /// A socket on the next server, opened with this key.
    pub async fn socket(&self, key: &str) -> Socket {
        Socket::connect(self.balancer.port(), "2.0.0", key).await.unwrap()
    }

    /// A client with a connection of its own, to the next server.
    pub fn client(&self, key: &str) -> Client {
        Client::new(self.balancer.url()).apikey(key).bearer(key)
    }
}
