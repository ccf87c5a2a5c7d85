//! Issues access tokens: signs claims with the project's secret, or with the first private key of its JWK set.
//!
//! Rotation is the order of the set: every key in it verifies, the first one that can signs. A key that only verifies
//! (public, or RSA) may stay in the set for as long as tokens of it live.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::signing_keys::{Documents, SecretError, documents};
use crate::kernel::secret::Secret;

/// What is public of a key (RFC 7517 section 4, RFC 7518 section 6).
const PUBLIC_MEMBERS: [&str; 9] = ["kty", "kid", "alg", "crv", "x", "y", "n", "e", "ext"];

/// Signs tokens with one key.
pub struct Signer {
    material: Material,
    /// The header as it stands in every token, dot included.
    header: String,
    /// The keys that others may check our tokens with.
    public_keys: Vec<Value>,
}

enum Material {
    Shared(Box<hmac::Key>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Why no token can be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There are only keys that verify.
    #[error(
        "none of the keys of auth.jwt_secret can sign: put a private key (EC P-256, Ed25519 or oct) in the set"
    )]
    NoPrivateKey,
    /// The claims are no JSON, or the key does not work.
    #[error("the token cannot be signed")]
    Signing,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Reads the same text as the verifier does: a shared secret, base64 of one, a JWK or a JWK set.
    pub fn new(secret: &Secret, is_base64: bool) -> Result<Self, SignerError> {
        let keys = match documents(secret.expose(), is_base64)? {
            Documents::Keys(keys) => keys,
            Documents::Shared(shared) => {
                return Ok(Self {
                    material: Material::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &shared))),
                    header: header("HS256", None),
                    public_keys: Vec::new(),
                });
            }
        };
        let (material, header) = keys.iter().find_map(private_key).ok_or(SignerError::NoPrivateKey)?;
        let public_keys = keys.iter().filter(|key| key["kty"] != "oct").map(public_part).collect();
        Ok(Self { material, header, public_keys })
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, SignerError> {
        let claims = serde_json::to_vec(claims).map_err(|_| SignerError::Signing)?;
        let mut token = self.header.clone();
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let random = SystemRandom::new();
        let (ecdsa, ed25519, shared);
        let signature: &[u8] = match &self.material {
            Material::Shared(key) => {
                shared = hmac::sign(key, token.as_bytes());
                shared.as_ref()
            }
            Material::Ecdsa(key) => {
                ecdsa = key.sign(&random, token.as_bytes()).map_err(|_| SignerError::Signing)?;
                ecdsa.as_ref()
            }
            Material::Ed25519(key) => {
                ed25519 = key.sign(token.as_bytes());
                ed25519.as_ref()
            }
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The keys that others may check our tokens with, as a JWK set (RFC 7517); empty with a shared secret.
    pub fn public_keys(&self) -> Value {
        json!({"keys": self.public_keys})
    }

    /// Whether others can check our tokens without a secret.
    pub fn is_asymmetric(&self) -> bool {
        !matches!(self.material, Material::Shared(_))
    }
}

fn header(algorithm: &str, key_id: Option<&str>) -> String {
    let mut header = Map::new();
    header.insert("alg".to_owned(), algorithm.into());
    if let Some(id) = key_id {
        header.insert("kid".to_owned(), id.into());
    }
    header.insert("typ".to_owned(), "JWT".into());
    format!("{}.", URL_SAFE_NO_PAD.encode(Value::Object(header).to_string()))
}

/// The key and its header, if it can sign.
fn private_key(key: &Value) -> Option<(Material, String)> {
    let text = |member: &str| key.get(member).and_then(Value::as_str);
    let bytes = |member: &str| URL_SAFE_NO_PAD.decode(text(member)?).ok();
    let (material, algorithm) = match (text("kty")?, text("crv")) {
        ("oct", _) => {
            let algorithm = text("alg").unwrap_or("HS256");
            let hash = match algorithm {
                "HS256" => hmac::HMAC_SHA256,
                "HS384" => hmac::HMAC_SHA384,
                "HS512" => hmac::HMAC_SHA512,
                _ => return None,
            };
            (Material::Shared(Box::new(hmac::Key::new(hash, &bytes("k")?))), algorithm)
        }
        ("EC", Some(curve)) => {
            let (signing, algorithm) = match curve {
                "P-256" => (&ECDSA_P256_SHA256_FIXED_SIGNING, "ES256"),
                "P-384" => (&ECDSA_P384_SHA384_FIXED_SIGNING, "ES384"),
                _ => return None,
            };
            // An uncompressed point (SEC 1 section 2.3.3).
            let point = [vec![4], bytes("x")?, bytes("y")?].concat();
            let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, &bytes("d")?, &point).ok()?;
            (Material::Ecdsa(Box::new(pair)), algorithm)
        }
        ("OKP", Some("Ed25519")) => {
            let pair = Ed25519KeyPair::from_seed_and_public_key(&bytes("d")?, &bytes("x")?).ok()?;
            (Material::Ed25519(Box::new(pair)), "EdDSA")
        }
        _ => return None,
    };
    Some((material, header(algorithm, text("kid"))))
}

fn public_part(key: &Value) -> Value {
    let mut public = Map::new();
    for member in PUBLIC_MEMBERS {
        if let Some(value) = key.get(member) {
            public.insert(member.to_owned(), value.clone());
        }
    }
    public.insert("use".to_owned(), "sig".into());
    public.insert("key_ops".to_owned(), json!(["verify"]));
    Value::Object(public)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsBigEndian;
    use aws_lc_rs::signature::KeyPair as _;

    use super::*;
    use crate::kernel::clock::Clock;
    use crate::kernel::identity::{Verifier, VerifierOptions};

    const SHARED: &str = "a shared secret of more than 32 bytes";

    fn ed25519(key_id: &str) -> Value {
        let seed = [7; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        json!({
            "kty": "OKP", "crv": "Ed25519", "kid": key_id, "d": URL_SAFE_NO_PAD.encode(seed),
            "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        })
    }

    fn p256(key_id: &str) -> Value {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let secret = pair.private_key().as_be_bytes().unwrap();
        json!({
            "kty": "EC", "crv": "P-256", "kid": key_id, "d": URL_SAFE_NO_PAD.encode(secret.as_ref()),
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        })
    }

    fn verifier(secret: &str) -> Verifier {
        let secret = Some(Secret::new(secret));
        Verifier::new(VerifierOptions { secret, ..VerifierOptions::default() }, Clock::manual(1000)).unwrap()
    }

    fn subject(verifier: &Verifier, token: &str) -> Option<String> {
        verifier.verify(token).ok()?.subject.as_deref().map(str::to_owned)
    }

    #[test]
    fn what_is_signed_with_any_kind_of_key_verifies_with_the_same_configuration() {
        let shared = json!({"kty": "oct", "kid": "o", "k": URL_SAFE_NO_PAD.encode(SHARED)}).to_string();
        for secret in [SHARED.to_owned(), shared, p256("e").to_string(), ed25519("d").to_string()] {
            let signer = Signer::new(&Secret::new(secret.clone()), false).unwrap();

            let token = signer.sign(&json!({"sub": "u", "role": "authenticated"})).unwrap();

            assert_eq!(subject(&verifier(&secret), &token).as_deref(), Some("u"), "{secret}");
            assert_eq!(subject(&verifier(&SHARED.to_uppercase()), &token), None);
        }
    }

    #[test]
    fn after_a_rotation_tokens_of_the_old_key_still_verify_and_new_ones_name_the_new_key() {
        let old = Signer::new(&Secret::new(p256("old").to_string()), false);
        let (new_key, old_key) = (ed25519("new"), p256("older"));
        let both = json!({"keys": [new_key, old_key]}).to_string();
        let only_old = Signer::new(&Secret::new(old_key.to_string()), false).unwrap();
        let signer = Signer::new(&Secret::new(both.clone()), false).unwrap();
        let verifier = verifier(&both);

        let (before, after) =
            (only_old.sign(&json!({"sub": "b"})).unwrap(), signer.sign(&json!({"sub": "a"})).unwrap());

        assert_eq!(subject(&verifier, &before).as_deref(), Some("b"));
        assert_eq!(subject(&verifier, &after).as_deref(), Some("a"));
        let header = URL_SAFE_NO_PAD.decode(after.split('.').next().unwrap()).unwrap();
        assert_eq!(String::from_utf8(header).unwrap(), r#"{"alg":"EdDSA","kid":"new","typ":"JWT"}"#);
        assert_eq!(subject(&verifier, &old.unwrap().sign(&json!({"sub": "x"})).unwrap()), None);
    }

    #[test]
    fn published_keys_hold_nothing_private_and_no_shared_secret() {
        let secret = json!({"k": URL_SAFE_NO_PAD.encode(SHARED), "kty": "oct"});
        let set = json!({"keys": [p256("e"), secret]}).to_string();

        let published = Signer::new(&Secret::new(set), false).unwrap().public_keys();

        let keys = published["keys"].as_array().unwrap();
        assert_eq!((keys.len(), keys[0]["kid"].as_str()), (1, Some("e")));
        assert!(keys[0].get("d").is_none() && keys[0]["x"].is_string());
        assert_eq!(Signer::new(&Secret::new(SHARED), false).unwrap().public_keys(), json!({"keys": []}));
    }

    #[test]
    fn keys_that_only_verify_cannot_sign() {
        let mut public = p256("e");
        public.as_object_mut().unwrap().remove("d");

        let refusal = Signer::new(&Secret::new(public.to_string()), false).unwrap_err();

        assert_eq!(refusal, SignerError::NoPrivateKey);
        assert!(matches!(Signer::new(&Secret::new("short"), false), Err(SignerError::Secret(_))));
    }
}
