//! How fast the sanitiser is. The gate of 10,000 addresses a second is one for optimised builds:
//! `cargo test --release --lib -- --ignored --nocapture sanitise` holds it and prints the figures of the machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::super::{Field, Policy, sanitise};
use super::corpus::{corpus, texts};

/// Inputs a second, over all of them again and again for `time`.
fn rate(field: Field, inputs: &[String], time: Duration) -> f64 {
    let start = Instant::now();
    let mut done = 0_u32;
    while start.elapsed() < time {
        for input in inputs {
            black_box(sanitise(field, Policy::Clean, black_box(input)));
        }
        done += u32::try_from(inputs.len()).expect("a corpus is small");
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "measures: for an optimised build on a quiet machine"]
fn addresses_pass_at_ten_thousand_a_second_and_more() {
    let table = [
        (
            Field::Email,
            "plain addresses",
            vec!["ann.lee@example.com".to_owned(), "bob+x@mail.example.org".to_owned()],
        ),
        (Field::Email, "benign_email", texts(corpus!("benign_email"))),
        (Field::Email, "sql_injection", texts(corpus!("sql_injection"))),
        (Field::Name, "benign_name", texts(corpus!("benign_name"))),
        (Field::Username, "benign_username", texts(corpus!("benign_username"))),
        (Field::Text, "benign_prose", texts(corpus!("benign_prose"))),
        (Field::Text, "sql_injection", texts(corpus!("sql_injection"))),
        (Field::Path, "benign_path", texts(corpus!("benign_path"))),
    ];
    for (field, name, inputs) in table {
        let rate = rate(field, &inputs, Duration::from_millis(500));
        println!("{field:?} {name}: {rate:.0} a second");
        assert!(field != Field::Email || rate >= 10_000.0, "{name}: {rate:.0} a second");
    }
}

/// What this thread has used so far: others have the processor too.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("time is not negative")
}

/// Inputs made to be slow: nested openings, long runs of one sign, alternations.
#[test]
fn time_grows_with_the_length_and_no_faster() {
    let seeds = [
        "'",
        "\"--",
        "(",
        "or ",
        "' or ",
        "select ",
        "select a,",
        "/*",
        "*/",
        "%25",
        "&#",
        "&amp;",
        "\\",
        "\\u{",
        "<",
        "<script",
        "on",
        "onerror ",
        "../",
        "....//",
        "{",
        "union/**/",
        "-",
        "javascript:",
        "not ",
        "' /* ",
        "a.",
        "=",
        "@",
        "1e",
        " ",
        "'--\t",
        "data:",
    ];
    for seed in seeds {
        let time = |length: usize| {
            let input = format!("' or 1 {}", seed.repeat(length / seed.len()));
            let runs = (0..3).map(|_| {
                let start = processor_time();
                black_box(sanitise(Field::Text, Policy::Clean, &input));
                processor_time().saturating_sub(start)
            });
            runs.min().expect("three runs")
        };
        let (short, long) = (time(2 * 1024), time(32 * 1024));
        // Sixteen times the length: a quadratic step would take 256 times as long.
        assert!(long < short * 80 + Duration::from_millis(60), "{seed:?}: {short:?} and {long:?}");
    }
}
