//! What somebody should look at: rows of `goforward.security_events`, written in the transaction that they are about.

use serde_json::{Value, json};
use uuid::Uuid;

use super::error::AuthError;
use super::state::{Connection, Origin};
use super::store::events;

/// Something that looks wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecurityEvent {
    /// A refresh token came that was replaced long ago: two parties hold tokens of one session.
    RefreshTokenReused {
        /// The session, which has been ended.
        session: Uuid,
    },
    /// The parent of the active refresh token came again, from another device or address than the active one was given to.
    RefreshTokenElsewhere {
        /// The session, which goes on.
        session: Uuid,
    },
    /// So many sign-ins have failed that further ones are refused.
    LockedOut {
        /// Whether for all unknown devices, and not for one address only.
        whole_account: bool,
    },
    /// The address of a new account looks like another's (GF-SAN-06).
    LookAlikeAddress {
        /// That other account.
        resembles: Uuid,
    },
}

impl SecurityEvent {
    /// Kind and severity.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::RefreshTokenReused { .. } => ("refresh_token_reused", "critical"),
            Self::RefreshTokenElsewhere { .. } => ("refresh_token_elsewhere", "info"),
            Self::LockedOut { .. } => ("account_locked", "warning"),
            Self::LookAlikeAddress { .. } => ("look_alike_address", "warning"),
        }
    }

    fn details(self) -> Value {
        match self {
            Self::RefreshTokenReused { session } | Self::RefreshTokenElsewhere { session } => {
                json!({"session": session})
            }
            Self::LockedOut { whole_account } => json!({"whole_account": whole_account}),
            Self::LookAlikeAddress { resembles } => json!({"resembles": resembles}),
        }
    }
}

/// Records the event, in the log and the metrics too.
pub(crate) async fn raise(
    connection: &mut Connection,
    event: SecurityEvent,
    user: Option<Uuid>,
    origin: &Origin,
) -> Result<(), AuthError> {
    let (kind, severity) = event.words();
    metrics::counter!("goforward_security_events_total", "kind" => kind).increment(1);
    tracing::warn!(
        kind = "security",
        event = kind,
        severity,
        request_id = origin.request_id,
        "a security event was recorded"
    );
    Ok(events::insert(connection, (kind, severity), user, origin, &event.details()).await?)
}
