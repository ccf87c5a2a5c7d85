//! Locking accounts after failures, without giving anybody a way to lock others out.
//!
//! Failures are counted of the account at an address, and of the account from devices that it does not know. The first
//! locks that address out; the second locks unknown devices out, so a user goes on signing in from where they did
//! before. An account that does not exist is counted and locked alike: a lock tells nothing.

use std::net::IpAddr;

use chrono::Duration;
use uuid::Uuid;

use crate::auth::error::AuthError;
use crate::auth::event::{SecurityEvent, raise};
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::lockouts::{self, Counted, LockRule, Standing};
use crate::kernel::config::TimeSpan;
use crate::kernel::limits::LimitSubject;

/// What the digests here are for.
const LOCKOUT: &str = "lockout";

/// Who tries to sign in as whom, from where.
pub(crate) struct Attempt {
    pair: Vec<u8>,
    account: Vec<u8>,
    /// Of this device under each root secret, the current one first.
    devices: Vec<Vec<u8>>,
    user: Option<Uuid>,
    standing: Standing,
}

impl Attempt {
    /// `name` is what was typed, in its normalised form; `user` the account that it names, if there is one.
    pub(crate) async fn begin(
        state: &Parts,
        connection: &mut Connection,
        (name, user): (&str, Option<Uuid>),
        origin: &Origin,
    ) -> Result<Self, AuthError> {
        let who = user.map_or_else(|| format!("name {name}"), |id| format!("user {id}"));
        let place = network(origin.ip);
        let digest = |text: &str| state.digest(LOCKOUT, text.as_bytes()).to_vec();
        let (pair, account) = (digest(&format!("{who} {place}")), digest(&who));
        let devices: Vec<Vec<u8>> =
            state.digests(LOCKOUT, format!("device {place}").as_bytes()).into_iter().map(Vec::from).collect();
        let window = duration(state.settings.config.lockout.window);
        let digests = (&*pair, &*account, &*devices);
        let standing = lockouts::standing(connection, digests, user, window, state.now()).await?;
        Ok(Self { pair, account, devices, user, standing })
    }

    /// The account that is named, if there is one.
    pub(crate) fn user(&self) -> Option<Uuid> {
        self.user
    }

    /// Counts the attempt of a device that the account does not know, before the password is looked at: however many come
    /// at once, no more than the allowed ones are. A known device may sign in many times at once; its failures are
    /// counted when they are known. Whether the attempt is refused whatever the password.
    pub(crate) async fn is_refused(
        &self,
        state: &Parts,
        connection: &mut Connection,
        origin: &Origin,
    ) -> Result<bool, AuthError> {
        let standing = self.standing;
        let allowed = i64::from(state.settings.config.lockout.failures);
        if standing.is_known_device && (allowed == 0 || i64::from(standing.failures) < allowed) {
            return Ok(false);
        }
        let is_locked = self.count_pair(state, connection, origin).await?;
        Ok(is_locked || (standing.is_account_locked && !standing.is_known_device))
    }

    /// The password was wrong: counts that here, or for the whole account if it does not know the device.
    pub(crate) async fn failed(
        &self,
        state: &Parts,
        connection: &mut Connection,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        if self.standing.is_known_device {
            self.count_pair(state, connection, origin).await?;
        } else {
            let failures = state.settings.config.lockout.failures_per_account;
            self.count(state, connection, (Counted::Account, &self.account, failures), origin).await?;
        }
        Ok(())
    }

    async fn count_pair(
        &self,
        state: &Parts,
        connection: &mut Connection,
        origin: &Origin,
    ) -> Result<bool, AuthError> {
        let failures = state.settings.config.lockout.failures;
        self.count(state, connection, (Counted::Pair, &self.pair, failures), origin).await
    }

    /// Whether there are more than the allowed ones now.
    async fn count(
        &self,
        state: &Parts,
        connection: &mut Connection,
        (kind, digest, allowed): (Counted, &[u8], u32),
        origin: &Origin,
    ) -> Result<bool, AuthError> {
        let Some(allowed) = i32::try_from(allowed).ok().filter(|allowed| *allowed > 0) else {
            return Ok(false);
        };
        let config = &state.settings.config.lockout;
        let rule =
            LockRule { failures: allowed, window: duration(config.window), lasts: duration(config.lasts) };
        let count = lockouts::count(connection, (kind, digest), self.user, rule, state.now()).await?;
        if count == allowed.saturating_add(1) {
            let event = SecurityEvent::LockedOut { whole_account: kind == Counted::Account };
            raise(connection, event, self.user, origin).await?;
        }
        Ok(count > allowed)
    }

    /// Forgets failures from here: the right password was given.
    pub(crate) async fn succeeded(
        &self,
        state: &Parts,
        connection: &mut Connection,
    ) -> Result<(), AuthError> {
        let device = self.devices.first().map(Vec::as_slice).unwrap_or_default();
        lockouts::succeeded(connection, &self.pair, (self.user, device), state.now()).await?;
        Ok(())
    }
}

/// The network that an address belongs to, as for rate limits: one customer's.
fn network(ip: IpAddr) -> IpAddr {
    match LimitSubject::ip(ip) {
        LimitSubject::Ip(network) => network,
        LimitSubject::Key(_) | LimitSubject::User(_) => ip,
    }
}

fn duration(span: TimeSpan) -> Duration {
    Duration::from_std(span.get()).unwrap_or(Duration::MAX)
}
