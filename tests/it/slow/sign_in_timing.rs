//! Whether an account exists does not show in the time that a failed sign-in takes.

use std::time::{Duration, Instant};

use crate::auth::{client, options, sign_in, user};
use crate::harness::{Client, TestApp, Walk};

const PAIRS: usize = 1_000;
/// How far the medians may be apart, as a part of the lower one. One hash of the cheapest kind is more than half of it.
const MOST_APART: f64 = 0.15;
/// How far the chance that one kind takes longer than the other may be from a half. Chance alone reaches 0.04 once in a
/// thousand runs.
const MOST_BIASED: f64 = 0.15;

async fn time(client: &Client, email: &str) -> Duration {
    let started = Instant::now();
    sign_in(client, email, "a wrong password 7").await.expect_error(400, "invalid_credentials");
    started.elapsed()
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// The chance that one of the first takes longer than one of the second (Mann and Whitney's U, scaled): a half where nothing
/// tells them apart, whatever the distribution.
fn chance_of_longer(first: &[Duration], second: &[Duration]) -> f64 {
    let mut second = second.to_vec();
    second.sort();
    let number = |count: usize| f64::from(u32::try_from(count).unwrap());
    let below = |time: &Duration| number(second.partition_point(|other| other < time));
    first.iter().map(below).sum::<f64>() / number(first.len() * second.len())
}

#[tokio::test]
async fn b01_an_unknown_account_takes_as_long_as_a_wrong_password() {
    // The cheaper the hash, the more the rest would show.
    let app = TestApp::with(
        options()
            .set("auth.password.argon2_memory_kib", "8192")
            .set("auth.password.argon2_passes", "1")
            .set("auth.lockout.failures", "10000")
            .set("auth.lockout.failures_per_account", "1000000"),
    )
    .await;
    user(&app, "known@example.com").await;
    let client = client(&app);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut walk = Walk::new();
    for _ in 0..20 {
        time(&client, "known@example.com").await;
        time(&client, "nobody@example.com").await;
    }

    // Side by side, in an order that follows nothing, so that a busy moment meets both.
    for _ in 0..PAIRS {
        if walk.once_in(2) {
            known.push(time(&client, "known@example.com").await);
            unknown.push(time(&client, "nobody@example.com").await);
        } else {
            unknown.push(time(&client, "nobody@example.com").await);
            known.push(time(&client, "known@example.com").await);
        }
    }

    let (of_known, of_unknown) = (median(&known), median(&unknown));
    let apart = (of_known - of_unknown).abs() / of_known.min(of_unknown);
    let chance = chance_of_longer(&known, &unknown);
    println!("medians {of_known:.5} s and {of_unknown:.5} s, chance {chance:.3}");
    assert!(
        apart < MOST_APART,
        "medians {of_known} s of a known account and {of_unknown} s of an unknown one"
    );
    assert!((chance - 0.5).abs() < MOST_BIASED, "a known account takes longer with a chance of {chance}");
}
