//! What several actions do: beginning and refreshing sessions, signing up, sending and taking one-time tokens. No HTTP.

pub(crate) mod api_key;
pub(crate) mod confirm;
pub(crate) mod contact_change;
pub(crate) mod lockout;
pub(crate) mod one_time;
pub(crate) mod refresh;
pub(crate) mod session;
pub(crate) mod sign_up;

use chrono::Duration;

/// How long the code of a flow under PKCE may be used.
pub(crate) const FLOW_LIFETIME: Duration = Duration::seconds(300);
