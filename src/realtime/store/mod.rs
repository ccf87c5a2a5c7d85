//! SQL on our own tables of schema `realtime`, under the login `goforward`, and on the system's; capture alone works as the
//! tables' owner.

pub mod capture;
pub mod deeds;
pub mod definitions;
pub(super) mod messages;
pub mod outbox;
pub mod publication;
pub mod retention;
pub(super) mod row_policies;
pub(super) mod tables;
