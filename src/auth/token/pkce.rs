//! Proof Key for Code Exchange (RFC 7636): the challenge that a flow keeps, and the verifier that redeems its code.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The lengths of challenges and verifiers (RFC 7636 section 4.1).
const LENGTHS: std::ops::RangeInclusive<usize> = 43..=128;

/// How the challenge follows from the verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// It is the SHA-256 of the verifier.
    S256,
    /// It is the verifier itself: clients without cryptography do that.
    Plain,
}

impl Method {
    /// The value of the column `auth.flow_state.code_challenge_method`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S256 => "s256",
            Self::Plain => "plain",
        }
    }

    /// Reads the word in any case; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::S256, Self::Plain].into_iter().find(|method| method.as_str().eq_ignore_ascii_case(word))
    }
}

/// The challenge of a flow, well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    method: Method,
    value: String,
}

/// Why a challenge is refused: 400 `validation_failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// One of the two fields alone.
    #[error("PKCE flow requires code_challenge_method and code_challenge")]
    Incomplete,
    /// Neither `s256` nor `plain`.
    #[error("code_challenge_method must be s256 or plain")]
    Method,
    /// Not 43 to 128 of the allowed characters.
    #[error("code_challenge must be 43 to 128 of A-Z, a-z, 0-9, -, ., _ and ~")]
    Challenge,
}

impl Challenge {
    /// Reads the two fields of a request; an empty one counts as absent. `None` if it starts no PKCE flow.
    pub fn from_request(
        challenge: Option<&str>,
        method: Option<&str>,
    ) -> Result<Option<Self>, ChallengeError> {
        let given = |field: Option<&str>| field.filter(|text| !text.is_empty()).map(str::to_owned);
        match (given(challenge), given(method)) {
            (None, None) => Ok(None),
            (Some(value), Some(method)) => {
                let method = Method::parse(&method).ok_or(ChallengeError::Method)?;
                if is_well_formed(&value) {
                    Ok(Some(Self { method, value }))
                } else {
                    Err(ChallengeError::Challenge)
                }
            }
            _ => Err(ChallengeError::Incomplete),
        }
    }

    /// A challenge as a flow row holds it.
    pub fn stored(method: Method, value: String) -> Self {
        Self { method, value }
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The challenge itself. It is no secret where the method is `s256`.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether this verifier made the challenge, in constant time; a no is 400 `bad_code_verifier`.
    pub fn accepts(&self, verifier: &str) -> bool {
        if !is_well_formed(verifier) {
            return false;
        }
        let expected = match self.method {
            Method::S256 => URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes())),
            Method::Plain => verifier.to_owned(),
        };
        expected.as_bytes().ct_eq(self.value.as_bytes()).into()
    }
}

/// A new auth code, what a redirect delivers as `?code=`: a random UUID (version 4).
pub fn auth_code(random: [u8; 16]) -> Uuid {
    uuid::Builder::from_random_bytes(random).into_uuid()
}

fn is_well_formed(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    LENGTHS.contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn read(challenge: &str, method: &str) -> Result<Option<Challenge>, ChallengeError> {
        Challenge::from_request(Some(challenge), Some(method))
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let challenge = read(CHALLENGE, "S256").unwrap().unwrap();
        assert!(challenge.accepts(VERIFIER));
        assert!(!challenge.accepts(CHALLENGE));
        assert!(!challenge.accepts(&VERIFIER.to_lowercase()));
        assert!(!challenge.accepts(""));
    }

    #[test]
    fn a_plain_challenge_is_its_verifier() {
        let challenge = read(VERIFIER, "plain").unwrap().unwrap();
        assert!(challenge.accepts(VERIFIER));
        assert!(!challenge.accepts(CHALLENGE));
        assert!(!challenge.accepts(&VERIFIER[1..]));
    }

    #[test]
    fn both_fields_or_neither_and_each_well_formed() {
        use ChallengeError::{Challenge as Bad, Incomplete, Method as Unknown};
        assert_eq!(Challenge::from_request(None, None), Ok(None));
        assert_eq!(Challenge::from_request(Some(""), Some("")), Ok(None));
        assert_eq!(Challenge::from_request(Some(CHALLENGE), None), Err(Incomplete));
        assert_eq!(Challenge::from_request(None, Some("s256")), Err(Incomplete));
        for (length, method, refused) in [
            (42, "s256", Some(Bad)),
            (43, "s256", None),
            (128, "PLAIN", None),
            (129, "plain", Some(Bad)),
            (43, "sha256", Some(Unknown)),
        ] {
            assert_eq!(read(&"a".repeat(length), method).err(), refused, "{length} {method}");
        }
        for character in ["+", "/", "=", " ", "é", "\0"] {
            assert_eq!(read(&format!("{}{character}", "a".repeat(50)), "s256"), Err(Bad), "{character:?}");
        }
    }

    #[test]
    fn auth_codes_are_random_uuids() {
        let code = auth_code([0xff; 16]);
        assert_eq!(code.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(code.get_version_num(), 4);
    }

    proptest! {
        #[test]
        fn only_the_verifier_itself_passes(verifier in "[A-Za-z0-9._~-]{43,128}", at: proptest::sample::Index, bit in 0..7_u8) {
            let hashed = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
            for challenge in [read(&hashed, "s256"), read(&verifier, "plain")] {
                let challenge = challenge.unwrap().unwrap();
                prop_assert!(challenge.accepts(&verifier));
                let mut other = verifier.clone().into_bytes();
                let at = at.index(other.len());
                other[at] ^= 1 << bit;
                prop_assert!(!challenge.accepts(&String::from_utf8(other).unwrap()));
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(challenge: Option<String>, method: Option<String>, verifier: String) {
            let _ = Challenge::from_request(challenge.as_deref(), method.as_deref());
            prop_assert!(!Challenge::stored(Method::Plain, String::new()).accepts(&verifier));
        }
    }
}
