//! What a provider says of a user, in our own words. Pure.
//!
//! Only the fields named here are taken over, so that no provider (and nobody who can fill in a form there) sets a role, an
//! address or anything else that the application trusts (threat D04).

use serde_json::{Map, Value, json};

use super::provider::EmailRule;
use crate::auth::input;

/// The longest text that is taken over, in bytes; provider's pictures can have long addresses.
const LONGEST: usize = 2048;

/// Claims that are taken over as they are (OpenID Connect Core 1.0 section 5.1).
const CLAIMS: [&str; 9] = [
    "iss",
    "name",
    "given_name",
    "family_name",
    "nickname",
    "preferred_username",
    "picture",
    "locale",
    "zoneinfo",
];

/// Why there is no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProfileError {
    /// It has no id for the user.
    #[error("the profile names no user")]
    Subject,
    /// Two answers are of two users.
    #[error("the profile is another user's")]
    OtherUser,
}

/// An address that a provider tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProvidedEmail {
    /// The address, normalised.
    pub(crate) address: String,
    /// Whether the provider has made sure that it is the user's.
    pub(crate) is_verified: bool,
}

/// A user as a provider knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    /// The provider's id for the user.
    pub(crate) subject: String,
    /// The address.
    pub(crate) email: Option<ProvidedEmail>,
    /// What else there is, under the names of the user's metadata.
    details: Map<String, Value>,
}

impl Profile {
    /// From claims, of an ID token or of the userinfo endpoint.
    pub(crate) fn from_claims(claims: &Map<String, Value>, rule: EmailRule) -> Result<Self, ProfileError> {
        let taken = CLAIMS.iter().filter_map(|name| Some((*name, text(claims, name)?)));
        let mut details: Map<String, Value> =
            taken.map(|(name, text)| (name.to_owned(), text.into())).collect();
        for (name, from) in [("full_name", "name"), ("avatar_url", "picture"), ("user_name", "nickname")] {
            if let Some(value) = details.get(from).cloned() {
                details.insert(name.to_owned(), value);
            }
        }
        let is_verified = match rule {
            EmailRule::AlwaysConfirmed => true,
            EmailRule::Claimed => is_true(claims.get("email_verified")),
            EmailRule::DomainOwned => is_true(claims.get("xms_edov")),
        };
        let email = text(claims, "email").and_then(|typed| provided(typed, is_verified));
        Self::new(claims.get("sub"), email, details)
    }

    /// From GitHub's user and its list of addresses.
    pub(super) fn from_github(user: &Map<String, Value>, emails: &[Value]) -> Result<Self, ProfileError> {
        let flag = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_bool) == Some(true);
        let primary = emails.iter().find(|entry| flag(entry, "primary"));
        let email = primary
            .and_then(|entry| provided(entry.get("email").and_then(Value::as_str)?, flag(entry, "verified")));
        let login = text(user, "login");
        let details = details([
            ("name", text(user, "name").or(login)),
            ("full_name", text(user, "name")),
            ("user_name", login),
            ("preferred_username", login),
            ("avatar_url", text(user, "avatar_url")),
        ]);
        Self::new(user.get("id"), email, details)
    }

    /// From GitLab's user. Its address is the one that the account was confirmed by; a new one counts there only once it is
    /// confirmed too.
    pub(super) fn from_gitlab(user: &Map<String, Value>) -> Result<Self, ProfileError> {
        let is_confirmed = text(user, "confirmed_at").is_some();
        let details = details([
            ("name", text(user, "name")),
            ("full_name", text(user, "name")),
            ("user_name", text(user, "username")),
            ("preferred_username", text(user, "username")),
            ("avatar_url", text(user, "avatar_url")),
        ]);
        let email = text(user, "email").and_then(|typed| provided(typed, is_confirmed));
        Self::new(user.get("id"), email, details)
    }

    /// From Discord's user.
    pub(super) fn from_discord(user: &Map<String, Value>) -> Result<Self, ProfileError> {
        let is_verified = user.get("verified").and_then(Value::as_bool) == Some(true);
        let name = text(user, "global_name").or_else(|| text(user, "username"));
        let picture = text(user, "id").zip(text(user, "avatar"));
        let picture = picture.map(|(id, hash)| format!("https://cdn.discordapp.com/avatars/{id}/{hash}.png"));
        let details = details([
            ("name", name),
            ("full_name", name),
            ("user_name", text(user, "username")),
            ("preferred_username", text(user, "username")),
            ("avatar_url", picture.as_deref()),
        ]);
        let email = text(user, "email").and_then(|typed| provided(typed, is_verified));
        Self::new(user.get("id"), email, details)
    }

    /// From Facebook's user. It tells an address only if the user has confirmed it there.
    pub(super) fn from_facebook(user: &Map<String, Value>) -> Result<Self, ProfileError> {
        let picture = user.get("picture").and_then(|picture| picture.pointer("/data/url"));
        let details = details([
            ("name", text(user, "name")),
            ("full_name", text(user, "name")),
            ("given_name", text(user, "first_name")),
            ("family_name", text(user, "last_name")),
            ("avatar_url", picture.and_then(Value::as_str)),
        ]);
        let email = text(user, "email").and_then(|typed| provided(typed, true));
        Self::new(user.get("id"), email, details)
    }

    fn new(
        subject: Option<&Value>,
        email: Option<ProvidedEmail>,
        details: Map<String, Value>,
    ) -> Result<Self, ProfileError> {
        let subject = match subject {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        if subject.is_empty() || subject.len() > 255 || subject.contains(char::is_control) {
            return Err(ProfileError::Subject);
        }
        Ok(Self { subject, email, details: clean(details) })
    }

    /// What another answer of the provider adds. It must be of the same user.
    pub(super) fn completed(mut self, other: Self) -> Result<Self, ProfileError> {
        if self.subject != other.subject {
            return Err(ProfileError::OtherUser);
        }
        self.email = self.email.or(other.email);
        for (name, value) in other.details {
            self.details.entry(name).or_insert(value);
        }
        Ok(self)
    }

    /// The name that Apple tells once, beside the token, by way of the browser: so it counts as what the user says.
    pub(super) fn named(mut self, first: &str, last: &str) -> Self {
        let whole = format!("{first} {last}").trim().to_owned();
        for (name, text) in
            [("given_name", first), ("family_name", last), ("name", &whole), ("full_name", &whole)]
        {
            if let Some((name, text)) = tidy(name, text) {
                self.details.entry(name).or_insert(text);
            }
        }
        self
    }

    /// Whether a name is known.
    pub(super) fn has_name(&self) -> bool {
        self.details.contains_key("name")
    }

    /// What the user's metadata takes over: never an address or a role.
    pub(crate) fn metadata(&self) -> Map<String, Value> {
        let mut metadata = self.details.clone();
        metadata.insert("sub".to_owned(), self.subject.clone().into());
        metadata.insert("provider_id".to_owned(), self.subject.clone().into());
        metadata
    }

    /// What the identity keeps.
    pub(crate) fn identity_data(&self) -> Value {
        let mut data = self.metadata();
        if let Some(email) = &self.email {
            data.insert("email".to_owned(), json!(email.address));
            data.insert("email_verified".to_owned(), json!(email.is_verified));
        }
        data.insert("phone_verified".to_owned(), json!(false));
        Value::Object(data)
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// `true`, also where a provider writes it as text.
fn is_true(claim: Option<&Value>) -> bool {
    match claim {
        Some(Value::Bool(is_so)) => *is_so,
        Some(Value::String(text)) => text == "true" || text == "1",
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    }
}

/// An address that cannot be one counts as none.
fn provided(typed: &str, is_verified: bool) -> Option<ProvidedEmail> {
    input::email(typed).ok().map(|address| ProvidedEmail { address, is_verified })
}

fn details<const N: usize>(fields: [(&str, Option<&str>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))).collect()
}

fn clean(details: Map<String, Value>) -> Map<String, Value> {
    details.into_iter().filter_map(|(name, value)| tidy(&name, value.as_str()?)).collect()
}

/// A field as metadata may hold it; one that may not is left out: no sign-in fails for a name.
fn tidy(name: &str, text: &str) -> Option<(String, Value)> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let field = [(name.to_owned(), Value::from(text))].into_iter().collect();
    match input::metadata(field) {
        Ok(Value::Object(field)) => field.into_iter().next(),
        _ => None,
    }
}
