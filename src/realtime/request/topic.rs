//! Pure: names of topics. They are compared exactly; nothing in them has a meaning but the prefix.

use std::sync::Arc;

/// What stands before the name on the wire.
const PREFIX: &str = "realtime:";
/// The longest topic with its prefix, in bytes: what the one-byte lengths of binary frames can say.
const LONGEST: usize = 255;

/// A topic. Private ones and public ones of the same name are two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::realtime) struct Topic {
    wire: Arc<str>,
    is_private: bool,
}

/// Why a topic is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::realtime) enum TopicError {
    /// It has no name.
    #[error("TopicNameRequired: You must provide a topic name")]
    Empty,
    /// It is longer than [`LONGEST`].
    #[error("TopicNameTooLong: A topic name may have at most {} bytes", LONGEST - PREFIX.len())]
    TooLong,
    /// It does not begin with the prefix, or holds what PostgreSQL has no text for.
    #[error("TopicNameInvalid: A topic is `realtime:` and a name without control characters")]
    Invalid,
}

impl Topic {
    /// Reads a topic as it is on the wire.
    pub(in crate::realtime) fn parse(wire: &str, is_private: bool) -> Result<Self, TopicError> {
        let name = wire.strip_prefix(PREFIX).ok_or(TopicError::Invalid)?;
        Self::check(name)?;
        Ok(Self { wire: Arc::from(wire), is_private })
    }

    /// The topic of this name.
    pub(in crate::realtime) fn named(name: &str, is_private: bool) -> Result<Self, TopicError> {
        Self::check(name)?;
        Ok(Self { wire: Arc::from(format!("{PREFIX}{name}")), is_private })
    }

    fn check(name: &str) -> Result<(), TopicError> {
        match name {
            "" => Err(TopicError::Empty),
            long if long.len() + PREFIX.len() > LONGEST => Err(TopicError::TooLong),
            name if name.chars().any(char::is_control) => Err(TopicError::Invalid),
            _ => Ok(()),
        }
    }

    /// As it is on the wire.
    pub(in crate::realtime) fn wire(&self) -> &str {
        &self.wire
    }

    /// Without the prefix: what policies see as `realtime.topic()`.
    pub(in crate::realtime) fn name(&self) -> &str {
        &self.wire[PREFIX.len()..]
    }

    /// Whether policies of `realtime.messages` decide who may join.
    pub(in crate::realtime) fn is_private(&self) -> bool {
        self.is_private
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_prefix_and_a_name_of_limited_length() {
        let longest = format!("realtime:{}", "n".repeat(LONGEST - PREFIX.len()));
        for (wire, outcome) in [
            ("realtime:room", Ok("room")),
            ("realtime:realtime:room", Ok("realtime:room")),
            ("realtime:*", Ok("*")),
            (&longest, Ok(&longest[PREFIX.len()..])),
            ("realtime:", Err(TopicError::Empty)),
            (&format!("{longest}n"), Err(TopicError::TooLong)),
            ("room", Err(TopicError::Invalid)),
            ("realtime:a\0b", Err(TopicError::Invalid)),
            ("realtime:a\nb", Err(TopicError::Invalid)),
        ] {
            let topic = Topic::parse(wire, false);
            assert_eq!(topic.as_ref().map(Topic::name), outcome.as_ref().map(|name| *name), "{wire}");
        }
    }

    #[test]
    fn private_and_public_topics_of_one_name_are_two() {
        assert_ne!(Topic::named("room", true), Topic::named("room", false));
        assert_eq!(Topic::named("room", true), Topic::parse("realtime:room", true));
    }
}
