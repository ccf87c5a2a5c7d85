//! Measures hashing: `cargo test --lib passwords_per_second -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use super::super::PasswordHasher;
use super::super::memory::WorkingMemory;
use super::super::stored::argon2::Argon2Hash;
use super::*;
use crate::kernel::random::Random;

/// How long each side is measured.
const SPAN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, needs a quiet machine"]
async fn passwords_per_second() {
    let config = PasswordConfig::default();
    let hasher = PasswordHasher::new(&config, Random::seeded(1)).unwrap();
    let stored = hasher.hash(&secret("password")).await.unwrap();
    let threads = config.concurrency.get();

    let raw = raw(threads);
    let begun = Instant::now();
    let logins: Vec<_> = (0..threads * 4)
        .map(|_| {
            let (hasher, stored) = (hasher.clone(), stored.clone());
            tokio::spawn(async move {
                let mut count = 0_u32;
                while begun.elapsed() < SPAN {
                    assert!(hasher.verify(&secret("password"), &stored).await.unwrap().matches);
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut verified = 0;
    for login in logins {
        verified += login.await.unwrap();
    }
    let pooled = f64::from(verified) / begun.elapsed().as_secs_f64();

    println!("argon2 on {threads} threads: {raw:.1}/s, through the pool: {pooled:.1}/s");
    assert!(pooled >= 0.9 * raw, "the pool costs more than a tenth");
}

/// Hashes per second of the bare function on so many threads.
fn raw(threads: usize) -> f64 {
    let begun = Instant::now();
    let count: u32 = std::thread::scope(|scope| {
        let work = || {
            let (mut count, mut memory) = (0_u32, WorkingMemory::new(0).share());
            while begun.elapsed() < SPAN {
                Argon2Hash::create(b"password", &Argon2Cost::default(), [7; 16], &mut memory).unwrap();
                count += 1;
            }
            count
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    f64::from(count) / begun.elapsed().as_secs_f64()
}
