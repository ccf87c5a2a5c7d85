//! goforward turns a PostgreSQL database into a complete backend.
//!
//! The executable is a thin shell around this library: `main.rs` only calls [`cli`]. A program of its own can embed the
//! server and add services and middleware to it:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, routing::get};
//! use goforward::{Goforward, Loader, Mount};
//!
//! let routes = Router::new().route("/", get(async || "hello"));
//! let server = Goforward::new(Loader::new().environment(std::env::vars())?.load()?)
//!     .service(Mount::router("hello", "/hello/v1", routes))
//!     .start()
//!     .await?;
//! println!("{}", server.api_url());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/own_service.rs` is a whole one. Start reading at `docs/architecture.md`.
#![forbid(unsafe_code)]

pub mod app;
pub mod auth;
pub mod catalog;
pub mod cli;
pub mod gateway;
pub mod jobs;
pub mod kernel;
pub mod policy;
pub mod realtime;
pub mod rest;
pub mod security;
pub mod storage;

pub use app::{AppError, Goforward, Running};
pub use gateway::{Middleware, Mount, RateLimits, RequestHandler, ServiceLimits};
pub use kernel::config::Loader;
pub use kernel::http::RequestContext;
pub use kernel::identity::Caller;
pub use kernel::limits::Quota;
