//! Tests that take their time: crashes under load, many connections, much data. Run once per full run.

mod account_crashes;
mod audit_crashes;
mod budget;
mod change_history;
mod crashes;
mod memory;
mod sign_in_timing;
mod storage_crashes;
