//! Threat A13: the time that a check takes tells nothing about how near a guess is to the secret.
//!
//! The measure is dudect's (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?"): two classes of guesses,
//! near and far, drawn in random order, the slow tail cropped, and Welch's t over what is left; beyond 4.5 the classes
//! are told apart. Both classes are random, made in batches before they are measured and put into the same buffer, so that
//! caches and the prediction of branches treat them alike. A leak shows in every attempt; what shows in one only was another process. That the measure
//! sees a leak at all is the first test's to show.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::*;

/// A |t| above this is a leak.
pub(crate) const THRESHOLD: f64 = 4.5;
const ATTEMPTS: usize = 8;
static ALONE: Mutex<()> = Mutex::new(());
/// Guesses that are made before the first of them is measured.
const BATCH: usize = 500;
/// Measurements of both classes in one attempt.
pub(crate) const SAMPLES: usize = 100_000;
/// The part of the measurements that counts: the slow ones were interrupted.
const KEPT: f64 = 0.9;

/// Sums of one class, by Welford's method.
#[derive(Default)]
struct Class {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Class {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    /// The variance of the mean.
    fn spread(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// Welch's t between guesses that `make` makes near and far.
fn welch_t(
    samples: usize,
    random: &Random,
    make: impl Fn(bool, &Random) -> String,
    check: impl Fn(&str),
) -> f64 {
    let mut buffer = String::with_capacity(4096);
    let mut measured: Vec<(bool, f64)> = Vec::with_capacity(samples + BATCH);
    // The first batch warms caches up.
    for batch in 0..=samples.div_ceil(BATCH) {
        let guesses: Vec<(bool, String)> = (0..BATCH)
            .map(|_| {
                let near = random.bytes::<1>()[0].is_multiple_of(2);
                (near, make(near, random))
            })
            .collect();
        for (near, guess) in guesses {
            buffer.clear();
            buffer.push_str(&guess);
            let start = Instant::now();
            check(black_box(&buffer));
            let took = start.elapsed();
            if batch > 0 {
                measured.push((near, took.as_secs_f64() * 1e9));
            }
        }
    }
    let mut sorted: Vec<f64> = measured.iter().map(|(_, took)| *took).collect();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let limit = sorted[((sorted.len() - 1) as f64 * KEPT) as usize];
    let mut classes = [Class::default(), Class::default()];
    for (near, took) in measured.into_iter().filter(|(_, took)| *took <= limit) {
        classes[usize::from(near)].add(took);
    }
    let [far, near] = &classes;
    (near.mean - far.mean) / (near.spread() + far.spread()).sqrt()
}

/// The values of |t|, up to the first that shows no leak.
pub(crate) fn attempts(
    samples: usize,
    make: impl Fn(bool, &Random) -> String,
    check: impl Fn(&str),
) -> Vec<f64> {
    // Two measurements at a time would measure each other.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let random = Random::seeded(1);
    let mut found = Vec::new();
    while found.len() < ATTEMPTS {
        found.push(welch_t(samples, &random, &make, &check).abs());
        if found.last().is_some_and(|t| *t < THRESHOLD) {
            break;
        }
    }
    found
}

/// A guess that differs from the secret in its last characters, or one that differs everywhere.
fn guess(secret: &str, near: bool, random: &Random) -> String {
    let noise = encode(&random.bytes::<64>()).repeat(8);
    let kept = if near { secret.len() - 6 } else { 0 };
    format!("{}{}", &secret[..kept], &noise[..secret.len() - kept])
}

#[test]
fn the_measure_tells_a_leaking_comparison_apart() {
    let secret = encode(&[7; 192]);
    let leaking = |text: &str| {
        black_box(secret.bytes().zip(text.bytes()).position(|(one, other)| one != other));
    };

    let found = attempts(SAMPLES / 10, |near, random| guess(&secret, near, random), leaking);

    assert!(found.iter().all(|t| *t > THRESHOLD), "{found:?}");
}

#[test]
fn looking_for_an_api_key_takes_no_longer_for_a_near_guess() {
    let keys = ProjectKeys::mint(&Secret::new(SECRET), &Random::seeded(1), &Clock::manual(NOW));
    let ring = KeyRing::of_project(&keys, "anon", "service_role");
    let key = keys.secret_key.expose();
    let look = |text: &str| assert!(black_box(ring.find(text)).is_none());

    let found = attempts(SAMPLES, |near, random| guess(key, near, random), look);

    assert!(found.last().is_some_and(|t| *t < THRESHOLD), "{found:?}");
}

#[test]
fn comparing_secrets_takes_no_longer_for_a_near_guess() {
    let secret = Secret::new(encode(&[7; 192]));
    let guesses = |near: bool, random: &Random| guess(secret.expose(), near, random);
    let compare = |text: &str| {
        black_box(secret == Secret::new(text));
    };

    let found = attempts(SAMPLES, guesses, compare);

    assert!(found.last().is_some_and(|t| *t < THRESHOLD), "{found:?}");
}

#[test]
fn checking_a_signature_takes_no_longer_for_a_near_guess() {
    let verifier = verifier(options());
    let good = token(&json!({"role": "author"}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    // A whole number of bytes stays right; the last characters hold bits that no byte has.
    let guesses = |near: bool, random: &Random| {
        let noise = random.bytes::<32>();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let kept = if near { 30 } else { 0 };
        bytes[kept..].copy_from_slice(&noise[kept..]);
        format!("{message}.{}", encode(&bytes))
    };
    let verify = |text: &str| {
        black_box(verifier.verify(text).is_ok());
    };

    let found = attempts(SAMPLES / 4, guesses, verify);

    assert!(found.last().is_some_and(|t| *t < THRESHOLD), "{found:?}");
}
