//! Loads of HTTP that cost little themselves: connections that are kept, a thread each, and large reads. Every command prints
//! one number.
//!
//! ```text
//! transfers download ADDRESS PATH BYTES CONNECTIONS SECONDS [TOKEN]   megabytes a second
//! transfers upload ADDRESS PATH BYTES TOKEN                          seconds
//! transfers small ADDRESS FOLDER BYTES CONNECTIONS SECONDS TOKEN     uploads a second, each under a name of its own
//! transfers picture FILE WIDTH HEIGHT                                writes a JPEG; its size in bytes
//! transfers decode FILE ROUNDS                                       milliseconds of the median
//! ```

mod client;
mod picture;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::{Connection, Request};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is sent at a time.
const STEP: usize = 256 * 1024;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = match words[..] {
        ["download", address, path, bytes, connections, seconds, ref token @ ..] => {
            let wanted = Request::get(path, token.first().copied());
            let bytes: u64 = bytes.parse()?;
            let took = load(address, connections.parse()?, seconds.parse()?, |connection, counted| {
                connection.ask(&wanted, |read| {
                    counted.fetch_add(read, Ordering::Relaxed);
                })
                .and_then(|length| if length == bytes { Ok(()) } else { Err(format!("{length} bytes").into()) })
            })?;
            took / 1e6
        }
        ["upload", address, path, bytes, token] => {
            let (start, mut connection) = (Instant::now(), Connection::open(address)?);
            connection.send(&Request::post(path, token, bytes.parse()?))?;
            start.elapsed().as_secs_f64()
        }
        ["small", address, folder, bytes, connections, seconds, token] => {
            let (bytes, names): (u64, _) = (bytes.parse()?, AtomicU64::new(0));
            load(address, connections.parse()?, seconds.parse()?, |connection, counted| {
                let path = format!("{folder}/{}.bin", names.fetch_add(1, Ordering::Relaxed));
                connection.send(&Request::post(&path, token, bytes))?;
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })?
        }
        ["picture", file, width, height] => picture::write(file, width.parse()?, height.parse()?)?,
        ["decode", file, rounds] => picture::decode(file, rounds.parse()?)?,
        _ => return Err("see the first lines of bench/transfers/main.rs".into()),
    };
    println!("{number}");
    Ok(())
}

/// Does `work` over so many connections for a time, and tells how much it counted in a second.
fn load(
    address: &str,
    connections: usize,
    seconds: f64,
    work: impl Fn(&mut Connection, &AtomicU64) -> Outcome<()> + Sync,
) -> Outcome<f64> {
    let (counted, start) = (AtomicU64::new(0), Instant::now());
    let end = start + Duration::from_secs_f64(seconds);
    let one = || -> Outcome<()> {
        let mut connection = Connection::open(address)?;
        while Instant::now() < end {
            work(&mut connection, &counted)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    Ok(counted.into_inner() as f64 / start.elapsed().as_secs_f64())
}
