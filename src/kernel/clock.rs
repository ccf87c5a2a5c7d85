//! The one place that reads the time, so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// A source of wall-clock time, cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Milliseconds since the Unix epoch, moved by [`Clock::advance`] and [`Clock::set`].
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual(unix_seconds: i64) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(unix_seconds * 1000))))
    }

    /// Milliseconds since the Unix epoch; negative before 1970.
    pub fn unix_millis(&self) -> i64 {
        match &self.0 {
            Source::System => system_millis(),
            Source::Manual(at) => at.load(Ordering::SeqCst),
        }
    }

    /// Whole seconds since the Unix epoch, as JWT claims count (RFC 7519 section 2, NumericDate).
    pub fn unix_seconds(&self) -> i64 {
        self.unix_millis().div_euclid(1000)
    }

    /// Sets a manual clock, backwards too; a system clock is left alone.
    pub fn set(&self, unix_seconds: i64) {
        if let Source::Manual(at) = &self.0 {
            at.store(unix_seconds * 1000, Ordering::SeqCst);
        }
    }

    /// Moves a manual clock; a system clock is left alone.
    pub fn advance(&self, by: std::time::Duration) {
        if let Source::Manual(at) = &self.0 {
            at.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
fn system_millis() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}
