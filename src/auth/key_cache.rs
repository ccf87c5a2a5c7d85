//! Tells every service whom an API key speaks for: from memory for less than a second, else from the database, where all
//! requests that wait for the same key are one look-up.
//!
//! A key is remembered with the address that it is used from, also one that is not accepted: guessing costs us little.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, Semaphore};

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
}

impl HeldKeys for AuthState {
    fn caller<'a>(&'a self, key: &'a str, address: IpAddr) -> Recognising<'a> {
        Box::pin(async move {
            let key = ApiKey::parse(key).map_err(|_| IdentityError::KeyNotAccepted)?;
            let place =
                self.key_cache.place((self.api_keys.digest(&key), address.to_canonical()), &self.revocations);
            let ask = || async {
                let _turn = self.key_cache.turns.acquire().await;
                api_key::caller(self, &key, address).await
            };
            match tokio::time::timeout(PATIENCE, place.answer.get_or_init(ask)).await {
                Ok(answer) => answer.clone(),
                Err(_) => Err(IdentityError::KeysUnavailable),
            }
        })
    }
}
