//! Tests that take their time: crashes under load, many connections, much data. Run once per full run.

mod budget;
pub mod crashes;
mod memory;
