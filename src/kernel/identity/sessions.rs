//! What has become of the session behind an access token: a port, because sessions are the auth service's.
//!
//! A token says what was true when it was issued. Logout, ban, deletion and the loss of a factor come later, so every
//! service asks here before it believes one. Answers may be remembered for at most a second.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Notify;

use super::caller::Caller;

/// What is known of an account, beyond its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whether its e-mail address or phone number is confirmed.
    pub verified: bool,
}

/// The state of the session that a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// The token is none of ours, or names neither session nor user: it counts for what it says.
    Foreign,
    /// The session goes on.
    Live {
        /// Its account; none for the key of a service.
        account: Option<Account>,
        /// Whether a second factor still stands behind it (`aal2`).
        second_factor: bool,
    },
    /// The user has logged out, the session has run out, or the account is gone.
    Ended,
    /// The account is banned.
    Banned,
    /// The session goes on, but its user has yet to give the second factor that the configuration asks for.
    FactorOwed,
}

/// Why a token is refused although its signature and its times are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    /// See [`SessionState::Ended`].
    #[error("The session of this token has ended")]
    Ended,
    /// See [`SessionState::Banned`].
    #[error("The account of this token is banned")]
    Banned,
    /// The token says `aal2`, but the factor is gone.
    #[error("The second factor behind this token was removed")]
    FactorGone,
    /// See [`SessionState::FactorOwed`].
    #[error("This session needs the second factor of its account")]
    FactorOwed,
    /// Nobody can say at the moment.
    #[error("Sessions cannot be checked at the moment")]
    Unavailable,
}

impl SessionState {
    /// The account behind a token that may be used in this state; none for foreign ones.
    pub fn admit(self, caller: &Caller) -> Result<Option<Account>, SessionRefusal> {
        match self {
            Self::Foreign => Ok(None),
            Self::Ended => Err(SessionRefusal::Ended),
            Self::Banned => Err(SessionRefusal::Banned),
            Self::FactorOwed => Err(SessionRefusal::FactorOwed),
            Self::Live { second_factor: false, .. } if caller.assurance_level() == Some("aal2") => {
                Err(SessionRefusal::FactorGone)
            }
            Self::Live { account, .. } => Ok(account),
        }
    }
}

/// The answer of [`Sessions::look_up`].
pub type LookingUp<'a> = Pin<Box<dyn Future<Output = Result<SessionState, SessionRefusal>> + Send + 'a>>;

/// Who knows the sessions.
pub trait Sessions: Send + Sync {
    /// What is remembered and still counts. No I/O.
    fn remembered(&self, caller: &Caller) -> Option<SessionState>;

    /// What the database says. Fails with [`SessionRefusal::Unavailable`] within a bounded time.
    fn look_up<'a>(&'a self, caller: &'a Caller) -> LookingUp<'a>;

    /// Tells `watcher` when it is worth asking again before the answer has run out. A hint only.
    fn watch(&self, _caller: &Caller, _watcher: &Arc<Notify>) {}
}

/// Tokens count for what they say until they expire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stateless;

impl Sessions for Stateless {
    fn remembered(&self, _: &Caller) -> Option<SessionState> {
        Some(SessionState::Foreign)
    }

    fn look_up<'a>(&'a self, _: &'a Caller) -> LookingUp<'a> {
        Box::pin(std::future::ready(Ok(SessionState::Foreign)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::kernel::identity::Via;

    fn caller(aal: &str) -> Caller {
        let claims: Value = json!({"role": "authenticated", "aal": aal});
        let claims = claims.as_object().cloned().unwrap();
        Caller { claims: Arc::new(claims), ..Caller::for_role("authenticated", false, Via::Token, None) }
    }

    #[test]
    fn a_token_counts_only_while_its_session_does() {
        let account = Account { verified: true };
        let live = |second_factor| SessionState::Live { account: Some(account), second_factor };
        let admitted = Ok(Some(account));
        for (state, aal, outcome) in [
            (SessionState::Foreign, "aal2", Ok(None)),
            (SessionState::Ended, "aal1", Err(SessionRefusal::Ended)),
            (SessionState::Banned, "aal1", Err(SessionRefusal::Banned)),
            (SessionState::FactorOwed, "aal1", Err(SessionRefusal::FactorOwed)),
            (live(false), "aal1", admitted),
            (live(true), "aal1", admitted),
            (live(true), "aal2", admitted),
            (live(false), "aal2", Err(SessionRefusal::FactorGone)),
        ] {
            assert_eq!(state.admit(&caller(aal)), outcome, "{state:?} {aal}");
        }
    }
}
