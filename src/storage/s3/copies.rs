//! Copies: of an object, and of a part out of one. The source is what the caller sees of it.

use chrono::DateTime;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

use super::answer::xml;
use super::copy_source::{CopyRange, CopySource};
use super::error::S3Error;
use super::multipart::find;
use super::objects::{may_replace, options};
use super::operation::{Location, UploadAt};
use super::parts;
use super::service::{Answer, Call};
use super::xml::{CopiedObject, CopiedPart};
use crate::storage::error::StorageError;
use crate::storage::flow::copy::Copy;
use crate::storage::flow::download::Readable;
use crate::storage::model::conditions::{Verdict, verdict};
use crate::storage::model::object::{NO_CACHE, UNKNOWN_TYPE};
use crate::storage::model::options::UploadOptions;

/// Conditions on the source, and what they are called elsewhere.
const CONDITIONS: [(&str, HeaderName); 4] = [
    ("x-amz-copy-source-if-match", IF_MATCH),
    ("x-amz-copy-source-if-none-match", IF_NONE_MATCH),
    ("x-amz-copy-source-if-modified-since", IF_MODIFIED_SINCE),
    ("x-amz-copy-source-if-unmodified-since", IF_UNMODIFIED_SINCE),
];

/// `CopyObject`
pub(super) async fn object(call: &Call, at: &Location, from: &CopySource, replaces: bool) -> Answer {
    let (source, key) = (source(call, from).await?, call.key(&at.key)?);
    if !replaces && from.bucket == at.bucket && source.name == key.as_str() {
        let reason =
            "This copy request is illegal: it copies an object to itself without changing its metadata";
        return Err(S3Error::invalid(reason).into());
    }
    let options = if replaces { replaced(options(&call.headers)?) } else { UploadOptions::default() };
    let copy = Copy {
        to: (at.bucket.clone(), key),
        upsert: may_replace(&call.headers)?,
        options,
        with_user_metadata: !replaces,
    };
    let copied = call.state.copy(&call.acting, &source, copy).await.map_err(|error| match error {
        StorageError::AlreadyExists => S3Error::PreconditionFailed.into(),
        error => error,
    })?;
    let modified = copied.metadata.written_at().unwrap_or(DateTime::UNIX_EPOCH);
    Ok(xml(&CopiedObject { etag: copied.metadata.e_tag, modified }))
}

/// What is not said anew is as if it had never been said.
fn replaced(options: UploadOptions) -> UploadOptions {
    UploadOptions {
        content_type: options.content_type.or_else(|| Some(UNKNOWN_TYPE.to_owned())),
        cache_control: options.cache_control.or_else(|| Some(NO_CACHE.to_owned())),
        ..options
    }
}

/// `UploadPartCopy`
pub(super) async fn part(
    call: &Call,
    (at, number): (&UploadAt, u16),
    (from, range): (&CopySource, Option<CopyRange>),
) -> Answer {
    let source = source(call, from).await?;
    let size = source.stored().size;
    let range = match range {
        Some(range) if range.last >= size => return Err(StorageError::InvalidRange),
        Some(range) => range.first..range.last + 1,
        None => 0..size,
    };
    let known = find(call, at, Some(range.end - range.start)).await?;
    let bytes = call.state.bytes(&source, range).await?.ok_or(StorageError::BytesMissing)?;
    let part = parts::store(call, (at, number), &known, bytes).await?;
    let now = DateTime::from_timestamp_millis(call.state.clock.unix_millis());
    let modified = now.unwrap_or(DateTime::UNIX_EPOCH);
    Ok(xml(&CopiedPart(CopiedObject { etag: part.md5, modified })))
}

/// The source, if the caller sees it and it is as the conditions say.
async fn source(call: &Call, from: &CopySource) -> Result<Readable, StorageError> {
    let key = call.key(&from.key)?;
    let source = call.state.copied(&call.acting, (&from.bucket, &key)).await?;
    let conditions: HeaderMap = CONDITIONS
        .into_iter()
        .filter_map(|(name, standard)| Some((standard, call.headers.get(name)?.clone())))
        .collect();
    match verdict(&conditions, &source.stored().e_tag, source.last_modified()) {
        Verdict::Serve => Ok(source),
        Verdict::NotModified | Verdict::Failed => Err(S3Error::PreconditionFailed.into()),
    }
}
