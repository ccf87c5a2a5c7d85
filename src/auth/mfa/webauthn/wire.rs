//! Answers of browsers, in the JSON form that clients send (WebAuthn level 3, section 5.1). Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, de};

/// The longest part that is read, in bytes: far more than any authenticator sends.
const LONGEST_PART: usize = 64 * 1024;

/// The transports that the standard names (section 5.8.4).
const TRANSPORTS: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];

/// The answer to a registration.
#[derive(Debug, Deserialize)]
pub(crate) struct Registration {
    #[serde(rename = "id", deserialize_with = "bytes")]
    pub(super) raw_id: Vec<u8>,
    pub(super) response: RegistrationResponse,
}

#[derive(Debug, Deserialize)]
pub(super) struct RegistrationResponse {
    #[serde(rename = "clientDataJSON", deserialize_with = "bytes")]
    pub(super) client_data: Vec<u8>,
    #[serde(rename = "attestationObject", deserialize_with = "bytes")]
    pub(super) attestation_object: Vec<u8>,
    transports: Option<Vec<String>>,
}

impl Registration {
    /// Those that we know.
    pub(super) fn transports(&self) -> Vec<String> {
        let told = self.response.transports.as_deref().unwrap_or_default();
        let known = TRANSPORTS.iter().filter(|known| told.iter().any(|told| told == *known));
        known.map(|known| (*known).to_owned()).collect()
    }
}

/// The answer to an authentication.
#[derive(Debug, Deserialize)]
pub(crate) struct Assertion {
    #[serde(rename = "id", deserialize_with = "bytes")]
    pub(super) raw_id: Vec<u8>,
    pub(super) response: AssertionResponse,
}

#[derive(Debug, Deserialize)]
pub(super) struct AssertionResponse {
    #[serde(rename = "clientDataJSON", deserialize_with = "bytes")]
    pub(super) client_data: Vec<u8>,
    #[serde(rename = "authenticatorData", deserialize_with = "bytes")]
    pub(super) authenticator_data: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    pub(super) signature: Vec<u8>,
    #[serde(rename = "userHandle", default, deserialize_with = "some_bytes")]
    pub(super) user_handle: Option<Vec<u8>>,
}

impl Assertion {
    /// The id of the credential that it is by.
    pub(crate) fn credential_id(&self) -> &[u8] {
        &self.raw_id
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    decode(&text).ok_or_else(|| de::Error::custom("base64url is expected"))
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| decode(&text).ok_or_else(|| de::Error::custom("base64url is expected"))).transpose()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    (text.len() <= LONGEST_PART).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten()
}
