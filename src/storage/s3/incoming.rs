//! From a request of HTTP to a signed operation with a body that is checked: the one way in for what serves the protocol.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, Uri};

use super::authenticate::{AccessKeys, Authenticated, Authority, Rules, authenticate};
use super::error::S3Error;
use super::hoisted::effective_headers;
use super::operation::Operation;
use super::payload::VerifiedBody;
use super::query::Query;
use super::signature::SignedRequest;

/// How the client addressed the request. Routers and proxies change it on the way; the signature is over what was sent.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// The URI as it came in, before any router took from its path.
    pub uri: &'a Uri,
    /// The path in front of the bucket, as it comes in: `/storage/v1/s3`.
    pub served: &'a str,
    /// The same as clients know it. It differs where a proxy takes from the path or adds to it.
    pub public: &'a str,
    /// The host as the client knows it.
    pub host: &'a str,
}

/// A request that may go on.
#[derive(Debug)]
pub enum Incoming<C, S> {
    /// It is signed.
    Signed(Box<Signed<C, S>>),
    /// A browser's form. Who signed it stands in its fields: read those in front of the file, then
    /// [`authenticate_form`](super::authenticate_form).
    Form {
        /// Into this bucket.
        bucket: String,
        /// As it comes.
        body: S,
    },
}

impl<C, S> Incoming<C, S> {
    /// The same with another body in place of this one, of which nothing has been read yet.
    pub fn with_body<T>(self, body: T) -> Incoming<C, T> {
        match self {
            Self::Signed(signed) => {
                let Signed { authority, operation, headers, body: empty, length } = *signed;
                let body = empty.with_source(body);
                Incoming::Signed(Box::new(Signed { authority, operation, headers, body, length }))
            }
            Self::Form { bucket, .. } => Incoming::Form { bucket, body },
        }
    }
}

/// An operation in somebody's name.
#[derive(Debug)]
pub struct Signed<C, S> {
    /// Who asks.
    pub authority: Authority<C>,
    /// What is asked.
    pub operation: Operation,
    /// The headers, with those of a presigned URL's query.
    pub headers: HeaderMap,
    /// Its content. Nothing of it may be committed before it ended regularly.
    pub body: VerifiedBody<S>,
    /// The length of the content, where the request says it.
    pub length: Option<u64>,
}

/// Finds out who asks what. `now` in Unix seconds.
pub async fn receive<K: AccessKeys, S>(
    parts: &Parts,
    address: Address<'_>,
    body: S,
    keys: &K,
    rules: &Rules,
    now: i64,
) -> Result<Incoming<K::Claims, S>, K::Error> {
    let path = address.uri.path();
    let inner = path
        .strip_prefix(address.served)
        .filter(|inner| inner.is_empty() || inner.starts_with('/'))
        .ok_or_else(|| S3Error::invalid("The path is not below the endpoint"))?;
    let query = Query::parse(address.uri.query())?;
    let headers = effective_headers(&query, &parts.headers)?;
    // A refusal of what is asked is told only to whom may ask.
    let operation = Operation::parse(&parts.method, inner, &query, &headers);
    let signed = parts.headers.contains_key(http::header::AUTHORIZATION) || query.has("X-Amz-Signature");
    if let (Ok(Operation::PostObject { bucket }), false) = (&operation, signed) {
        return Ok(Incoming::Form { bucket: bucket.clone(), body });
    }
    let sent = if address.public == address.served {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(format!("{}{inner}", address.public))
    };
    let (method, host) = (&parts.method, address.host);
    let request = SignedRequest { method, path: &sent, host, query: &query, headers: &parts.headers };
    let known = authenticate(&request, keys, rules, now).await?;
    let operation = operation?;
    let signed = open(known, operation, headers.into_owned(), body)?;
    Ok(Incoming::Signed(Box::new(signed)))
}

fn open<C, S>(
    known: Authenticated<C>,
    operation: Operation,
    headers: HeaderMap,
    body: S,
) -> Result<Signed<C, S>, S3Error> {
    if matches!(operation, Operation::PostObject { .. }) {
        return Err(S3Error::invalid("A form is signed by its fields"));
    }
    let decoder = known.decoder(&headers, operation.body_is_digested())?;
    let length = decoder.expected();
    let body = VerifiedBody::new(body, decoder);
    Ok(Signed { authority: known.authority, operation, headers, body, length })
}
