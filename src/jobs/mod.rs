//! The job service: does what `goforward.jobs` holds, with the handlers that other services bring.
//!
//! `worker` takes due jobs and waits for more, `attempt` makes one attempt at one job, `backoff` says when the next one is,
//! `schedule` enqueues what comes at regular times, `cron` what the operator has scheduled, `clean_up` removes what is finished. Any number of nodes can work on one
//! database: a job is taken by one statement that others pass by, and is held by a lease that its worker renews. The lease
//! of a worker that died runs out, and the next to look takes the job again.
//!
//! Workers look every 250 ms to 2 s, and at once after work or when [`JobBell`](crate::kernel::jobs::JobBell) rings. No
//! notice is sent through the database: under load that would make commits wait for each other.

mod attempt;
mod backoff;
mod clean_up;
mod cron;
mod schedule;
mod store;
mod worker;

pub use worker::{JobSettings, Jobs};
