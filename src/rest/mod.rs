//! The REST service: any PostgreSQL schema as a PostgREST-compatible API.
//!
//! A request goes parse, plan, protect, render (all pure, in `core`), then runs as one statement group and is answered
//! ([`service`]). The root answers with the document of [`openapi`].

mod audit;
pub mod core;
pub mod error;
mod file_urls;
mod graphql;
pub mod openapi;
mod result;
mod root;
mod run;
mod scope;
pub mod service;
pub mod settings;
mod timing;

pub use audit::RestAudit;
pub use file_urls::FileUrls;
pub use service::RestService;
pub use settings::{RestSettings, Surroundings};
