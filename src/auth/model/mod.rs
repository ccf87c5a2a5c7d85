//! What the service knows: accounts, identities, sessions, factors, and how they look on the wire. Pure.

mod account;
mod api_key;
mod factor;
mod identity;
mod metadata;
mod method;
mod passkey;
mod session;

pub(crate) use account::{Account, AccountWithRoles, Contact, rfc3339};
pub(crate) use api_key::{HeldKey, KeyRecord};
pub(crate) use factor::{Factor, FactorType};
pub(crate) use identity::Identity;
pub(crate) use metadata::merge;
pub(crate) use method::{Amr, AssuranceLevel, Method};
pub(crate) use passkey::Passkey;
pub(crate) use session::{Chain, NewTokens, Session};
