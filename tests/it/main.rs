//! The integration suite: one binary, a folder per service.
//!
//! `architecture` needs nothing; everything else uses `harness`, which boots one throwaway PostgreSQL for the whole
//! run and starts the real executable. `scripts/test` is the way to run all of it.

#![expect(unreachable_pub, reason = "one binary: `pub` says what a module offers the others")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test set-up should stop the test on the spot"
)]

mod architecture;
mod audit;
mod auth;
mod bus;
mod connections;
mod embedding;
mod external;
mod gateway;
mod harness;
mod harness_rules;
mod jobs;
mod mail;
mod policy;
mod policy_lint;
mod realtime;
mod rest;
mod serve;
mod slow;
mod storage;
mod table_security;
mod threats;
