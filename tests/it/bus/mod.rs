//! The bus between nodes over real servers, and rate limits that nodes share. Each node here has its own runtime, so that
//! it can be killed.

mod limits;
mod postgres;
mod redis;
mod servers;
mod stopping;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use goforward::kernel::bus::{Bus, Delivery, NodeId, PeerEvent, Seal, Station, Subject, Subscription, Terms};
use goforward::kernel::clock::Clock;
use goforward::kernel::random::Random;
use goforward::kernel::secret::Secret;
use goforward::kernel::vault::RootSecrets;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::harness::{PATIENCE, eventually};

/// One node.
struct Node {
    bus: Arc<Station>,
    stop: CancellationToken,
    tracker: TaskTracker,
    runtime: Option<Runtime>,
    /// Counts what this node does, and no other. Never freed, as threads that end late still count.
    counters: &'static PrometheusRecorder,
}

impl Node {
    /// A node whose bus `start` begins.
    fn new(start: impl FnOnce((&TaskTracker, CancellationToken)) -> Arc<Station>) -> Self {
        let counters: &PrometheusRecorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(|| std::mem::forget(metrics::set_default_local_recorder(counters)))
            .build()
            .unwrap();
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let _inside = runtime.enter();
        let bus = start((&tracker, stop.clone()));
        Self { bus, stop, tracker, runtime: Some(runtime), counters }
    }

    fn id(&self) -> NodeId {
        self.bus.node()
    }

    /// Stops in order.
    async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Ends at once, as if the process was killed.
    fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    fn say(&self, text: &str) {
        self.broadcast(Bytes::copy_from_slice(text.as_bytes()));
    }

    fn broadcast(&self, payload: Bytes) {
        metrics::with_local_recorder(self.counters, || self.bus.publish(Subject::Broadcast, payload));
    }

    /// What a counter of this node shows, over all of its labels.
    fn counted(&self, name: &str) -> usize {
        let text = self.counters.handle().render();
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
    }

    fn listen(&self) -> Subscription {
        self.bus.subscribe(Subject::Broadcast)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Those of one project.
fn terms() -> Terms {
    let roots = RootSecrets::new(&Secret::new("a root secret of the tests"), &[]);
    let seal = Seal::new(&roots, Clock::system(), Random::system());
    Terms { seal: Some(seal), silence: Duration::from_secs(20) }
}

/// Waits until each knows all others.
async fn acquainted(nodes: &[&Node]) {
    let all = async || nodes.iter().all(|node| node.bus.peers() + 1 == nodes.len());
    eventually("the nodes to know each other", all).await;
}

/// The next delivery.
async fn next(subscription: &mut Subscription) -> Option<Delivery> {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("nothing was delivered")
}

/// The next message, whatever gaps come first.
async fn message(subscription: &mut Subscription) -> Bytes {
    loop {
        match next(subscription).await {
            Some(Delivery::Message(message)) => return message.payload,
            Some(Delivery::Gap) => {}
            None => panic!("the bus has stopped"),
        }
    }
}

/// Reads gaps until there is nothing more, so that the next one is a new one.
async fn quiet(nodes: &[&Node], subscriptions: &mut [&mut Subscription]) {
    for from in nodes {
        from.say("quiet");
    }
    for (place, subscription) in subscriptions.iter_mut().enumerate() {
        for _ in nodes.iter().enumerate().filter(|(from, _)| *from != place) {
            assert_eq!(message(subscription).await, "quiet");
        }
    }
}

/// Messages of any size reach every other node in the order of their sender, and no node hears itself.
async fn messages_cross_in_order(nodes: [Node; 3]) {
    let [one, two, three] = &nodes;
    acquainted(&[one, two, three]).await;
    let mut own = one.listen();
    let mut others = [two.listen(), three.listen()];
    let mut elsewhere = two.bus.subscribe(Subject::Presence);
    let size = |number: usize| match number % 50 {
        7 => 8_000,
        13 => 5_990,
        20 => 100_000,
        _ => number % 100,
    };
    let payload = |number: usize| Bytes::from(vec![u8::try_from(number % 251).unwrap(); size(number)]);
    for number in 0..500 {
        one.bus.publish(Subject::Broadcast, payload(number));
    }
    one.bus.publish(Subject::Broadcast, vec![1; 3_000_000].into());

    for other in &mut others {
        assert_eq!(next(other).await, Some(Delivery::Gap));
        for number in 0..500 {
            let Some(Delivery::Message(heard)) = next(other).await else { panic!("a gap at {number}") };
            assert_eq!((heard.from, heard.payload), (one.id(), payload(number)), "{number}");
        }
        assert_eq!(message(other).await.len(), 3_000_000);
    }
    two.say("from two");
    assert_eq!(message(&mut own).await, "from two");
    two.bus.publish(Subject::Presence, Bytes::from_static(b"not mine"));
    three.bus.publish(Subject::Presence, Bytes::from_static(b"presence"));
    assert_eq!(message(&mut elsewhere).await, "presence");
}

/// Nodes learn who comes, who stops, and, after a while, who was killed.
async fn nodes_come_and_go(start: impl Fn() -> Node) {
    let one = start();
    let mut events = one.bus.peer_events();
    let (two, three) = (start(), start());
    acquainted(&[&one, &two, &three]).await;
    let mut joined = [events.next().await, events.next().await];
    let mut expected = [Some(PeerEvent::Joined(two.id())), Some(PeerEvent::Joined(three.id()))];
    joined.sort_by_key(|event| format!("{event:?}"));
    expected.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(joined, expected);

    let (second, third) = (two.id(), three.id());
    let (mut at_one, mut ended) = (one.listen(), two.listen());
    two.stop().await;
    assert_eq!(events.next().await, Some(PeerEvent::Left(second)));
    while ended.next().await.is_some() {}

    // Just heard of.
    three.say("alive");
    assert_eq!(message(&mut at_one).await, "alive");
    let killed_at = std::time::Instant::now();
    three.kill();
    assert_eq!(tokio::time::timeout(PATIENCE, events.next()).await, Ok(Some(PeerEvent::Left(third))));
    assert!(killed_at.elapsed().as_secs() >= 10, "it may have been slow only");
    assert_eq!(one.bus.peers(), 0);
    let four = start();
    assert_eq!(events.next().await, Some(PeerEvent::Joined(four.id())));
}
