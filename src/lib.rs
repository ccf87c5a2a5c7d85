//! goforward turns a PostgreSQL database into a complete backend.
//!
//! The library holds everything; `main.rs` only calls [`cli`]. Start reading at `docs/architecture.md`.
#![forbid(unsafe_code)]

pub mod app;
pub mod catalog;
pub mod cli;
pub mod gateway;
pub mod kernel;
pub mod rest;
