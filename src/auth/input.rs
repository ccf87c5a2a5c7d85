//! What people type, made into what the service knows: addresses, numbers, names, metadata. Wrong input is refused with
//! what to do; what looks like an attack is counted and reported.

use serde_json::{Map, Value};

use super::error::AuthError;
use super::model::Contact;
use crate::kernel::sanitise::{Decision, Field, Finding, Policy, sanitise, sanitise_json, username_key};

/// The risk of an input from which on it is worth a line in the log.
const REPORTED_RISK: u8 = 70;
/// The longest metadata of a user, as JSON text, in bytes.
const LONGEST_METADATA: usize = 64 * 1024;
/// The longest name of an API key, in characters.
const LONGEST_KEY_NAME: usize = 100;

/// A name to sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Username {
    /// As its user writes it.
    pub(crate) shown: String,
    /// In which two that look alike are equal.
    pub(crate) normalised: String,
}

/// Who wants to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// By address.
    Email(String),
    /// By number.
    Phone(String),
    /// By name, in its normalised form.
    Username(String),
}

impl Login {
    /// What was typed, normalised.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Email(text) | Self::Phone(text) | Self::Username(text) => text,
        }
    }

    /// The address or number.
    pub(crate) fn contact(&self) -> Option<Contact> {
        match self {
            Self::Email(email) => Some(Contact::Email(email.clone())),
            Self::Phone(phone) => Some(Contact::Phone(phone.clone())),
            Self::Username(_) => None,
        }
    }
}

/// An address, in lower case, its domain in ASCII.
pub(crate) fn email(typed: &str) -> Result<String, AuthError> {
    let problem = "Unable to validate email address: invalid format";
    if typed.is_empty() {
        return Err(AuthError::Invalid("An email address is required".to_owned()));
    }
    cleaned("email", Field::Email, typed).ok_or_else(|| AuthError::Invalid(problem.to_owned()))
}

/// A number, digits only.
pub(crate) fn phone(typed: &str) -> Result<String, AuthError> {
    let problem = "Invalid phone number format (E.164 required)";
    let digits = cleaned("phone", Field::Phone, typed).map(|phone| phone.trim_start_matches('+').to_owned());
    digits.ok_or_else(|| AuthError::Invalid(problem.to_owned()))
}

/// An address or a number: one of the two.
pub(crate) fn contact(typed_email: &str, typed_phone: &str) -> Result<Contact, AuthError> {
    match (typed_email.is_empty(), typed_phone.is_empty()) {
        (false, true) => email(typed_email).map(Contact::Email),
        (true, false) => phone(typed_phone).map(Contact::Phone),
        _ => Err(AuthError::Invalid("Only an email address or phone number should be provided".to_owned())),
    }
}

/// An address, a number or a name. What cannot be one is nobody's, so it is a wrong login and no other error.
pub(crate) fn login(email: &str, phone: &str, username: &str) -> Result<Login, AuthError> {
    // No name holds any, and PostgreSQL does not take all of them.
    if [email, phone, username].iter().any(|typed| typed.contains(char::is_control)) {
        return Ok(Login::Email(String::new()));
    }
    match (email.is_empty(), phone.is_empty(), username.is_empty()) {
        // Many a form has one field for both; an address always has its sign.
        (false, true, true) if !email.contains('@') => Ok(Login::Username(username_key(email))),
        (false, true, true) => Ok(Login::Email(self::email(email).unwrap_or_default())),
        (true, false, true) => Ok(Login::Phone(self::phone(phone).unwrap_or_default())),
        (true, true, false) => Ok(Login::Username(username_key(username))),
        _ => Err(AuthError::Invalid("missing email, phone or username".to_owned())),
    }
}

/// A name to sign in with; none where nothing was typed.
pub(crate) fn username(typed: &str) -> Result<Option<Username>, AuthError> {
    if typed.is_empty() {
        return Ok(None);
    }
    let problem = "A username has 3 to 64 letters, digits, dots, hyphens and underscores of one script";
    let shown = cleaned("username", Field::Username, typed);
    let shown = shown.ok_or_else(|| AuthError::Invalid(problem.to_owned()))?;
    Ok(Some(Username { normalised: username_key(&shown), shown }))
}

/// What a user calls a thing of its own, at most 100 characters; none where nothing was typed.
pub(crate) fn label(field: &str, typed: Option<&str>) -> Result<Option<String>, AuthError> {
    let Some(typed) = typed.filter(|typed| !typed.trim().is_empty()) else { return Ok(None) };
    let problem = format!("{field} must be a name of at most 100 characters");
    cleaned("label", Field::Name, typed).map(Some).ok_or(AuthError::Invalid(problem))
}

/// What the owner of an API key calls it.
pub(crate) fn key_name(typed: &str) -> Result<String, AuthError> {
    let name = cleaned("key_name", Field::Text, typed).map(|name| name.trim().to_owned());
    let fitting = name.filter(|name| (1..=LONGEST_KEY_NAME).contains(&name.chars().count()));
    let problem = || format!("name has 1 to {LONGEST_KEY_NAME} characters");
    fitting.ok_or_else(|| AuthError::Invalid(problem()))
}

/// What a user says of itself. Names of people are held to the rules of names.
pub(crate) fn metadata(given: Map<String, Value>) -> Result<Value, AuthError> {
    let mut given = given;
    for field in ["first_name", "last_name", "name", "full_name"] {
        let Some(Value::String(typed)) = given.get(field) else { continue };
        let problem = format!("{field} must be a name of at most 100 characters");
        let name = cleaned("name", Field::Name, typed).ok_or(AuthError::Invalid(problem))?;
        given.insert(field.to_owned(), Value::String(name));
    }
    let given = Value::Object(given);
    if given.to_string().len() > LONGEST_METADATA {
        return Err(AuthError::Invalid(format!("data must not be longer than {LONGEST_METADATA} bytes")));
    }
    let result = sanitise_json(Policy::Monitor, &given);
    report("metadata", &result.findings, result.risk);
    if result.decision == Decision::Reject {
        return Err(AuthError::Invalid("data holds characters that cannot be stored".to_owned()));
    }
    Ok(result.value.into_owned())
}

/// The input in its canonical form; none where it is refused.
fn cleaned(name: &'static str, field: Field, typed: &str) -> Option<String> {
    let result = sanitise(field, Policy::Clean, typed);
    report(name, &result.findings, result.risk);
    (result.decision != Decision::Reject).then(|| result.value.into_owned())
}

fn report(field: &'static str, findings: &[Finding], risk: u8) {
    for Finding { class, .. } in findings {
        metrics::counter!("goforward_sanitiser_findings_total", "class" => class.as_str(), "field" => field)
            .increment(1);
    }
    if risk >= REPORTED_RISK {
        let classes: Vec<&str> = findings.iter().map(|finding| finding.class.as_str()).collect();
        tracing::warn!(kind = "security", field, risk, ?classes, "an input looks like an attack");
    }
}
