//! Signs what we send to hooks and webhooks. Source: the Standard Webhooks specification, symmetric scheme `v1`
//! (HMAC-SHA256). Older schemes are not offered.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

use crate::kernel::secret::Secret;

/// Fewest and most bytes of a secret; the specification's range.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs with one secret or, while they rotate, with several.
#[derive(Clone)]
pub struct WebhookSigner(Vec<hmac::Key>);

/// A secret that is not of the form `v1,whsec_<base64 of 24 to 64 bytes>`. The text does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook secret has the form v1,whsec_<base64 of 24 to 64 random bytes>; several are separated by |"
)]
pub struct WebhookSecretError;

impl WebhookSigner {
    /// Reads secrets in their configured form: `v1,whsec_<base64>`, several separated by `|`. `v1,` may be missing.
    pub fn parse(secrets: &Secret) -> Result<Self, WebhookSecretError> {
        secrets.expose().split('|').map(|secret| parse_one(secret.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// The three headers of a signed message.
    ///
    /// `id` names the message and stays the same when it is sent again, so that receivers recognise it; `unix_seconds` is
    /// the time of this sending, so that they can refuse an old one.
    pub fn headers(&self, id: &str, unix_seconds: i64, body: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
        let signature = self.sign(id, unix_seconds, body);
        [
            ("webhook-id", id),
            ("webhook-timestamp", &unix_seconds.to_string()),
            ("webhook-signature", &signature),
        ]
        .into_iter()
        // Ids are ours and plain; one that no header holds would go out unsigned and be refused.
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
        .collect()
    }

    /// The value of `webhook-signature`: one `v1,<base64>` per secret, separated by spaces.
    fn sign(&self, id: &str, unix_seconds: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{unix_seconds}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn parse_one(text: &str) -> Result<hmac::Key, WebhookSecretError> {
    let text = text.strip_prefix("v1,").unwrap_or(text);
    let encoded = text.strip_prefix("whsec_").ok_or(WebhookSecretError)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| WebhookSecretError)?;
    if !SECRET_BYTES.contains(&bytes.len()) {
        return Err(WebhookSecretError);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signer(text: &str) -> WebhookSigner {
        WebhookSigner::parse(&Secret::new(text)).unwrap()
    }

    fn signature(signer: &WebhookSigner) -> String {
        signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
    }

    /// Threat J02. The expected value was made with another implementation of HMAC.
    #[test]
    fn a_message_is_signed_as_the_specification_says() {
        for secret in [SECRET.to_owned(), format!("v1,{SECRET}")] {
            assert_eq!(signature(&signer(&secret)), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    #[test]
    fn every_secret_of_a_rotation_signs() {
        let other = "v1,whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let both = signature(&signer(&format!("v1,{SECRET}|{other}")));
        assert_eq!(both, format!("{} {}", signature(&signer(SECRET)), signature(&signer(other))));
    }

    #[test]
    fn id_time_and_body_are_all_signed() {
        let signer = signer(SECRET);
        let base = signer.sign("a", 1, b"x");
        for other in [signer.sign("b", 1, b"x"), signer.sign("a", 2, b"x"), signer.sign("a", 1, b"y")] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn the_headers_carry_what_was_signed() {
        let headers = signer(SECRET).headers("msg_1", 5, b"x");
        let shown: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let signature = signer(SECRET).sign("msg_1", 5, b"x");
        assert_eq!(
            shown,
            [("webhook-id", "msg_1"), ("webhook-timestamp", "5"), ("webhook-signature", signature.as_str())]
        );
    }

    #[test]
    fn secrets_that_are_short_or_of_another_form_are_refused() {
        for bad in [
            "",
            "secret",
            "v1,",
            "v1,whsec_",
            "v1,whsec_%%%",
            "v1a,whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "v1,whsec_AAECAwQFBgcICQoLDA0ODw==",
            "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw|",
        ] {
            assert!(WebhookSigner::parse(&Secret::new(bad)).is_err(), "{bad}");
        }
    }
}
