//! Tests of passwords: stored forms, the hasher and its pool, the rules.

mod hasher;
mod leaked;
mod memory;
mod pool;
mod rate;
mod stored;
mod strength;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Algorithm, Argon2Cost, PasswordConfig};
use crate::kernel::secret::Secret;

/// The least that Argon2 takes, so that tests are quick.
const CHEAP: Algorithm = Algorithm::Argon2id(Argon2Cost { memory_kib: 64, iterations: 1, parallelism: 1 });

fn cheap() -> PasswordConfig {
    PasswordConfig { algorithm: CHEAP, ..PasswordConfig::default() }
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

/// How far a future gets without waiting.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
