//! The signed context of a transaction: what the triggers of the audit log believe about who asked. Pure.
//!
//! The form is `1.<HMAC-SHA256 as 64 hexadecimal digits>.<JSON>`; what is signed is `1.<JSON>`. It is verified by
//! `goforward.current_audit_origin()` in the database, so a change of it takes a migration and a new number.

use aws_lc_rs::hmac;
use bytes::Bytes;
use serde::Serialize;

use super::AuditOrigin;

/// The setting, local to a transaction, that holds the context.
pub const CONTEXT_SETTING: &str = "goforward.context";

const VERSION: &str = "1.";

/// The key that contexts are signed with.
pub struct ContextKey(hmac::Key);

impl std::fmt::Debug for ContextKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The JSON of a context.
#[derive(Serialize)]
struct Claims<'a> {
    /// Milliseconds since the Unix epoch.
    at: i64,
    /// Belongs to one transaction.
    nonce: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    role: &'a str,
    ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    request_id: &'a str,
}

impl ContextKey {
    /// The key with these bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The context of one transaction that begins at `at` (milliseconds since the Unix epoch). `nonce` must be random:
    /// the database accepts it from one transaction only.
    pub fn sign(&self, origin: &AuditOrigin, at: i64, nonce: [u8; 16]) -> Bytes {
        let claims = Claims {
            at,
            nonce: hex::encode(nonce),
            actor: origin.actor.as_deref().map(storable),
            role: &origin.role,
            ip: origin.ip.to_string(),
            agent: origin.agent.as_deref().map(storable),
            session: origin.session.as_deref().map(storable),
            request_id: &origin.request_id,
        };
        // A struct of texts and numbers always serialises; an empty context would prove nothing.
        let signed = format!("{VERSION}{}", serde_json::to_string(&claims).unwrap_or_default());
        let mac = hmac::sign(&self.0, signed.as_bytes());
        let json = signed.get(VERSION.len()..).unwrap_or_default();
        Bytes::from(format!("{VERSION}{}.{json}", hex::encode(mac.as_ref())))
    }
}

/// PostgreSQL cannot hold NUL in text.
pub(in crate::kernel) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn origin() -> AuditOrigin {
        AuditOrigin {
            actor: Some(Arc::from("a\0b")),
            role: Arc::from("authenticated"),
            ip: "192.0.2.7".parse().unwrap(),
            agent: Some("caf\u{e9} \"1\"".to_owned()),
            session: None,
            request_id: "r-1".to_owned(),
        }
    }

    #[test]
    fn the_form_of_a_context_stays() {
        let context = ContextKey::new(&[7; 32]).sign(&origin(), 1_700_000_000_123, [0xab; 16]);
        let expected = concat!(
            r#"{"at":1700000000123,"nonce":"abababababababababababababababab","actor":"a�b","role":"authenticated","#,
            r#""ip":"192.0.2.7","agent":"café \"1\"","request_id":"r-1"}"#
        );
        let text = std::str::from_utf8(&context).unwrap();
        let (mac, json) = text.strip_prefix("1.").and_then(|rest| rest.split_once('.')).unwrap();

        assert_eq!(json, expected);
        // By the definition in RFC 2104, as the database computes it.
        let pad =
            |byte: u8| -> Vec<u8> { (0..64).map(|place| if place < 32 { 7 ^ byte } else { byte }).collect() };
        let hash = |parts: [&[u8]; 2]| <sha2::Sha256 as sha2::Digest>::digest(parts.concat()).to_vec();
        let inner = hash([&pad(0x36), format!("1.{json}").as_bytes()]);
        assert_eq!(mac, hex::encode(hash([&pad(0x5c), &inner])));
    }

    #[test]
    fn every_part_of_a_context_is_signed() {
        let key = ContextKey::new(&[7; 32]);
        let mac = |origin: &AuditOrigin, at, nonce| key.sign(origin, at, nonce).slice(..66);
        let first = mac(&origin(), 1, [1; 16]);
        let changed = [
            mac(&AuditOrigin { actor: None, ..origin() }, 1, [1; 16]),
            mac(&AuditOrigin { role: Arc::from("anon"), ..origin() }, 1, [1; 16]),
            mac(&AuditOrigin { ip: "192.0.2.8".parse().unwrap(), ..origin() }, 1, [1; 16]),
            mac(&AuditOrigin { request_id: "r-2".to_owned(), ..origin() }, 1, [1; 16]),
            mac(&origin(), 2, [1; 16]),
            mac(&origin(), 1, [2; 16]),
            ContextKey::new(&[8; 32]).sign(&origin(), 1, [1; 16]).slice(..66),
        ];

        assert_eq!(mac(&origin(), 1, [1; 16]), first);
        assert!(changed.iter().all(|mac| *mac != first));
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", ContextKey::new(&[7; 32])), "***");
    }
}
