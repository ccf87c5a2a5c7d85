//! Pure: what a client asks for when it joins a topic (contract section 3).

mod join;
mod topic;

pub(super) use join::{ChangeRequest, JoinRequest, LONGEST_KEY, Replay};
pub(super) use topic::{Topic, TopicError};
