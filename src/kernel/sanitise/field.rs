//! Kinds of fields, policies, and what a finding leads to in a field.

use serde::{Deserialize, Serialize};

use super::Class;

/// What an input is meant to be. Each kind has a file of its own with its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// A mail address.
    Email,
    /// A name of a person or a thing, one line.
    Name,
    /// A name to log in with.
    Username,
    /// A telephone number.
    Phone,
    /// Free text of any length and any number of lines.
    Text,
    /// A relative path of an object or a file.
    Path,
    /// An address to send a browser to.
    Redirect,
    /// A string inside of a JSON document; [`super::sanitise_json`] takes whole documents.
    Metadata,
    /// A password: refused with NUL in it, and otherwise left as it is.
    Password,
}

/// What follows from findings, from the most lenient to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Nothing is looked for but what cannot be stored.
    Off,
    /// Findings are reported, the input stays as it is.
    Monitor,
    /// What can be cleaned is cleaned, the rest is refused.
    Clean,
    /// What could be cleaned is refused too.
    Reject,
}

impl Policy {
    /// The name in configuration, rules and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Monitor => "monitor",
            Self::Clean => "clean",
            Self::Reject => "reject",
        }
    }
}

/// What to do with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Take the input as it came.
    Accept,
    /// Take the value of the result, which differs from the input.
    Clean,
    /// Refuse the request.
    Reject,
}

/// What a finding leads to in a field when the policy acts at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Note,
    Clean,
    Refuse,
}

impl Field {
    /// Every kind of field.
    pub const ALL: [Self; 9] = [
        Self::Email,
        Self::Name,
        Self::Username,
        Self::Phone,
        Self::Text,
        Self::Path,
        Self::Redirect,
        Self::Metadata,
        Self::Password,
    ];

    /// The policy of a field when nothing is configured.
    pub const fn default_policy(self) -> Policy {
        match self {
            Self::Email | Self::Name | Self::Username | Self::Phone => Policy::Clean,
            Self::Text | Self::Metadata | Self::Password => Policy::Monitor,
            Self::Path | Self::Redirect => Policy::Reject,
        }
    }

    /// Whether a finding of this class leads to a refusal under the policy.
    pub const fn refuses(self, policy: Policy, class: Class) -> bool {
        match policy {
            Policy::Off | Policy::Monitor => false,
            Policy::Clean => matches!(self.action(class), Action::Refuse),
            Policy::Reject => matches!(self.action(class), Action::Refuse | Action::Clean),
        }
    }

    /// The table in the documentation of the module.
    pub(super) const fn action(self, class: Class) -> Action {
        match class {
            Class::NullByte | Class::InvalidUtf8 | Class::Length | Class::Malformed => Action::Refuse,
            Class::ControlCharacter | Class::Bidi | Class::ZeroWidth => match self {
                Self::Name | Self::Phone | Self::Text | Self::Metadata => Action::Clean,
                _ => Action::Refuse,
            },
            Class::HeaderInjection => match self {
                Self::Name => Action::Clean,
                Self::Text | Self::Metadata => Action::Note,
                _ => Action::Refuse,
            },
            Class::SqlInjection | Class::Template => match self {
                Self::Text | Self::Metadata | Self::Redirect => Action::Note,
                _ => Action::Refuse,
            },
            Class::Script | Class::PathTraversal | Class::Encoding => match self {
                Self::Text | Self::Metadata => Action::Note,
                _ => Action::Refuse,
            },
            Class::MixedScript => match self {
                Self::Username => Action::Refuse,
                _ => Action::Note,
            },
            Class::Homoglyph => Action::Note,
        }
    }
}
