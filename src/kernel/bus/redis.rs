//! The bus over Redis' publish and subscribe, on one connection (RESP3, so Redis 6 or later).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{PushInfo, PushKind, RedisError, Value};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::carrier::{self, Carrier, Link};
use super::frame::Said;
use super::{NodeId, Station, Subject, Terms, metrics};
use crate::kernel::random::Random;
use crate::kernel::redis::Redis;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The channel of greetings.
const NODES: &str = "nodes";

/// Joins the nodes of a project, until `stop`; hears what is said about these subjects. Before there is a connection, and
/// while there is none, nothing arrives and nothing goes out.
pub fn start(
    redis: Redis,
    terms: Terms,
    subjects: &[Subject],
    random: &Random,
    (tracker, stop): (&TaskTracker, CancellationToken),
) -> Arc<Station> {
    let station = Station::new(NodeId::random(random), "redis", Instant::now()).on(terms);
    let station = Arc::new(station);
    let names = subjects.iter().map(|subject| subject.name()).chain([NODES]);
    let channels = names.map(|name| channel(&redis, name)).collect();
    let carrier = RedisCarrier { redis, channels };
    tracker.spawn(carrier::run(Arc::clone(&station), carrier, random.clone(), stop));
    station
}

struct RedisCarrier {
    redis: Redis,
    /// The channels that are listened to.
    channels: Vec<String>,
}

struct RedisLink {
    connection: MultiplexedConnection,
    station: Arc<Station>,
    lost: Arc<Notify>,
    /// The channels by subject, and that of greetings.
    channels: [String; Subject::ALL.len()],
    nodes: String,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    /// Redis ended it.
    #[error("Redis closed the connection")]
    Closed,
    /// Redis, or the way to it, said so.
    #[error("{0}")]
    Redis(#[from] RedisError),
}

impl Carrier for RedisCarrier {
    type Link = RedisLink;

    async fn connect(&self, station: &Arc<Station>) -> Result<RedisLink, LinkError> {
        let (lost, hearing) = (Arc::new(Notify::new()), Arc::clone(station));
        let losing = Arc::clone(&lost);
        // Called by the connection's own task, which goes on reading when it returns: it must not wait, and does not.
        let pushed = move |push: PushInfo| {
            match push.kind {
                PushKind::Message => hear(&hearing, push.data),
                PushKind::Disconnection => losing.notify_one(),
                _ => {}
            }
            Ok::<(), Infallible>(())
        };
        let mut connection = self.redis.connect(Some(PATIENCE), Some(Arc::new(pushed))).await?;
        connection.subscribe(&self.channels).await?;
        Ok(RedisLink {
            connection,
            station: Arc::clone(station),
            lost,
            channels: Subject::ALL.map(|subject| channel(&self.redis, subject.name())),
            nodes: channel(&self.redis, NODES),
        })
    }
}

impl Link for RedisLink {
    type Error = LinkError;
    type Notice = Infallible;

    async fn next(&mut self) -> Result<Infallible, LinkError> {
        self.lost.notified().await;
        Err(LinkError::Closed)
    }

    async fn take(&mut self, notice: Infallible) -> Result<(), LinkError> {
        match notice {}
    }

    async fn send(&mut self, frames: Vec<Said>) -> Result<(), LinkError> {
        let mut pipeline = ::redis::pipe();
        for said in &frames {
            let channel = match said {
                Said::Message { subject, .. } => &self.channels[subject.place()],
                _ => &self.nodes,
            };
            if let Some(frame) = self.station.write(channel, said) {
                pipeline.cmd("PUBLISH").arg(channel).arg(frame).ignore();
            }
        }
        Ok(pipeline.query_async(&mut self.connection).await?)
    }

    async fn tidy(&mut self) -> Result<(), LinkError> {
        Ok(())
    }

    async fn close(self) {}
}

fn channel(redis: &Redis, name: &str) -> String {
    format!("{}:{name}", redis.prefix())
}

/// A message: its channel and what was published.
fn hear(station: &Station, mut data: Vec<Value>) {
    match (data.pop(), data.pop()) {
        (Some(Value::BulkString(frame)), Some(Value::BulkString(channel))) => {
            station.hear(&String::from_utf8_lossy(&channel), frame.into(), Instant::now());
        }
        _ => metrics::ignored(),
    }
}
