//! What is done to objects, whatever the protocol that asks for it.

pub(super) mod copy;
pub(super) mod download;
pub(super) mod render;
pub(super) mod serve;
pub(super) mod sweeper;
pub(super) mod upload;
