//! A browser and its authenticator in one, with everything that an attacker could change.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::{Value as Cbor, cbor};
use serde_json::{Value, json};

pub const PRESENT: u8 = 1;
pub const VERIFIED: u8 = 4;

/// An authenticator with one credential.
pub struct Authenticator {
    key: EcdsaKeyPair,
    pub id: Vec<u8>,
    /// The page that asks.
    pub origin: String,
    /// Whether that page stands in another's.
    pub framed: bool,
    /// The domain that the credential is bound to.
    pub rp_id: String,
    /// What the authenticator knows of its user.
    pub flags: u8,
    /// Signatures by now; the next one adds to it.
    pub counter: u32,
    /// What it takes for its user.
    pub handle: String,
}

impl Authenticator {
    /// An authenticator of a good user of the shop.
    pub fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self {
            id: digest(&SHA256, key.public_key().as_ref()).as_ref().to_vec(),
            key,
            origin: "https://shop.example.com".to_owned(),
            framed: false,
            rp_id: "shop.example.com".to_owned(),
            flags: PRESENT | VERIFIED,
            counter: 0,
            handle: String::new(),
        }
    }

    /// Answers a request for a new credential.
    pub fn create(&mut self, options: &Value) -> Value {
        options["user"]["id"].as_str().unwrap().clone_into(&mut self.handle);
        let client = self.client_data("webauthn.create", options);
        let point = self.key.public_key().as_ref();
        let (x, y) = (Cbor::from(&point[1..33]), Cbor::from(&point[33..]));
        let key = encoded(&cbor!({1 => 2, 3 => -7, -1 => 1, -2 => x, -3 => y}).unwrap());
        let length = u16::try_from(self.id.len()).unwrap().to_be_bytes();
        let data = [self.data(64), vec![0; 16], length.to_vec(), self.id.clone(), key].concat();
        let data = Cbor::from(data);
        let object = encoded(&cbor!({"fmt" => "none", "attStmt" => {}, "authData" => data}).unwrap());
        json!({
            "id": base64url(&self.id), "rawId": base64url(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": base64url(&client), "attestationObject": base64url(&object),
                "transports": ["internal", "unheard of"],
            },
            "clientExtensionResults": {},
        })
    }

    /// Answers a request for a signature.
    pub fn get(&mut self, options: &Value) -> Value {
        self.counter += 1;
        let client = self.client_data("webauthn.get", options);
        let data = self.data(0);
        let signed = [data.as_slice(), digest(&SHA256, &client).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": base64url(&self.id), "rawId": base64url(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": base64url(&client), "authenticatorData": base64url(&data),
                "signature": base64url(signature.as_ref()), "userHandle": self.handle,
            },
            "clientExtensionResults": {},
        })
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let data = json!({
            "type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": self.framed,
        });
        data.to_string().into_bytes()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let hash = digest(&SHA256, self.rp_id.as_bytes());
        [hash.as_ref(), &[self.flags | flags], &self.counter.to_be_bytes()].concat()
    }
}

fn encoded(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
