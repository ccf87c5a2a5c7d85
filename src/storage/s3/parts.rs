//! Single parts of an upload: stored and listed.

use bytes::Bytes;
use futures_util::Stream;
use http::StatusCode;

use super::answer::{empty, written, xml};
use super::error::S3Error;
use super::multipart::find;
use super::operation::{ListParts, UploadAt};
use super::service::{Answer, Call, Content};
use super::xml::{ListedPart, PartList};
use crate::storage::blobs::Written;
use crate::storage::error::StorageError;
use crate::storage::flow::upload::Target;
use crate::storage::store::s3_uploads::{self, Upload};

/// `UploadPart`
pub(super) async fn put(call: &Call, at: &UploadAt, number: u16, content: Content) -> Answer {
    let known = find(call, at, content.length).await?;
    let there = s3_uploads::parts(&call.state.pool, &at.upload_id, number.saturating_sub(1), 1).await?;
    let replaced = there.first().filter(|part| part.number == i32::from(number)).map_or(0, |part| part.size);
    let more = content.length.unwrap_or(0).saturating_sub(u64::try_from(replaced).unwrap_or(0));
    call.state.has_room(None, &known.1, more).await?;
    let receipt = content.body.receipt();
    let part = store(call, (at, number), &known, content.body).await?;
    Ok(empty(StatusCode::OK, written(&part.md5, &receipt)))
}

/// Stores the bytes of a part, in place of the one with its number.
pub(super) async fn store<S, E>(
    call: &Call,
    (at, number): (&UploadAt, u16),
    (_, target): &(Upload, Target),
    body: S,
) -> Result<Written, StorageError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    StorageError: From<E>,
{
    let limit = call.state.limit(target);
    // The first bytes of the first part are those of the object.
    let looked_at = (number == 1).then_some(&target.bucket);
    let staged = call.state.stage_part(looked_at, body, limit).await?;
    let stored = (staged.version(), staged.written());
    s3_uploads::add_part(&call.state.pool, (&at.upload_id, number), stored, limit).await?;
    let part = staged.written().clone();
    staged.keep();
    // There may have been another one.
    call.state.litter.notify_one();
    Ok(part)
}

/// `ListParts`
pub(super) async fn list(call: &Call, upload: &UploadAt, asked: ListParts) -> Answer {
    find(call, upload, None).await?;
    let limit = usize::from(asked.page.limit);
    let most = i64::from(asked.page.limit) + 1;
    let mut found = s3_uploads::parts(&call.state.pool, &upload.upload_id, asked.after, most).await?;
    let more = limit > 0 && found.len() > limit;
    found.truncate(limit);
    let parts = found.into_iter().map(|part| {
        Ok(ListedPart {
            number: u16::try_from(part.number).map_err(|_| S3Error::InvalidPart)?,
            modified: part.created_at,
            etag: part.etag,
            size: u64::try_from(part.size).map_err(|_| S3Error::InvalidPart)?,
        })
    });
    let parts = parts.collect::<Result<_, S3Error>>()?;
    Ok(xml(&PartList { upload, asked, parts, more }))
}
