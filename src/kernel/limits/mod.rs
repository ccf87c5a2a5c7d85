//! Rate limits: a port for shared counters, one that lives in this process's memory, and one that all nodes
//! share in Redis.
//!
//! Services say what they count ([`LimitKey`]) and how much is allowed ([`Quota`]); who keeps the count is the operator's
//! choice. A counter that cannot be reached must decide locally and never simply let everything pass.

mod memory;
mod redis;

pub use memory::MemoryLimiter;
pub use redis::RedisLimiter;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// So many requests in such a time, with as many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many requests.
    pub requests: u32,
    /// In how long a time.
    pub per: Duration,
    /// How many may come at once; at least 1.
    pub burst: u32,
}

impl Quota {
    /// So many requests per second, all of which may come at once.
    pub fn per_second(requests: u32) -> Self {
        Self { requests, per: Duration::from_secs(1), burst: requests }
    }

    /// So many requests per minute, all of which may come at once.
    pub fn per_minute(requests: u32) -> Self {
        Self { requests, per: Duration::from_mins(1), burst: requests }
    }
}

impl Quota {
    /// From one request to the next at the allowed rate, and how far ahead of it a burst may run, in microseconds.
    fn step_and_tolerance(self) -> (i64, i64) {
        let per = i64::try_from(self.per.as_micros()).unwrap_or(i64::MAX);
        let step = per / i64::from(self.requests.max(1));
        (step, step.saturating_mul(i64::from(self.burst.max(1))))
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey {
    /// The rule, so that two rules never share a count: `rest`, `auth.token`, ...
    pub rule: &'static str,
    /// What the rule is about, where there are many such: a table by its name.
    pub object: Option<std::sync::Arc<str>>,
    /// Who is counted.
    pub subject: LimitSubject,
}

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitSubject {
    /// An address; an IPv6 client is counted by its /64 network, because it owns all of it.
    Ip(IpAddr),
    /// An API key or token, by its fingerprint.
    Key(std::sync::Arc<str>),
    /// A user, by id.
    User(std::sync::Arc<str>),
}

impl LimitSubject {
    /// One caller: the user, else the address (a key is shared by many).
    pub fn caller(subject: Option<&std::sync::Arc<str>>, address: IpAddr) -> Self {
        subject.map_or_else(|| Self::ip(address), |user| Self::User(std::sync::Arc::clone(user)))
    }

    /// The subject for an address.
    pub fn ip(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & (u128::MAX << 64);
                Self::Ip(IpAddr::V6(network.into()))
            }
            v4 @ IpAddr::V4(_) => Self::Ip(v4),
        }
    }
}

/// The answer of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allowed,
    /// Refuse with 429; after this time one request will pass.
    Refused {
        /// The value of `Retry-After`, to be rounded up to whole seconds.
        retry_after: Duration,
    },
}

impl Decision {
    /// `Retry-After` in seconds, at least 1, of a refusal.
    pub fn retry_after_seconds(self) -> Option<u64> {
        match self {
            Self::Allowed => None,
            Self::Refused { retry_after } => {
                Some((retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0)).max(1))
            }
        }
    }
}

/// A future that a limiter answers with.
pub type Deciding<'a> = Pin<Box<dyn Future<Output = Decision> + Send + 'a>>;

/// A future that ends when a count is corrected.
pub type GivingBack<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Shared counters.
pub trait Limiter: Send + Sync {
    /// Counts one request of the subject and says whether it may pass.
    fn take<'a>(&'a self, key: &'a LimitKey, quota: Quota) -> Deciding<'a>;

    /// Counts one request less that [`take`](Self::take) let pass: what it was counted for was not done.
    fn give_back<'a>(&'a self, key: &'a LimitKey, quota: Quota) -> GivingBack<'a>;
}
