//! Definitions of channels: what an operator says about all channels whose names fit a pattern.
//!
//! Of several that fit the longest pattern counts, alone. `pattern`, `definition` and `rules` are pure; `book` has all of them
//! in memory, so that neither a join nor a message waits for the database.

mod book;
mod definition;
mod pattern;
mod rules;

pub(super) use book::DefinitionBook;
pub use definition::{Count, Definition, DefinitionError};
pub use pattern::{Pattern, PatternError};
pub(super) use rules::{ChannelRules, Forbidden};
