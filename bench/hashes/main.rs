//! How many argon2id hashes this machine computes in a second when it does nothing else: what logins are measured against.
//!
//! `hashes MEMORY_KIB PASSES LANES THREADS SECONDS` prints one number.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};

/// As long as those that the server stores.
const DIGEST_BYTES: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<u32> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [memory_kib, passes, lanes, threads, seconds] = given[..] else {
        return Err("usage: hashes MEMORY_KIB PASSES LANES THREADS SECONDS".into());
    };
    let argon2 = Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(memory_kib, passes, lanes, Some(DIGEST_BYTES))?,
    );
    let length = Duration::from_secs(seconds.into());
    let rate: f64 = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| rate(&argon2, length))).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread panicked")).sum::<Result<f64, _>>()
    })?;
    println!("{rate:.2}");
    Ok(())
}

/// Hashes a second of one thread. Its memory is kept, so that the rate is that of the computation alone; a hash that runs
/// when the time is over counts with the time it takes.
fn rate(argon2: &Argon2, length: Duration) -> Result<f64, argon2::Error> {
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    let (start, mut count, mut digest) = (Instant::now(), 0_u32, [0; DIGEST_BYTES]);
    while start.elapsed() < length {
        argon2.hash_password_into_with_memory(
            b"a right password",
            b"sixteen byte slt",
            &mut digest,
            &mut memory,
        )?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
