//! What the browser says of a ceremony (section 5.8.1). Pure.

use serde::Deserialize;

use super::{Expected, WebauthnError};

/// A kind of ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceremony {
    /// A credential is made.
    Creation,
    /// A credential is used.
    Request,
}

impl Ceremony {
    fn word(self) -> &'static str {
        match self {
            Self::Creation => "webauthn.create",
            Self::Request => "webauthn.get",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData<'a> {
    r#type: String,
    challenge: String,
    origin: String,
    cross_origin: Option<bool>,
    #[serde(borrow, default)]
    top_origin: Option<&'a serde_json::value::RawValue>,
}

/// Checks that the answer is to this challenge, and was made on a page of ours that stands in no page of others.
pub(super) fn check_client_data(
    expected: Expected<'_>,
    ceremony: Ceremony,
    json: &[u8],
) -> Result<(), WebauthnError> {
    let data: ClientData<'_> =
        serde_json::from_slice(json).map_err(|_| WebauthnError::Malformed("client data"))?;
    if data.r#type != ceremony.word() {
        return Err(WebauthnError::Ceremony);
    }
    if data.challenge != expected.challenge {
        return Err(WebauthnError::Challenge);
    }
    let is_framed = data.cross_origin == Some(true) || data.top_origin.is_some();
    if is_framed || !expected.party.has_origin(&data.origin) {
        return Err(WebauthnError::Origin);
    }
    Ok(())
}
