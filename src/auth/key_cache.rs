//! Tells every service whom an API key speaks for: from memory for less than a second, else from the database, where all
//! requests that wait for the same key are one look-up.
//!
//! A key is remembered with the address that it is used from, also one that is not accepted: guessing costs us little.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::flow::api_key;
use super::revocation::Revocations;
use super::state::AuthState;
use super::token::api_key::ApiKey;
use crate::kernel::identity::{Caller, HeldKeys, IdentityError, Recognising};

/// How long an answer counts, from before the database was asked.
const LIFETIME: Duration = Duration::from_millis(900);
/// Answers that are remembered; beyond it all that have ended are forgotten, and if none has, all.
const MOST_REMEMBERED: usize = 20_000;
/// Look-ups at once: others of the service's connections are for others.
const MOST_AT_ONCE: usize = 4;
/// The longest wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// The digest of a key and the address that it is used from.
type Use = (Vec<u8>, IpAddr);

struct Remembered {
    asked_at: Instant,
    answer: OnceCell<Result<Arc<Caller>, IdentityError>>,
}

/// The answers.
pub struct KeyCache {
    remembered: Mutex<HashMap<Use, Arc<Remembered>>>,
    turns: Semaphore,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self { remembered: Mutex::default(), turns: Semaphore::new(MOST_AT_ONCE) }
    }
}

impl KeyCache {
    /// The place of an answer that counts now, given or to be given by whoever is first.
    fn place(&self, of: Use, revocations: &Revocations) -> Arc<Remembered> {
        let is_outdated = |known: &Remembered| match known.answer.get() {
            Some(Ok(caller)) => revocations.outdate(caller, known.asked_at),
            _ => false,
        };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered
            .get(&of)
            .filter(|known| known.asked_at.elapsed() < LIFETIME)
            .filter(|known| !is_outdated(known))
        {
            return Arc::clone(known);
        }
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, known| known.asked_at.elapsed() < LIFETIME);
            if remembered.len() >= MOST_REMEMBERED {
                remembered.clear();
            }
        }
        let new = Arc::new(Remembered { asked_at: Instant::now(), answer: OnceCell::new() });
        remembered.insert(of, Arc::clone(&new));
        new
    }
    /// The caller behind a key, as `ask` finds out where it is not remembered. An answer that was asked for before what it
    /// names ended counts no more than a remembered one, so it is asked for again.
    async fn caller<F>(
        &self,
        of: Use,
        revocations: &Revocations,
        ask: impl Fn() -> F,
    ) -> Result<Arc<Caller>, IdentityError>
    where
        F: Future<Output = Result<Arc<Caller>, IdentityError>>,
    {
        let ask = || async {
            let _turn = self.turns.acquire().await;
            ask().await
        };
        loop {
            let place = self.place(of.clone(), revocations);
            match place.answer.get_or_init(ask).await {
                Ok(caller) if revocations.outdate(caller, place.asked_at) => {}
                answer => return answer.clone(),
            }
        }
    }
}

impl HeldKeys for AuthState {
    fn caller<'a>(&'a self, key: &'a str, address: IpAddr) -> Recognising<'a> {
        Box::pin(async move {
            let key = ApiKey::parse(key).map_err(|_| IdentityError::KeyNotAccepted)?;
            let of = (self.api_keys.digest(&key), address.to_canonical());
            let ask = || api_key::caller(self, &key, address);
            let caller = self.key_cache.caller(of, &self.revocations, ask);
            timeout(PATIENCE, caller).await.unwrap_or(Err(IdentityError::KeysUnavailable))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use uuid::Uuid;

    use super::*;
    use crate::kernel::bus::LocalBus;
    use crate::kernel::identity::Via;
    use crate::kernel::identity::scope::KEY_ID;
    use crate::kernel::random::Random;

    const KEY: Uuid = Uuid::from_u128(7);

    fn revocations() -> Revocations {
        let bus = LocalBus::alone(&Random::seeded(1));
        Revocations::start(Arc::new(bus), (&TaskTracker::new(), CancellationToken::new()))
    }

    fn caller() -> Arc<Caller> {
        let claims = json!({ KEY_ID: KEY }).as_object().cloned().unwrap();
        let caller = Caller::for_role("authenticated", false, Via::Token, None);
        Arc::new(Caller { claims: Arc::new(claims), ..caller })
    }

    fn of() -> Use {
        (vec![1], IpAddr::from([192, 0, 2, 1]))
    }

    #[tokio::test]
    async fn a_key_is_looked_up_once_for_all_who_wait() {
        let (cache, revocations, asked) = (KeyCache::default(), revocations(), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(caller())
        };
        let one = || cache.caller(of(), &revocations, ask);
        let (first, second) = tokio::join!(one(), one());
        assert!(first.is_ok() && second.is_ok() && one().await.is_ok());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_key_that_is_revoked_while_it_is_looked_up_is_looked_up_anew() {
        let (cache, revocations, asked) = (KeyCache::default(), revocations(), AtomicUsize::new(0));
        let ask = || async {
            if asked.fetch_add(1, Ordering::Relaxed) > 0 {
                return Err(IdentityError::KeyNotAccepted);
            }
            // The database has answered, and the answer is on its way.
            revocations.tell(KEY);
            Ok(caller())
        };
        let answer = cache.caller(of(), &revocations, ask).await;
        assert_eq!(answer.err(), Some(IdentityError::KeyNotAccepted));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
