//! What has ended a moment ago (sessions, accounts, keys), so that no answer from before is believed: on this node at once,
//! on the others as soon as the bus has told them.
//!
//! News only: every answer that is kept runs out within a second anyway, whether the news arrives or not. It is told after the commit,
//! by id; of which kind is not said, as no two things have the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::kernel::bus::{Bus, Delivery, Subject};
use crate::kernel::identity::Caller;
use crate::kernel::identity::scope::KEY_ID;

/// Older answers have run out by themselves, and nobody waits for one any more.
const LIFETIME: Duration = Duration::from_secs(4);
/// What has ended within that time, at most; beyond it answers run out by themselves.
const MOST_RECENT: usize = 16_384;

/// What has ended. Clones are the same.
#[derive(Clone)]
pub struct Revocations {
    bus: Arc<dyn Bus>,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    /// Whether anything has ended lately: mostly not, and then nobody needs the lock.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each ended.
    recent: HashMap<Uuid, Instant>,
    /// When the last of them did.
    latest: Option<Instant>,
    /// Who wants to be told of the end of each.
    watching: HashMap<Uuid, Vec<Weak<Notify>>>,
    /// How many ids were watched when those without watchers were last removed.
    swept: usize,
}

impl Revocations {
    /// Hears what other nodes tell, until `stop`.
    pub fn start(bus: Arc<dyn Bus>, (tracker, stop): (&TaskTracker, CancellationToken)) -> Self {
        let known = Arc::<Known>::default();
        let mut told = bus.subscribe(Subject::Sessions);
        let hearing = Arc::clone(&known);
        tracker.spawn(async move {
            while let Some(Some(delivery)) = stop.run_until_cancelled(told.next()).await {
                // What was missed in a gap runs out by itself.
                if let Delivery::Message(message) = delivery
                    && let Some(id) = read(message.payload)
                {
                    hearing.note(id, Instant::now());
                }
            }
        });
        Self { bus, known }
    }

    /// A session, an account or a key has ended, or says something else than before. To be told after the commit.
    pub(crate) fn tell(&self, id: Uuid) {
        self.known.note(id, Instant::now());
        self.bus.publish(Subject::Sessions, Bytes::copy_from_slice(id.as_bytes()));
    }

    /// Whether something that a caller's token names has ended since `asked_at`.
    pub(crate) fn outdate(&self, caller: &Caller, asked_at: Instant) -> bool {
        self.known.any.load(Ordering::Acquire)
            && ids(caller).into_iter().flatten().any(|id| self.known.ended_since(id, asked_at))
    }

    /// Tells `watcher` from now on when something that a caller's token names ends.
    pub(crate) fn watch(&self, caller: &Caller, watcher: &Arc<Notify>) {
        let mut state = self.known.lock();
        for id in ids(caller).into_iter().flatten() {
            let watching = state.watching.entry(id).or_default();
            watching.retain(|other| other.strong_count() > 0 && other.as_ptr() != Arc::as_ptr(watcher));
            watching.push(Arc::downgrade(watcher));
        }
        state.sweep();
    }
}

impl Known {
    fn note(&self, id: Uuid, now: Instant) {
        let mut state = self.lock();
        if state.recent.len() >= MOST_RECENT {
            state.recent.retain(|_, ended_at| now.saturating_duration_since(*ended_at) < LIFETIME);
        }
        if state.recent.len() < MOST_RECENT {
            state.recent.insert(id, now);
        }
        state.latest = Some(now);
        self.any.store(true, Ordering::Release);
        for watcher in state.watching.get(&id).into_iter().flatten().filter_map(Weak::upgrade) {
            watcher.notify_one();
        }
    }

    fn ended_since(&self, id: Uuid, asked_at: Instant) -> bool {
        let mut state = self.lock();
        if let Some(ended_at) = state.recent.get(&id) {
            return *ended_at >= asked_at;
        }
        if state.latest.is_none_or(|latest| latest.elapsed() >= LIFETIME) {
            state.recent.clear();
            self.any.store(false, Ordering::Release);
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets ids that nobody watches any more, once there may be as many of them as others.
    fn sweep(&mut self) {
        if self.watching.len() > 2 * self.swept + 1_024 {
            self.watching.retain(|_, watching| watching.iter().any(|watcher| watcher.strong_count() > 0));
            self.swept = self.watching.len();
        }
    }
}

/// What a caller's token names: the user, the session, the key.
fn ids(caller: &Caller) -> [Option<Uuid>; 3] {
    let id = |claim: &str| Uuid::parse_str(caller.claims.get(claim)?.as_str()?).ok();
    let user = caller.subject.as_deref().and_then(|subject| Uuid::parse_str(subject).ok());
    [user, id("session_id"), id(KEY_ID)]
}

fn read(mut payload: Bytes) -> Option<Uuid> {
    (payload.len() == 16).then(|| Uuid::from_u128(payload.get_u128()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::bus::LocalBus;
    use crate::kernel::identity::Via;
    use crate::kernel::random::Random;

    fn caller(user: Uuid, session: Uuid) -> Caller {
        let claims = json!({"sub": user, "session_id": session, "role": "authenticated"});
        let claims = Arc::new(claims.as_object().cloned().unwrap());
        let caller = Caller::for_role("authenticated", false, Via::Token, None);
        Caller { claims, subject: Some(user.to_string().into()), ..caller }
    }

    fn node(bus: &LocalBus, tasks: (&TaskTracker, CancellationToken)) -> Revocations {
        Revocations::start(Arc::new(bus.join(&Random::system())), tasks)
    }

    #[tokio::test]
    async fn answers_from_before_an_end_count_on_no_node_and_later_ones_do() {
        let (bus, tracker) = (LocalBus::new(), TaskTracker::new());
        let stop = CancellationToken::new();
        let nodes = [node(&bus, (&tracker, stop.clone())), node(&bus, (&tracker, stop.clone()))];
        let (user, session) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ann = caller(user, session);
        let other_session = caller(user, Uuid::from_u128(3));
        let bob = caller(Uuid::from_u128(4), Uuid::from_u128(5));
        let watcher = Arc::new(Notify::new());
        nodes[1].watch(&ann, &watcher);
        let before = Instant::now();
        assert!(!nodes[0].outdate(&ann, before));

        nodes[0].tell(session);
        watcher.notified().await;

        for node in &nodes {
            assert!(node.outdate(&ann, before));
            assert!(!node.outdate(&ann, Instant::now() + Duration::from_millis(1)));
            assert!(!node.outdate(&other_session, before));
            assert!(!node.outdate(&bob, before));
        }
        nodes[1].tell(user);
        assert!(nodes[1].outdate(&other_session, before));
        stop.cancel();
        tracker.close();
        tracker.wait().await;
    }

    #[tokio::test]
    async fn nonsense_from_other_nodes_is_ignored() {
        let (bus, tracker) = (LocalBus::new(), TaskTracker::new());
        let hearing = node(&bus, (&tracker, CancellationToken::new()));
        let other = bus.join(&Random::system());
        let ann = caller(Uuid::from_u128(1), Uuid::from_u128(2));
        let watcher = Arc::new(Notify::new());
        hearing.watch(&ann, &watcher);
        let before = Instant::now();
        other.publish(Subject::Sessions, Bytes::from_static(b"nonsense"));
        other.publish(Subject::Sessions, Bytes::new());
        other.publish(Subject::Sessions, Bytes::copy_from_slice(Uuid::from_u128(2).as_bytes()));
        watcher.notified().await;
        assert!(hearing.outdate(&ann, before));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let (bus, tracker) = (LocalBus::new(), TaskTracker::new());
        let node = node(&bus, (&tracker, CancellationToken::new()));
        for number in 1..40_000 {
            node.tell(Uuid::from_u128(number));
            node.watch(&caller(Uuid::from_u128(number), Uuid::from_u128(number)), &Arc::new(Notify::new()));
        }
        let state = node.known.lock();
        assert!(state.recent.len() <= MOST_RECENT);
        assert!(state.watching.len() <= 1_025, "{}", state.watching.len());
    }
}
