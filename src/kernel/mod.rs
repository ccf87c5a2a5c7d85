//! Shared, service-free foundations. `kernel` imports nothing of ours; everything else may import it.

pub mod audit;
pub mod bus;
pub mod clock;
pub mod config;
pub mod db;
pub mod http;
pub mod identity;
pub mod jobs;
pub mod limits;
pub mod mail;
pub mod object_links;
pub mod outbound;
pub mod pauses;
pub mod random;
pub mod redis;
pub mod sanitise;
pub mod secret;
pub mod sms;
pub mod sql;
pub mod telemetry;
pub mod vault;
