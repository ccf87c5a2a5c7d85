//! Counters that all nodes share, in Redis: one script per decision, the same algorithm as in memory.
//!
//! Redis has a twentieth of a second, unless told otherwise. Where it does not answer by then, or answers nonsense, this process
//! counts for itself, and goes on so until a task in the background has found that Redis answers again: no request waits for a
//! Redis that hangs, but those that it hung under.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, RedisError, RedisResult};
use arc_swap::ArcSwapOption;
use metrics::gauge;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Deciding, Decision, GivingBack, LimitKey, LimitSubject, Limiter, MemoryLimiter, Quota};
use crate::kernel::redis::Redis;

/// The longest that Redis may take for an answer, unless told otherwise.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long Redis is left alone after a failure.
const REST: Duration = Duration::from_secs(1);

/// The longest that Redis may take to show that it answers again.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// Counts one request: key, step and tolerance in microseconds. Answers with 0, or with the microseconds to wait. See
/// `memory.rs`; what is no number counts as nothing, and a count that ends later than it can starts anew.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local step, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.pcall('GET', KEYS[1])
local counted = type(held) == 'string' and tonumber(held) or nil
if not (counted and counted <= now + tolerance) then counted = now end
local runs_out = math.max(counted, now) + step
local too_early = runs_out - now - tolerance
if too_early > 0 then return math.ceil(too_early) end
redis.call('SET', KEYS[1], string.format('%.0f', runs_out), 'PX', math.ceil((runs_out - now) / 1000) + 1)
return 0";

/// Counts one request less: key and step.
const GIVE_BACK: &str = r"
local held = redis.pcall('GET', KEYS[1])
local counted = type(held) == 'string' and tonumber(held) or nil
if counted then redis.call('SET', KEYS[1], string.format('%.0f', counted - ARGV[1]), 'KEEPTTL') end
return 0";

/// Shared counters.
#[derive(Debug)]
pub struct RedisLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    redis: Redis,
    local: MemoryLimiter,
    /// The longest that Redis may take for an answer.
    patience: Duration,
    /// None while Redis does not answer.
    link: ArcSwapOption<Link>,
    lost: Notify,
}

/// A connection that answers, as far as is known, and the names by which it knows the scripts.
#[derive(Debug)]
struct Link {
    connection: MultiplexedConnection,
    take: String,
    give_back: String,
}

impl RedisLimiter {
    /// Counters in `redis`, until `stop`. `local` decides before there is a connection, and while there is none.
    pub fn start(redis: Redis, local: MemoryLimiter, tasks: (&TaskTracker, CancellationToken)) -> Self {
        Self::start_with_patience(redis, local, PATIENCE, tasks)
    }

    /// The same with another time for an answer of Redis.
    pub fn start_with_patience(
        redis: Redis,
        local: MemoryLimiter,
        patience: Duration,
        (tracker, stop): (&TaskTracker, CancellationToken),
    ) -> Self {
        let shared =
            Arc::new(Shared { redis, local, patience, link: ArcSwapOption::empty(), lost: Notify::new() });
        let keeping = Arc::clone(&shared);
        tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keeping.keep() => {}
            }
            keeping.link.store(None);
        });
        Self(shared)
    }

    /// Whether all nodes count together at the moment.
    pub fn is_shared(&self) -> bool {
        self.0.link.load().is_some()
    }
}

impl Limiter for RedisLimiter {
    fn take<'a>(&'a self, key: &'a LimitKey, quota: Quota) -> Deciding<'a> {
        Box::pin(async move {
            match self.0.ask(|link| &link.take, key, quota).await {
                Some(0) => Decision::Allowed,
                Some(micros) => Decision::Refused { retry_after: Duration::from_micros(micros) },
                None => self.0.local.decide(key, quota),
            }
        })
    }

    fn give_back<'a>(&'a self, key: &'a LimitKey, quota: Quota) -> GivingBack<'a> {
        Box::pin(async move {
            if self.0.ask(|link| &link.give_back, key, quota).await.is_none() {
                self.0.local.forget_one(key, quota);
            }
        })
    }
}

impl Shared {
    /// The answer of a script; none where Redis has none in time.
    async fn ask(&self, script: fn(&Link) -> &String, key: &LimitKey, quota: Quota) -> Option<u64> {
        let link = self.link.load_full()?;
        let (step, tolerance) = quota.step_and_tolerance();
        // Room for all of it, so that the command is written without growing.
        let mut command = Cmd::with_capacity(6, 160 + self.redis.prefix().len());
        command.arg("EVALSHA").arg(script(&link)).arg(1);
        command.arg(self.name(key)).arg(step).arg(tolerance);
        let mut connection = link.connection.clone();
        match timeout(self.patience, command.query_async(&mut connection)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => self.lose(&link, &error),
            Err(_) => self.lose(&link, &"no answer in time"),
        }
        None
    }

    /// The name of a count. Of one length however long the names are. It does not hide who is counted: addresses are few
    /// enough to be tried.
    fn name(&self, key: &LimitKey) -> String {
        format!("{}:limit:{:032x}", self.redis.prefix(), digest(key))
    }

    /// Gives a connection up. Of all that find out, the first does.
    fn lose(&self, link: &Arc<Link>, why: &dyn std::fmt::Display) {
        let before = self.link.compare_and_swap(link, None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, link)) {
            tracing::warn!(
                "rate limits are counted by each node for itself until Redis answers again: {why}"
            );
            self.lost.notify_one();
        }
    }

    /// Connects, and again a while after each loss.
    async fn keep(&self) {
        let mut told = false;
        gauge!("goforward_limits_shared").set(0.0);
        loop {
            match timeout(CONNECT_PATIENCE, self.connect()).await {
                Ok(Ok(link)) => {
                    self.link.store(Some(Arc::new(link)));
                    gauge!("goforward_limits_shared").set(1.0);
                    if std::mem::take(&mut told) {
                        tracing::info!("rate limits are shared by all nodes again");
                    }
                    self.lost.notified().await;
                    gauge!("goforward_limits_shared").set(0.0);
                    told = true;
                }
                Ok(Err(error)) if !told => {
                    told = true;
                    tracing::warn!("rate limits are counted by each node for itself: {error}");
                }
                Err(_) if !told => {
                    told = true;
                    tracing::warn!("rate limits are counted by each node for itself: Redis does not answer");
                }
                _ => {}
            }
            sleep(REST).await;
        }
    }

    async fn connect(&self) -> RedisResult<Link> {
        let mut connection = self.redis.connect(None, None).await?;
        let take = load(&mut connection, TAKE).await?;
        let give_back = load(&mut connection, GIVE_BACK).await?;
        // A Redis that only reads, or is full, is found out here and not by every request anew.
        let probe = format!("{}:limit:probe", self.redis.prefix());
        let probe = ::redis::cmd("EVALSHA").arg(&take).arg(1).arg(probe).arg(1).arg(1_000_000).to_owned();
        let _: u64 = probe.query_async(&mut connection).await?;
        Ok(Link { connection, take, give_back })
    }
}

/// Makes a script known; answers with its name.
async fn load(connection: &mut MultiplexedConnection, script: &str) -> Result<String, RedisError> {
    ::redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(connection).await
}

/// The same on every node. Each part is preceded by its length or kind, so that no two keys are written alike.
fn digest(key: &LimitKey) -> u128 {
    let mut digest = Sha256::new();
    let mut part = |kind: u8, bytes: &[u8]| {
        digest.update([kind]);
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(0, key.rule.as_bytes());
    if let Some(object) = &key.object {
        part(1, object.as_bytes());
    }
    match &key.subject {
        LimitSubject::Ip(IpAddr::V4(address)) => part(2, &address.octets()),
        LimitSubject::Ip(IpAddr::V6(address)) => part(3, &address.octets()),
        LimitSubject::Key(key) => part(4, key.as_bytes()),
        LimitSubject::User(user) => part(5, user.as_bytes()),
    }
    let digest = digest.finalize();
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_subject_has_a_name_of_its_own() {
        let object = |name: &str| Some(Arc::from(name));
        let subjects = [
            LimitSubject::ip("203.0.113.7".parse().unwrap()),
            LimitSubject::ip("2001:db8::1".parse().unwrap()),
            LimitSubject::Key("a".into()),
            LimitSubject::User("a".into()),
            LimitSubject::User("".into()),
        ];
        let mut names = HashSet::new();
        for rule in ["rest", "auth"] {
            for object in [None, object(""), object("a"), object("ab")] {
                for subject in &subjects {
                    names.insert(digest(&LimitKey {
                        rule,
                        object: object.clone(),
                        subject: subject.clone(),
                    }));
                }
            }
        }
        assert_eq!(names.len(), 2 * 4 * subjects.len());
    }
}
