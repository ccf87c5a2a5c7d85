//! Pure: what holds for one channel, by the definition that its name fits and by the server's configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::definition::{Count, Definition};
use super::pattern::Pattern;
use crate::kernel::config::RealtimeConfig;
use crate::realtime::request::Topic;

/// What holds for a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::realtime) struct ChannelRules {
    /// Who says that only private joins are accepted.
    private_only: Option<Forbidden>,
    /// The roles that may join and send; none for all.
    roles: Option<BTreeSet<Arc<str>>>,
    /// The most joins on this node.
    pub(in crate::realtime) max_members: Option<usize>,
    /// The largest payload, in bytes.
    pub(in crate::realtime) max_payload: usize,
    /// Messages per second of one joined channel.
    pub(in crate::realtime) messages_per_second: u32,
    /// The definition by which messages of one caller are counted, where it says how many there may be.
    pub(in crate::realtime) counted_by: Option<Arc<str>>,
    /// Whether what clients send to private channels is kept.
    pub(in crate::realtime) keeps: bool,
}

/// Why somebody may neither join nor send; the texts are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::realtime) enum Forbidden {
    /// The project has private channels only.
    #[error("PrivateOnly: This project only allows private channels")]
    PublicInProject,
    /// The channel is a private one only.
    #[error("PrivateOnly: This channel can only be joined as a private one")]
    PublicChannel,
    /// The channel is for other roles.
    #[error("Unauthorized: The channel is for other roles")]
    Role,
}

impl ChannelRules {
    /// Without a definition.
    pub(super) fn of_server(config: &RealtimeConfig) -> Self {
        Self {
            private_only: config.private_only.then_some(Forbidden::PublicInProject),
            roles: None,
            max_members: None,
            max_payload: config.max_payload.as_usize(),
            messages_per_second: config.events_per_second,
            counted_by: None,
            keeps: false,
        }
    }

    /// With one. It may ask for more messages than the server's configuration, as only its operator can; it cannot take larger
    /// ones, nor open what is closed.
    pub(super) fn defined(&self, definition: &Definition) -> Self {
        let largest = definition.max_payload_bytes.map(|count| count.get() as usize);
        let rate = definition.messages_per_second;
        Self {
            private_only: self.private_only.or(definition.private_only.then_some(Forbidden::PublicChannel)),
            roles: definition.roles.clone(),
            max_members: definition.max_members.map(|count| count.get() as usize),
            max_payload: self.max_payload.min(largest.unwrap_or(usize::MAX)),
            messages_per_second: rate.map_or(self.messages_per_second, Count::get),
            counted_by: rate.map(|_| Arc::from(definition.pattern.as_str())),
            keeps: definition.replay,
        }
    }

    /// Whether a role may join a topic and send to it. `is_operator`: it may change definitions, so that roles do not bind it.
    pub(in crate::realtime) fn admit(
        &self,
        topic: &Topic,
        (role, is_operator): (&str, bool),
    ) -> Result<(), Forbidden> {
        match (self.private_only, &self.roles) {
            (Some(forbidden), _) if !topic.is_private() => Err(forbidden),
            (_, Some(roles)) if !is_operator && !roles.contains(role) => Err(Forbidden::Role),
            _ => Ok(()),
        }
    }
}

/// The rules of all channels, by definitions that were read.
#[derive(Debug)]
pub(super) struct AllRules {
    /// As they were read.
    pub(super) definitions: Vec<Definition>,
    /// In the order in which they are tried.
    defined: Vec<(Pattern, Arc<ChannelRules>)>,
    others: Arc<ChannelRules>,
}

impl AllRules {
    pub(super) fn new(definitions: Vec<Definition>, others: Arc<ChannelRules>) -> Self {
        let rules =
            |definition: &Definition| (definition.pattern.clone(), Arc::new(others.defined(definition)));
        let mut defined: Vec<_> = definitions.iter().map(rules).collect();
        defined.sort_by(|(left, _), (right, _)| left.cmp(right));
        Self { definitions, defined, others }
    }

    /// Those of a channel, by its name.
    pub(super) fn of(&self, name: &str) -> &Arc<ChannelRules> {
        let fitting = self.defined.iter().find(|(pattern, _)| pattern.fits(name));
        fitting.map_or(&self.others, |(_, rules)| rules)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(config: &RealtimeConfig, definitions: Value) -> AllRules {
        let definitions = serde_json::from_value(definitions).unwrap();
        AllRules::new(definitions, Arc::new(ChannelRules::of_server(config)))
    }

    #[test]
    fn the_longest_pattern_that_fits_counts_alone() {
        let rules = rules(
            &RealtimeConfig::default(),
            json!([
                {"pattern": "*", "max_members": 1, "replay": true},
                {"pattern": "room:*", "max_members": 2},
                {"pattern": "room:1", "messages_per_second": 3},
            ]),
        );
        let members = |name| rules.of(name).max_members;
        assert_eq!([members("x"), members("room:2"), members("room:1")], [Some(1), Some(2), None]);
        assert!(rules.of("x").keeps && !rules.of("room:2").keeps);
        assert_eq!(rules.of("room:1").messages_per_second, 3);
    }

    #[test]
    fn payloads_stay_within_what_the_server_takes() {
        let config = RealtimeConfig::default();
        let most = config.max_payload.as_usize();
        let rules = rules(
            &config,
            json!([{"pattern": "less", "max_payload_bytes": 10}, {"pattern": "more", "max_payload_bytes": 2_000_000_000}]),
        );
        let largest = |name| rules.of(name).max_payload;
        assert_eq!([largest("less"), largest("more"), largest("others")], [10, most, most]);
    }

    #[test]
    fn private_only_and_roles_decide_who_may_join() {
        let definitions =
            json!([{"pattern": "p", "private_only": true}, {"pattern": "r", "roles": ["member"]}]);
        let open = rules(&RealtimeConfig::default(), definitions.clone());
        let closed = rules(&RealtimeConfig { private_only: true, ..RealtimeConfig::default() }, definitions);
        let admit = |rules: &AllRules, name, is_private, who| {
            rules.of(name).admit(&Topic::named(name, is_private).unwrap(), who)
        };
        let (anon, member, operator) = (("anon", false), ("member", false), ("service_role", true));
        assert_eq!(admit(&open, "x", false, anon), Ok(()));
        assert_eq!(admit(&open, "p", false, operator), Err(Forbidden::PublicChannel));
        assert_eq!(admit(&open, "p", true, anon), Ok(()));
        assert_eq!(admit(&open, "r", false, anon), Err(Forbidden::Role));
        assert_eq!(admit(&open, "r", true, anon), Err(Forbidden::Role));
        assert_eq!(admit(&open, "r", false, member), Ok(()));
        assert_eq!(admit(&open, "r", false, operator), Ok(()));
        assert_eq!(admit(&closed, "x", false, operator), Err(Forbidden::PublicInProject));
        assert_eq!(admit(&closed, "p", false, operator), Err(Forbidden::PublicInProject));
    }
}
