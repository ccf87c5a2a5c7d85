//! What a request says about who signed it, in its header or its query, and whether that holds.

use super::super::error::S3Error;
use super::canonical::{PathForm, SignedRequest};
use super::credential::{AmzDate, Credential, Regions};
use super::key::{ChunkSigner, SigningKey, string_to_sign};
use crate::kernel::secret::Secret;

/// How far the clocks of client and server may be apart, in seconds.
pub const MAX_SKEW: i64 = 15 * 60;
/// How long a presigned URL may hold, in seconds: a week, as long as a signing key.
pub const MAX_EXPIRY: i64 = 7 * 24 * 60 * 60;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Unproved: who is said to have signed, when, and what.
#[derive(Debug, Clone)]
pub struct Claim {
    credential: Credential,
    date: AmzDate,
    lifetime: Lifetime,
    signed_headers: Vec<String>,
    /// Whoever has it may ask again: never shown.
    signature: Secret,
    session_token: Option<Secret>,
    /// As it stands in the canonical request.
    signed_hash: String,
    /// What the body is, as the request says.
    payload_hash: String,
}

/// For how long the signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// A signed request: as long as the clocks may differ.
    Skew,
    /// A presigned URL: so many seconds.
    Seconds(i64),
}

impl Claim {
    /// Reads the claim from the `Authorization` header or the `X-Amz-*` query; `None` where there is neither.
    ///
    /// Both at once are refused: which of the two was meant is not to be guessed (H06).
    pub fn find(request: &SignedRequest<'_>) -> Result<Option<Self>, S3Error> {
        // Bytes that are no text can only be a wrong signature (H05).
        let mut headers = request.headers.get_all("authorization").iter();
        let header = headers.next().map(http::HeaderValue::to_str).transpose();
        let header = header.map_err(|_| S3Error::SignatureDoesNotMatch)?;
        if headers.next().is_some() {
            return Err(S3Error::invalid("The header authorization is given more than once"));
        }
        let presigned = request.query.has("X-Amz-Algorithm")
            || request.query.has("X-Amz-Signature")
            || request.query.has("X-Amz-Credential");
        match (header, presigned) {
            (None, false) => Ok(None),
            (Some(_), true) => Err(S3Error::invalid("Only one way of signing is allowed in a request")),
            (Some(header), false) => Self::from_header(request, header).map(Some),
            (None, true) => Self::from_query(request).map(Some),
        }
    }

    fn from_header(request: &SignedRequest<'_>, header: &str) -> Result<Self, S3Error> {
        let fields = header
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with([' ', '\t']))
            .ok_or_else(|| S3Error::denied("Only AWS4-HMAC-SHA256 signatures are taken"))?;
        let field = |name: &str| {
            let mut found =
                fields.split(',').filter_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            match (found.next(), found.next()) {
                (Some(value), None) => Ok(value),
                _ => Err(S3Error::invalid(format!("The Authorization header needs {name} once"))),
            }
        };
        let credential = Credential::parse(field("Credential")?)?;
        let signature = Secret::new(field("Signature")?);
        let signed_headers = signed_headers(field("SignedHeaders")?)?;
        let date = match request.header("x-amz-date")? {
            Some(date) => AmzDate::parse(date)?,
            None => AmzDate::parse_http(
                request
                    .header("date")?
                    .ok_or_else(|| S3Error::denied("A signed request needs x-amz-date"))?,
            )?,
        };
        let hash = request
            .header("x-amz-content-sha256")?
            .ok_or_else(|| S3Error::invalid("A signed request needs x-amz-content-sha256"))?;
        let session_token = request.header("x-amz-security-token")?.map(Secret::new);
        Ok(Self {
            credential,
            date,
            lifetime: Lifetime::Skew,
            signed_headers,
            signature,
            session_token,
            signed_hash: hash.to_owned(),
            payload_hash: hash.to_owned(),
        })
    }

    fn from_query(request: &SignedRequest<'_>) -> Result<Self, S3Error> {
        let need = |name: &'static str| request.query.get(name).ok_or(S3Error::InvalidParameter(name));
        if need("X-Amz-Algorithm")? != ALGORITHM {
            return Err(S3Error::denied("Only AWS4-HMAC-SHA256 signatures are taken"));
        }
        let credential = Credential::parse(need("X-Amz-Credential")?)?;
        let date = AmzDate::parse(need("X-Amz-Date")?)?;
        let expires = need("X-Amz-Expires")?;
        let seconds = Some(expires)
            .filter(|text| text.len() <= 7 && text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .filter(|seconds| (1..=MAX_EXPIRY).contains(seconds))
            .ok_or(S3Error::InvalidParameter("X-Amz-Expires"))?;
        let signed_headers = signed_headers(need("X-Amz-SignedHeaders")?)?;
        let header_hash = request.header("x-amz-content-sha256")?;
        let is_signed = signed_headers.iter().any(|name| name == "x-amz-content-sha256");
        let query_hash = request.query.get("X-Amz-Content-Sha256");
        let signed_hash = query_hash.or(header_hash.filter(|_| is_signed)).unwrap_or(UNSIGNED_PAYLOAD);
        // A hash that was not signed still says how the body is framed.
        let payload_hash = query_hash.or(header_hash).unwrap_or(UNSIGNED_PAYLOAD);
        Ok(Self {
            credential,
            date,
            lifetime: Lifetime::Seconds(seconds),
            signature: Secret::new(need("X-Amz-Signature")?),
            session_token: request.query.get("X-Amz-Security-Token").map(Secret::new),
            signed_hash: signed_hash.to_owned(),
            payload_hash: payload_hash.to_owned(),
            signed_headers,
        })
    }

    /// Whose key is said to have signed.
    pub fn access_key_id(&self) -> &str {
        &self.credential.access_key_id
    }

    /// The user's token that came along.
    pub fn session_token(&self) -> Option<&Secret> {
        self.session_token.as_ref()
    }

    /// What the request says its body is: `x-amz-content-sha256`.
    pub fn payload_hash(&self) -> &str {
        &self.payload_hash
    }

    /// Checks what needs no secret: moment, region, and that nothing of weight stands outside of the signature.
    pub fn check(&self, request: &SignedRequest<'_>, regions: &Regions, now: i64) -> Result<(), S3Error> {
        self.check_lifetime(now)?;
        if self.credential.date != self.date.day() || !regions.take(&self.credential.region) {
            return Err(S3Error::SignatureDoesNotMatch);
        }
        let is_signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        let outside = request.headers.keys().map(http::HeaderName::as_str).find(|name| {
            let meant = name.starts_with("x-amz-") && *name != "x-amz-cf-id";
            let may_be_unsigned = self.lifetime != Lifetime::Skew && *name == "x-amz-content-sha256";
            meant && !may_be_unsigned && !is_signed(name)
        });
        match outside {
            Some(name) => Err(S3Error::denied(format!("The header {name} is not signed"))),
            None if !is_signed("host") => Err(S3Error::denied("The header host is not signed")),
            None => Ok(()),
        }
    }

    fn check_lifetime(&self, now: i64) -> Result<(), S3Error> {
        let age = now.saturating_sub(self.date.unix());
        match self.lifetime {
            _ if age < -MAX_SKEW => Err(S3Error::RequestTimeTooSkewed),
            Lifetime::Skew if age > MAX_SKEW => Err(S3Error::RequestTimeTooSkewed),
            Lifetime::Seconds(seconds) if age > seconds => Err(S3Error::denied("Request has expired")),
            Lifetime::Skew | Lifetime::Seconds(_) => Ok(()),
        }
    }

    /// Checks the signature against the secret. What comes back follows the signatures of a body's chunks.
    pub fn verify(&self, request: &SignedRequest<'_>, secret: &Secret) -> Result<ChunkSigner, S3Error> {
        let key = SigningKey::derive(secret, &self.credential);
        let without = (self.lifetime != Lifetime::Skew).then_some("X-Amz-Signature");
        for path in [PathForm::Encoded, PathForm::Sent] {
            let canonical = request.canonical(&self.signed_headers, &self.signed_hash, without, path)?;
            let text = string_to_sign(&self.date, &self.credential, &canonical);
            if key.signed(&text, self.signature.expose().as_bytes()) {
                let seed = self.signature.expose().to_owned();
                return Ok(ChunkSigner::new(key, self.date.clone(), &self.credential, seed));
            }
        }
        Err(S3Error::SignatureDoesNotMatch)
    }
}

/// The list `host;x-amz-date`: lower case and in order, as it is signed.
fn signed_headers(text: &str) -> Result<Vec<String>, S3Error> {
    let names: Vec<String> = text.split(';').map(str::to_ascii_lowercase).collect();
    let is_name = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if names.iter().all(is_name) { Ok(names) } else { Err(S3Error::SignatureDoesNotMatch) }
}
