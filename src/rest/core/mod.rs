//! The pure heart of the REST service: parse, plan and render without I/O.
//!
//! Nothing below imports axum, sqlx, tokio, a clock or the environment; the same input always gives the same output.

pub mod input;
pub mod media;
pub mod parse;
pub mod payload;
pub mod plan;
pub mod preferences;
pub mod protect;
pub mod query;
pub mod range;
pub mod render;
pub mod request;
pub mod response;
#[cfg(test)]
pub(in crate::rest) mod samples;
