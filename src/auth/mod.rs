//! The auth service: accounts, sessions, tokens and keys, on the wire of `/auth/v1` that clients of Supabase speak.
//!
//! `http` has a file per family of actions, `flow` what several of them do, `store` the SQL, `model` what is known of users
//! and sessions. `oauth` signs in by other providers. `token` and `password` are pure: how tokens are made and judged, how passwords are hashed. `outbox` puts
//! what is to be sent into the queue of jobs, in the transaction that it is about.

mod captcha;
mod error;
mod event;
mod flow;
pub mod hook;
mod http;
mod import;
mod input;
mod jobs;
mod key_cache;
mod limits;
pub mod mail;
mod mfa;
mod model;
mod oauth;
mod outbox;
pub mod password;
pub mod redirect;
mod refusal;
mod reseal;
mod revocation;
mod session_cache;
mod settings;
mod state;
mod store;
pub mod token;

pub use captcha::{Captcha, CaptchaConfigError};
pub use http::{dev_mail, metadata_router, router};
pub use import::{ImportError, convert_imported};
pub use jobs::{CLEAN_UP, CleanUp, SendMail, SendSms, TellOfUser};
pub use key_cache::KeyCache;
pub use limits::AuthLimits;
pub use mfa::system_admins_without_factor;
pub use mfa::webauthn::{RelyingParty, RelyingPartyError};
pub use oauth::{ProviderConfigError, Providers};
pub use reseal::{ResealError, Resealed, reseal};
pub use revocation::Revocations;
pub use session_cache::SessionCache;
pub use settings::AuthSettings;
pub use state::{AuthState, Parts};
