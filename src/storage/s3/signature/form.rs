//! A browser's form (`POST /{bucket}` as `multipart/form-data`): its fields are held against a signed policy.
//!
//! The order is in the types: a [`FormClaim`] has the policy as closed text, [`FormClaim::verify`] gives a
//! [`SignedPolicy`], and only that one is parsed (H04).

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::error::S3Error;
use super::claim::{MAX_EXPIRY, MAX_SKEW};
use super::credential::{AmzDate, Credential, Regions};
use super::key::SigningKey;
use super::policy::Policy;
use crate::kernel::secret::Secret;

/// The longest policy that is taken, encoded, in bytes.
const MAX_POLICY: usize = 64 * 1024;

/// The fields of a form in front of its file.
#[derive(Clone, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
}

/// Names only: a value may be a token or a signature.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Takes the fields, names in any case. `file_name` replaces `${filename}` in the key.
    ///
    /// A field twice is refused: the one that the policy allows might not be the one that counts.
    pub fn new(
        fields: impl IntoIterator<Item = (String, String)>,
        file_name: Option<&str>,
    ) -> Result<Self, S3Error> {
        let file_name = file_name.unwrap_or_default();
        let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut form = Self::default();
        for (name, value) in fields {
            let name = name.to_ascii_lowercase();
            if form.get(&name).is_some() {
                return Err(S3Error::invalid("A field of the form is given more than once"));
            }
            let value = if name == "key" { value.replace("${filename}", file_name) } else { value };
            form.fields.push((name, value));
        }
        Ok(form)
    }

    /// The field, by its name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All fields, names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Unproved: who is said to have signed the policy of a form.
#[derive(Debug, Clone)]
pub struct FormClaim {
    credential: Credential,
    date: AmzDate,
    signature: Secret,
    session_token: Option<Secret>,
    policy: String,
}

impl FormClaim {
    /// Reads the claim; `None` where the form is not signed at all.
    pub fn find(form: &Form) -> Result<Option<Self>, S3Error> {
        let signing = ["policy", "x-amz-signature", "x-amz-credential", "x-amz-algorithm"];
        if signing.iter().all(|name| form.get(name).is_none()) {
            return Ok(None);
        }
        let need = |name: &'static str| form.get(name).ok_or(S3Error::InvalidParameter(name));
        if need("x-amz-algorithm")? != "AWS4-HMAC-SHA256" {
            return Err(S3Error::denied("Only AWS4-HMAC-SHA256 signatures are taken"));
        }
        let policy = need("policy")?;
        if policy.len() > MAX_POLICY {
            return Err(S3Error::InvalidParameter("policy"));
        }
        Ok(Some(Self {
            credential: Credential::parse(need("x-amz-credential")?)?,
            date: AmzDate::parse(need("x-amz-date")?)?,
            signature: Secret::new(need("x-amz-signature")?),
            session_token: form.get("x-amz-security-token").map(Secret::new),
            policy: policy.to_owned(),
        }))
    }

    /// Whose key is said to have signed.
    pub fn access_key_id(&self) -> &str {
        &self.credential.access_key_id
    }

    /// The user's token that came along.
    pub fn session_token(&self) -> Option<&Secret> {
        self.session_token.as_ref()
    }

    /// Checks what needs no secret. How long the form holds is the policy's to say, up to a week.
    pub fn check(&self, regions: &Regions, now: i64) -> Result<(), S3Error> {
        match now.saturating_sub(self.date.unix()) {
            age if age < -MAX_SKEW => return Err(S3Error::RequestTimeTooSkewed),
            age if age > MAX_EXPIRY => return Err(S3Error::denied("Request has expired")),
            _ => {}
        }
        if self.credential.date != self.date.day() || !regions.take(&self.credential.region) {
            return Err(S3Error::SignatureDoesNotMatch);
        }
        Ok(())
    }

    /// Checks the signature, over the policy's text as it was sent.
    pub fn verify(self, secret: &Secret) -> Result<SignedPolicy, S3Error> {
        let key = SigningKey::derive(secret, &self.credential);
        if key.signed(&self.policy, self.signature.expose().as_bytes()) {
            Ok(SignedPolicy { text: self.policy })
        } else {
            Err(S3Error::SignatureDoesNotMatch)
        }
    }
}

/// A policy whose signature holds. What it says is not known yet.
#[derive(Debug, Clone)]
pub struct SignedPolicy {
    text: String,
}

/// A form that keeps to its policy.
#[derive(Debug, Clone)]
pub struct AcceptedForm {
    /// The key to write, `${filename}` replaced.
    pub key: String,
    /// How long the file may be, in bytes. Whoever reads the file holds it to that.
    pub length: RangeInclusive<u64>,
    /// All fields: `content-type`, `x-amz-meta-*`, `success_action_status`, ...
    pub form: Form,
}

impl AcceptedForm {
    /// Whether a file of this many bytes keeps to the policy (H04).
    pub fn check_length(&self, bytes: u64) -> Result<(), S3Error> {
        if self.length.contains(&bytes) {
            Ok(())
        } else {
            Err(S3Error::denied("Invalid according to Policy: Policy Condition failed: content-length-range"))
        }
    }
}

impl SignedPolicy {
    /// Reads the policy and holds the form against it.
    pub fn accept(&self, form: Form, bucket: &str, now: i64) -> Result<AcceptedForm, S3Error> {
        let json = STANDARD
            .decode(self.text.bytes().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<u8>>())
            .map_err(|_| S3Error::denied("Invalid policy: not base64"))?;
        let policy = Policy::parse(&json)?;
        policy.check(&form, bucket, now)?;
        let key = form.get("key").ok_or(S3Error::InvalidParameter("key"))?.to_owned();
        Ok(AcceptedForm { key, length: policy.length(), form })
    }
}
