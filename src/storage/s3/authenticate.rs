//! Who asks: the signature of a request or form, and the keys it may be made with.

use std::future::Future;

use http::HeaderMap;

use super::error::S3Error;
use super::payload::{Decoder, PayloadHash};
use super::signature::{AcceptedForm, ChunkSigner, Claim, Form, FormClaim, Regions, SignedRequest};
use crate::kernel::secret::Secret;

/// Where long-lived access keys are kept.
pub trait AccessKeys: Sync {
    /// What a key may do: the claims of its role.
    type Claims: Send;
    /// Why the store cannot say.
    type Error: From<S3Error>;

    /// The key with this id; `None` where there is none.
    fn find(
        &self,
        access_key_id: &str,
    ) -> impl Future<Output = Result<Option<AccessKey<Self::Claims>>, Self::Error>> + Send;
}

/// A long-lived key.
#[derive(Debug, Clone)]
pub struct AccessKey<C> {
    /// What signatures are made with.
    pub secret: Secret,
    /// What its holder may do.
    pub claims: C,
}

/// What is configured.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The regions that are taken.
    pub regions: Regions,
    /// The access key id that comes with a user's token.
    pub tenant_id: String,
    /// The secret of [`Rules::tenant_id`]. It is public; what counts is the token.
    pub anon_key: Secret,
}

/// In whose name an operation runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority<C> {
    /// The holder of a long-lived key.
    Key {
        /// Its id, for the audit.
        access_key_id: String,
        /// What it may do.
        claims: C,
    },
    /// A user. The token is **not verified yet**: the signature only proves that the sender holds it.
    User {
        /// The access token of the user's session.
        token: Secret,
    },
}

/// A request whose signature holds.
#[derive(Debug)]
pub struct Authenticated<C> {
    /// Who asks.
    pub authority: Authority<C>,
    payload: PayloadHash,
    signer: ChunkSigner,
}

impl<C> Authenticated<C> {
    /// What takes the body out of its framing and checks it.
    ///
    /// `digested` says whether checksums in the headers are of this body; see
    /// [`Operation::body_is_digested`](super::Operation::body_is_digested).
    pub fn decoder(&self, headers: &HeaderMap, digested: bool) -> Result<Decoder, S3Error> {
        Decoder::new(&self.payload, self.signer.clone(), headers, digested)
    }
}

/// A form whose signature holds and that keeps to its policy.
#[derive(Debug, Clone)]
pub struct AuthenticatedForm<C> {
    /// Who asks.
    pub authority: Authority<C>,
    /// What is asked.
    pub form: AcceptedForm,
}

/// Finds out who signed the request. `now` in Unix seconds.
pub async fn authenticate<K: AccessKeys>(
    request: &SignedRequest<'_>,
    keys: &K,
    rules: &Rules,
    now: i64,
) -> Result<Authenticated<K::Claims>, K::Error> {
    let claim = Claim::find(request)?.ok_or_else(|| S3Error::denied("The request is not signed"))?;
    claim.check(request, &rules.regions, now)?;
    let (secret, authority) = resolve(claim.access_key_id(), claim.session_token(), keys, rules).await?;
    let signer = claim.verify(request, &secret)?;
    let payload = PayloadHash::parse(claim.payload_hash())?;
    Ok(Authenticated { authority, payload, signer })
}

/// Finds out who signed the form's policy, and holds the form against it. `now` in Unix seconds.
pub async fn authenticate_form<K: AccessKeys>(
    form: Form,
    bucket: &str,
    keys: &K,
    rules: &Rules,
    now: i64,
) -> Result<AuthenticatedForm<K::Claims>, K::Error> {
    let claim = FormClaim::find(&form)?.ok_or_else(|| S3Error::denied("The form is not signed"))?;
    claim.check(&rules.regions, now)?;
    let (secret, authority) = resolve(claim.access_key_id(), claim.session_token(), keys, rules).await?;
    let form = claim.verify(&secret)?.accept(form, bucket, now)?;
    Ok(AuthenticatedForm { authority, form })
}

/// With a token the key is the tenant's; without one it is a long-lived key.
async fn resolve<K: AccessKeys>(
    access_key_id: &str,
    session_token: Option<&Secret>,
    keys: &K,
    rules: &Rules,
) -> Result<(Secret, Authority<K::Claims>), K::Error> {
    if let Some(token) = session_token {
        // An empty secret would be one that everybody knows.
        if access_key_id != rules.tenant_id || rules.anon_key.is_empty() || token.is_empty() {
            return Err(S3Error::InvalidAccessKeyId.into());
        }
        return Ok((rules.anon_key.clone(), Authority::User { token: token.clone() }));
    }
    let key = keys.find(access_key_id).await?.ok_or(S3Error::InvalidAccessKeyId)?;
    if key.secret.is_empty() {
        return Err(S3Error::InvalidAccessKeyId.into());
    }
    let authority = Authority::Key { access_key_id: access_key_id.to_owned(), claims: key.claims };
    Ok((key.secret, authority))
}
