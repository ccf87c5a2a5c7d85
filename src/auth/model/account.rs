//! An account, and how it looks on the wire (contract section 3, "User").

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::{Factor, Identity};

/// How the server reaches a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// By mail; the address is parsed and in lower case.
    Email(String),
    /// By text message; the number is digits only.
    Phone(String),
}

impl Contact {
    /// The address or number.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Email(text) | Self::Phone(text) => text,
        }
    }

    /// Whether an account has shown that it is its own.
    pub(crate) fn is_confirmed(&self, account: &Account) -> bool {
        match self {
            Self::Email(_) => account.email_confirmed_at.is_some(),
            Self::Phone(_) => account.phone_confirmed_at.is_some(),
        }
    }

    /// The provider of the identity that goes with it.
    pub(crate) fn provider(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Phone(_) => "phone",
        }
    }
}

/// A row of `auth.users`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Account {
    /// The user's id: `auth.uid()`.
    pub(crate) id: Uuid,
    /// The audience of its tokens.
    pub(crate) aud: String,
    /// The role of PostgreSQL that its tokens name.
    pub(crate) role: String,
    /// The address, in lower case.
    pub(crate) email: Option<String>,
    /// The number, digits only.
    pub(crate) phone: Option<String>,
    /// The hash of the password; none for users without one.
    pub(crate) encrypted_password: Option<String>,
    /// When the address was confirmed.
    pub(crate) email_confirmed_at: Option<DateTime<Utc>>,
    /// When the number was confirmed.
    pub(crate) phone_confirmed_at: Option<DateTime<Utc>>,
    /// When somebody invited the user.
    pub(crate) invited_at: Option<DateTime<Utc>>,
    /// When the last confirmation was sent.
    pub(crate) confirmation_sent_at: Option<DateTime<Utc>>,
    /// When the last link to sign in was sent.
    pub(crate) recovery_sent_at: Option<DateTime<Utc>>,
    /// The address that is to become the user's; empty for none.
    pub(crate) email_change: String,
    /// When it was asked to confirm.
    pub(crate) email_change_sent_at: Option<DateTime<Utc>>,
    /// The number that is to become the user's; empty for none.
    pub(crate) phone_change: String,
    /// When it was asked to confirm.
    pub(crate) phone_change_sent_at: Option<DateTime<Utc>>,
    /// When the last code for a change was sent.
    pub(crate) reauthentication_sent_at: Option<DateTime<Utc>>,
    /// The last sign-in; a refresh is none.
    pub(crate) last_sign_in_at: Option<DateTime<Utc>>,
    /// What the server says of the user.
    pub(crate) raw_app_meta_data: Value,
    /// What the user says.
    pub(crate) raw_user_meta_data: Value,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// When it was changed last.
    pub(crate) updated_at: DateTime<Utc>,
    /// Until when it is banned.
    pub(crate) banned_until: Option<DateTime<Utc>>,
    /// When it was deleted, the row kept.
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    /// Whether it comes from single sign-on.
    pub(crate) is_sso_user: bool,
    /// Whether it has no identifier.
    pub(crate) is_anonymous: bool,
    /// The name to sign in with, from our own table.
    pub(crate) username: Option<String>,
}

impl Account {
    /// Whether it may not be used now.
    pub(crate) fn is_banned(&self, now: DateTime<Utc>) -> bool {
        self.banned_until.is_some_and(|until| until > now)
    }

    /// Whether it was deleted.
    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// Whether an address or number is confirmed.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.email_confirmed_at.is_some() || self.phone_confirmed_at.is_some()
    }

    /// The contact that mails and messages go to; the address first.
    pub(crate) fn contact(&self) -> Option<Contact> {
        let email = self.email.clone().map(Contact::Email);
        email.or_else(|| self.phone.clone().map(Contact::Phone))
    }

    /// The object that clients read. Identities are an array also where there are none.
    pub(crate) fn shown(&self, identities: &[Identity], factors: &[Factor]) -> Value {
        let mut user = Map::new();
        let mut put = |name: &str, value: Value| {
            user.insert(name.to_owned(), value);
        };
        put("id", json!(self.id));
        put("aud", json!(self.aud));
        put("role", json!(self.role));
        put("email", json!(self.email.as_deref().unwrap_or_default()));
        put("phone", json!(self.phone.as_deref().unwrap_or_default()));
        if let Some(username) = &self.username {
            put("username", json!(username));
        }
        let confirmed_at = match (self.email_confirmed_at, self.phone_confirmed_at) {
            (Some(email), Some(phone)) => Some(email.min(phone)),
            (email, phone) => email.or(phone),
        };
        for (name, at) in [
            ("email_confirmed_at", self.email_confirmed_at),
            ("phone_confirmed_at", self.phone_confirmed_at),
            ("confirmed_at", confirmed_at),
            ("invited_at", self.invited_at),
            ("confirmation_sent_at", self.confirmation_sent_at),
            ("recovery_sent_at", self.recovery_sent_at),
            ("email_change_sent_at", self.email_change_sent_at),
            ("phone_change_sent_at", self.phone_change_sent_at),
            ("reauthentication_sent_at", self.reauthentication_sent_at),
            ("last_sign_in_at", self.last_sign_in_at),
            ("banned_until", self.banned_until),
            ("deleted_at", self.deleted_at),
        ] {
            if let Some(at) = at {
                put(name, json!(rfc3339(at)));
            }
        }
        for (name, pending) in [("new_email", &self.email_change), ("new_phone", &self.phone_change)] {
            if !pending.is_empty() {
                put(name, json!(pending));
            }
        }
        put("app_metadata", self.raw_app_meta_data.clone());
        put("user_metadata", self.raw_user_meta_data.clone());
        put("identities", identities.iter().map(Identity::shown).collect());
        if !factors.is_empty() {
            put("factors", factors.iter().map(Factor::shown).collect());
        }
        put("created_at", json!(rfc3339(self.created_at)));
        put("updated_at", json!(rfc3339(self.updated_at)));
        put("is_anonymous", json!(self.is_anonymous));
        Value::Object(user)
    }
}

/// A time as clients read it (RFC 3339, UTC).
pub(crate) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// An account and what it may do in the application.
#[derive(Clone, Debug)]
pub(crate) struct AccountWithRoles {
    /// The account.
    pub(crate) account: Account,
    /// Its roles.
    pub(crate) app_roles: Vec<String>,
}

impl AccountWithRoles {
    /// The object that backends read: what `GET /user` shows, with the roles, without how the user signs in.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = self.account.shown(&[], &[]);
        if let Some(user) = shown.as_object_mut() {
            user.remove("identities");
            user.insert("app_roles".to_owned(), json!(self.app_roles));
        }
        shown
    }
}

impl FromRow<'_, PgRow> for AccountWithRoles {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { account: Account::from_row(row)?, app_roles: row.try_get("app_roles")? })
    }
}
