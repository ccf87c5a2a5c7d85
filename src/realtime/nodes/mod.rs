//! Broadcast and presence across nodes.
//!
//! Each node owns the presences of its channels and tells the others what changes ([`Announcer`]); one task hears what they
//! tell, and hands it to the hub ([`Follower`]). `wire` and `replica` are pure: messages as bytes, and what is known of others.
//! Changes of tables and what SQL sends are read from the database by every node, and do not come here.

mod announcer;
mod follow;
mod replica;
mod telling;
mod wire;

pub(super) use announcer::Announcer;
pub(super) use follow::Follower;
pub(super) use wire::Entry;

#[cfg(test)]
mod tests;
