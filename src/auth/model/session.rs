//! A session, and the answer that gives a client its tokens (contract section 3, "Session").

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::AssuranceLevel;
use super::account::rfc3339;
use crate::auth::token::rotation::{Marker, State};
use crate::kernel::secret::Secret;

/// A row of `auth.sessions`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Session {
    /// Its id: the claim `session_id`.
    pub(crate) id: Uuid,
    /// Whose it is.
    pub(crate) user_id: Uuid,
    /// When it began.
    pub(crate) created_at: DateTime<Utc>,
    /// When it was refreshed last; none before the first time.
    pub(crate) refreshed_at: Option<DateTime<Utc>>,
    /// How sure the server is of the user.
    pub(crate) aal: AssuranceLevel,
    /// When it ends, whatever happens.
    pub(crate) not_after: Option<DateTime<Utc>>,
    /// The client's program.
    pub(crate) user_agent: Option<String>,
    /// Where the client was last.
    pub(crate) ip: Option<IpAddr>,
    /// Whether it began with a link to recover the account.
    pub(crate) is_recovery: bool,
    /// See [`Chain::mark`].
    pub(crate) chain_mark: Option<String>,
    /// The number of the refresh token that is valid now.
    pub(crate) refresh_token_counter: Option<i64>,
}

/// The refresh tokens of a session: which key makes them, and where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The key's generation.
    pub(crate) generation: u32,
    /// Where they stand.
    pub(crate) state: State,
}

impl Chain {
    /// Of a new session.
    pub(crate) fn first() -> Self {
        Self { generation: 1, state: State::first() }
    }

    /// What stands in the column that other systems keep a key in. No key.
    pub(crate) fn mark(self) -> String {
        Marker::new(self.generation, self.state).to_string()
    }

    /// What stands in the column of the counter.
    pub(crate) fn counter(self) -> i64 {
        i64::try_from(self.state.active).unwrap_or(i64::MAX)
    }
}

impl Session {
    /// Its refresh tokens; none where another system issued them.
    pub(crate) fn chain(&self) -> Option<Chain> {
        let marker: Marker = self.chain_mark.as_deref()?.parse().ok()?;
        let active = u64::try_from(self.refresh_token_counter?).ok()?;
        Some(Chain { generation: marker.generation, state: marker.state(active) })
    }

    /// When it was used last.
    pub(crate) fn last_used_at(&self) -> DateTime<Utc> {
        self.refreshed_at.unwrap_or(self.created_at)
    }

    /// The object that its user reads.
    pub(crate) fn shown(&self, current: Uuid) -> Value {
        json!({
            "id": self.id, "created_at": rfc3339(self.created_at), "last_used_at": rfc3339(self.last_used_at()),
            "user_agent": self.user_agent, "ip": self.ip, "aal": self.aal.word(), "current": self.id == current,
        })
    }
}

/// What a client gets when it signs in or refreshes.
#[derive(Clone, Debug)]
pub(crate) struct NewTokens {
    /// The access token.
    pub(crate) access_token: Secret,
    /// The refresh token.
    pub(crate) refresh_token: Secret,
    /// Life of the access token, in seconds.
    pub(crate) expires_in: i64,
    /// When it ends, in seconds since the epoch.
    pub(crate) expires_at: i64,
    /// The session.
    pub(crate) session_id: Uuid,
    /// The user.
    pub(crate) user_id: Uuid,
    /// The user as clients read it.
    pub(crate) user: Value,
    /// The access token of the provider that the user signed in by.
    pub(crate) provider_token: Option<Secret>,
    /// Its refresh token.
    pub(crate) provider_refresh_token: Option<Secret>,
    /// An API key that ends with the session, where the client asked for one.
    pub(crate) api_key: Option<Secret>,
}

impl NewTokens {
    /// The body of the answer.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({
            "access_token": self.access_token.expose(), "token_type": "bearer", "expires_in": self.expires_in,
            "expires_at": self.expires_at, "refresh_token": self.refresh_token.expose(), "user": self.user,
        });
        let more = [
            ("provider_token", &self.provider_token),
            ("provider_refresh_token", &self.provider_refresh_token),
            ("api_key", &self.api_key),
        ];
        for (name, token) in more {
            if let Some(token) = token {
                shown[name] = token.expose().into();
            }
        }
        shown
    }
}
