//! The REST service: any PostgreSQL schema as a PostgREST-compatible API.
//!
//! A request goes parse, plan, policy, render (all pure, in [`core`]), then execute and respond.

pub mod core;
