//! `/admin/blocklists/{email_domains|usernames|words}`: what nobody can sign up with.
//!
//! A value is brought into the form in which sign-ups are compared with it, so that neither case nor another spelling of the
//! same domain gets past it. A domain stands for all below it too.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::audit::Asker;
use super::super::extract::{Payload, Server};
use crate::auth::error::AuthError;
use crate::auth::input;
use crate::auth::model::rfc3339;
use crate::auth::refusal::Refusal;
use crate::auth::state::AuthState;
use crate::auth::store::blocklists;
use crate::kernel::sanitise::username_key;

/// The fewest and the most characters of a word: shorter ones are part of too many others.
const SHORTEST_WORD: usize = 2;
const LONGEST_WORD: usize = 100;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    EmailDomains,
    Usernames,
    Words,
}

impl Kind {
    fn of(path: &str) -> Result<Self, AuthError> {
        match path {
            "email_domains" => Ok(Self::EmailDomains),
            "usernames" => Ok(Self::Usernames),
            "words" => Ok(Self::Words),
            _ => Err(Refusal::NotFound.into()),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::EmailDomains => "email_domains",
            Self::Usernames => "usernames",
            Self::Words => "words",
        }
    }

    /// A value in the form in which it is compared.
    fn normalised(self, typed: &str) -> Result<String, AuthError> {
        let typed = typed.trim();
        match self {
            Self::EmailDomains => {
                let problem = || AuthError::Invalid("value must be a domain, as in example.com".to_owned());
                let domain = typed.strip_prefix('@').unwrap_or(typed);
                if domain.contains('@') {
                    return Err(problem());
                }
                let address = input::email(&format!("somebody@{domain}")).map_err(|_| problem())?;
                Ok(address.rsplit_once('@').ok_or_else(problem)?.1.to_owned())
            }
            Self::Usernames => {
                let username = input::username(typed)?;
                let username =
                    username.ok_or_else(|| AuthError::Invalid("value must be a name".to_owned()))?;
                Ok(username.normalised)
            }
            Self::Words => {
                let word = username_key(typed);
                let fits = (SHORTEST_WORD..=LONGEST_WORD).contains(&word.chars().count());
                if !fits || word.chars().any(char::is_control) {
                    let lengths = format!("{SHORTEST_WORD} to {LONGEST_WORD} characters");
                    return Err(AuthError::Invalid(format!("value must be a word of {lengths}")));
                }
                Ok(word)
            }
        }
    }
}

/// The body.
#[derive(Deserialize)]
pub(super) struct Blocked {
    value: String,
}

pub(super) async fn list(
    State(state): State<AuthState>,
    _: Server,
    Path(kind): Path<String>,
) -> Result<Json<Value>, AuthError> {
    let kind = Kind::of(&kind)?;
    let blocked = blocklists::list(&mut *state.connection().await?, kind.word()).await?;
    let shown = blocked.iter().map(|(value, at)| json!({"value": value, "created_at": rfc3339(*at)}));
    Ok(Json(shown.collect()))
}

/// Blocks a value; the answer has it as it is compared.
pub(super) async fn add(
    State(state): State<AuthState>,
    _: Server,
    Extension(asker): Extension<Asker>,
    Path(kind): Path<String>,
    Payload(blocked): Payload<Blocked>,
) -> Result<Json<Value>, AuthError> {
    let kind = Kind::of(&kind)?;
    let value = kind.normalised(&blocked.value)?;
    asker.acts_on("value", &value);
    blocklists::add(&mut *state.connection().await?, (kind.word(), &value), state.now()).await?;
    Ok(Json(json!({"value": value})))
}

/// Blocks a value no more.
pub(super) async fn remove(
    State(state): State<AuthState>,
    _: Server,
    Extension(asker): Extension<Asker>,
    Path(kind): Path<String>,
    Payload(blocked): Payload<Blocked>,
) -> Result<StatusCode, AuthError> {
    let kind = Kind::of(&kind)?;
    let value = kind.normalised(&blocked.value)?;
    asker.acts_on("value", &value);
    if !blocklists::remove(&mut *state.connection().await?, (kind.word(), &value)).await? {
        return Err(Refusal::NotFound.into());
    }
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_the_form_in_which_sign_ups_are_compared() {
        for (kind, typed, expected) in [
            (Kind::EmailDomains, " Example.COM ", "example.com"),
            (Kind::EmailDomains, "@B\u{fc}cher.example", "xn--bcher-kva.example"),
            (Kind::EmailDomains, "xn--bcher-kva.example", "xn--bcher-kva.example"),
            (Kind::Usernames, "Admin", "admin"),
            (Kind::Words, "\u{ff22}AD", "bad"),
        ] {
            assert_eq!(kind.normalised(typed).unwrap(), expected, "{typed}");
        }
    }

    #[test]
    fn what_no_sign_up_could_hold_is_refused() {
        for (kind, typed) in [
            (Kind::EmailDomains, ""),
            (Kind::EmailDomains, "a@b.example"),
            (Kind::EmailDomains, "not a domain"),
            (Kind::EmailDomains, "localhost"),
            (Kind::Usernames, ""),
            (Kind::Usernames, "a b"),
            (Kind::Words, "x"),
            (Kind::Words, "a\0b"),
        ] {
            assert!(kind.normalised(typed).is_err(), "{typed}");
        }
    }
}
