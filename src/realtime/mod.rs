//! Realtime: broadcast, presence and changes of tables over WebSockets, on the wire of `/realtime/v1` that clients of
//! Supabase speak (Phoenix Channels).
//!
//! `protocol`, `request` and `presence` are pure: frames, what a client asks for, who is there. `hub` hands messages to the
//! sockets of this node, `nodes` exchanges them with other nodes, `socket` is one connection, `http` what is asked without
//! one. `access` decides who may do what on a private topic, by the policies of `realtime.messages`; `definitions` is what an
//! operator says of channels by name. `changes` is what happens in tables, from where it is written down to those who may
//! see it; `store` is the SQL on our own tables.

mod access;
mod broadcasts;
mod caller_query;
pub mod changes;
mod credentials;
pub mod definitions;
mod error;
mod http;
mod hub;
mod metrics;
mod nodes;
mod pauses;
mod presence;
mod protocol;
mod remembered;
mod request;
mod socket;
mod state;
pub mod store;

pub use http::router;
pub use state::{Parts, RealtimeState};
