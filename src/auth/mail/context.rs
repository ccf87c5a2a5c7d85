//! What a template can say: the values of one mail. Pure.
//!
//! The names in templates are Supabase's ([`NAMES`]); `SiteName` is ours.

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::json;

use super::Template;
use crate::kernel::mail::Address;
use crate::kernel::secret::Secret;

/// The names that a template may use.
pub(super) const NAMES: [&str; 15] = [
    "SiteName",
    "SiteURL",
    "ConfirmationURL",
    "Token",
    "TokenHash",
    "RedirectTo",
    "SendingTo",
    "Email",
    "NewEmail",
    "OldEmail",
    "Phone",
    "OldPhone",
    "Provider",
    "FactorType",
    "Data",
];

/// The values of one mail. What a kind of mail does not have stays empty.
#[derive(Clone, Debug)]
pub struct MailContext {
    /// Whom the mail is for (`SendingTo`).
    pub to: Address,
    /// What the application is called (`SiteName`).
    pub site_name: String,
    /// The configured address of the application (`SiteURL`), never one from a request.
    pub site_url: String,
    /// Made by [`confirmation_url`](super::confirmation_url) (`ConfirmationURL`).
    pub confirmation_url: Secret,
    /// The code to type in (`Token`).
    pub token: Secret,
    /// The token of the link (`TokenHash`), for templates that make a link of their own.
    pub token_hash: Secret,
    /// Where the link leads in the end (`RedirectTo`); has passed the allow-list.
    pub redirect_to: String,
    /// The account's address (`Email`).
    pub email: String,
    /// The address that it is to get (`NewEmail`).
    pub new_email: String,
    /// The address that it had (`OldEmail`).
    pub old_email: String,
    /// The account's telephone number (`Phone`).
    pub phone: String,
    /// The number that it had (`OldPhone`).
    pub old_phone: String,
    /// The provider of a linked identity (`Provider`).
    pub provider: String,
    /// The kind of a second factor (`FactorType`).
    pub factor_type: String,
    /// The user's own metadata (`Data`): whatever the user chose to write.
    pub data: serde_json::Value,
}

impl MailContext {
    /// A mail to `to` with nothing to say yet.
    pub fn new(to: Address, site_name: impl Into<String>, site_url: impl Into<String>) -> Self {
        Self {
            email: to.to_string(),
            to,
            site_name: site_name.into(),
            site_url: site_url.into(),
            confirmation_url: Secret::default(),
            token: Secret::default(),
            token_hash: Secret::default(),
            redirect_to: String::new(),
            new_email: String::new(),
            old_email: String::new(),
            phone: String::new(),
            old_phone: String::new(),
            provider: String::new(),
            factor_type: String::new(),
            data: serde_json::Value::Null,
        }
    }

    /// The values under their names in templates.
    pub(super) fn values(&self) -> Value {
        let values = json!({
            "SiteName": self.site_name,
            "SiteURL": self.site_url,
            "ConfirmationURL": self.confirmation_url.expose(),
            "Token": self.token.expose(),
            "TokenHash": self.token_hash.expose(),
            "RedirectTo": self.redirect_to,
            "SendingTo": self.to.as_str(),
            "Email": self.email,
            "NewEmail": self.new_email,
            "OldEmail": self.old_email,
            "Phone": self.phone,
            "OldPhone": self.old_phone,
            "Provider": self.provider,
            "FactorType": self.factor_type,
            "Data": on_one_line(&self.data),
        });
        Value::from(Serde(values))
    }
}

/// The values that previews and the check of a stored template render.
pub(super) fn sample(template: Template) -> Value {
    let link = template.link_type().map(|link_type| {
        let verify = "https://api.example.com/auth/v1/verify";
        format!("{verify}?token=pkce_2f1c0b6a&type={link_type}&redirect_to=https%3A%2F%2Fapp.example.com%2F")
    });
    Value::from(Serde(json!({
        "SiteName": "Example",
        "SiteURL": "https://app.example.com",
        "ConfirmationURL": link.unwrap_or_default(),
        "Token": "482913",
        "TokenHash": "pkce_2f1c0b6a",
        "RedirectTo": "https://app.example.com/",
        "SendingTo": "ada@example.com",
        "Email": "ada@example.com",
        "NewEmail": "ada.lovelace@example.org",
        "OldEmail": "countess@example.com",
        "Phone": "+44 20 7946 0000",
        "OldPhone": "+44 20 7946 0999",
        "Provider": "github",
        "FactorType": "totp",
        "Data": {"name": "Ada Lovelace", "full_name": "Ada Lovelace", "first_name": "Ada"},
    })))
}

/// Metadata with every text on one line: in a text mail, a name with line breaks would write paragraphs of its own.
fn on_one_line(data: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    let line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    match data {
        Value::String(text) => Value::String(line(text)),
        Value::Array(items) => Value::Array(items.iter().map(on_one_line).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (line(name), on_one_line(value))).collect())
        }
        other => other.clone(),
    }
}
