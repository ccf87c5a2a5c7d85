//! Public keys of credentials, in COSE (RFC 9052 section 7, RFC 9053, RFC 8230). Pure.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use ciborium::Value;

use super::{WebauthnError, read_cbor};

/// The algorithms that are asked for, the best first (the registry of COSE).
pub(super) const ALGORITHMS: [i128; 3] = [EDDSA, ES256, RS256];

const EDDSA: i128 = -8;
const ES256: i128 = -7;
const RS256: i128 = -257;

/// A key that checks signatures.
pub(super) enum PublicKey {
    /// ES256 or EdDSA.
    Curve(ParsedPublicKey),
    /// RS256.
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl PublicKey {
    /// Reads a key of one of the algorithms that were asked for.
    pub(super) fn parse(cose: &[u8]) -> Result<Self, WebauthnError> {
        let malformed = WebauthnError::Malformed("public key");
        let mut rest = cose;
        let Some(Value::Map(entries)) = read_cbor(&mut rest) else { return Err(malformed) };
        if !rest.is_empty() {
            return Err(malformed);
        }
        let entry = |label: i128| {
            let is_it = |name: &Value| name.as_integer().is_some_and(|name| i128::from(name) == label);
            entries.iter().find(|(name, _)| is_it(name)).map(|(_, value)| value)
        };
        let number = |label| entry(label).and_then(Value::as_integer).map(i128::from);
        let bytes = |label| entry(label).and_then(Value::as_bytes);
        // 1: kty, 3: alg; -1: crv or n, -2: x or e, -3: y
        match (number(1), number(3), number(-1)) {
            (Some(2), Some(ES256), Some(1)) => {
                let coordinate = |label| bytes(label).filter(|bytes| bytes.len() == 32).ok_or(malformed);
                let point = [&[4], coordinate(-2)?.as_slice(), coordinate(-3)?.as_slice()].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map(Self::Curve).map_err(|_| malformed)
            }
            (Some(1), Some(EDDSA), Some(6)) => {
                let key = bytes(-2).ok_or(malformed)?;
                ParsedPublicKey::new(&ED25519, key).map(Self::Curve).map_err(|_| malformed)
            }
            (Some(3), Some(RS256), None) => {
                let (n, e) = (bytes(-1).ok_or(malformed)?, bytes(-2).ok_or(malformed)?);
                Ok(Self::Rsa(RsaPublicKeyComponents { n: n.clone(), e: e.clone() }))
            }
            _ => Err(WebauthnError::Algorithm),
        }
    }

    /// Checks a signature.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), WebauthnError> {
        let verified = match self {
            Self::Curve(key) => key.verify_sig(message, signature),
            Self::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        verified.map_err(|_| WebauthnError::Signature)
    }
}
