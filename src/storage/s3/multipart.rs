//! Uploads in parts: begun, completed, given up. The parts are blobs of their own until their bytes become the object's.
//!
//! An upload is for whoever began it (`model::begun_by`), and for servers. Whether the object may be written is asked of the
//! policies with every request.

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use http::{HeaderMap, StatusCode};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{empty, xml};
use super::error::S3Error;
use super::objects::options;
use super::operation::{Location, UploadAt};
use super::payload::{Algorithm, Checksum, Decoder, VerifiedBody};
use super::service::{Answer, Call, Content};
use super::xml::{self as documents, CompletedPart, CompletedUpload, NewUpload};
use crate::kernel::db::pool;
use crate::storage::blobs::{Blobs, ReadError};
use crate::storage::error::StorageError;
use crate::storage::flow::upload::Target;
use crate::storage::model::options::UploadOptions;
use crate::storage::store::objects::At;
use crate::storage::store::s3_uploads::{self, Part, Upload};

/// The least bytes of a part that is not the last.
pub const MIN_PART: u64 = 5 * 1024 * 1024;
/// The most parts of an upload.
const MOST_PARTS: i64 = 10_000;

/// `CreateMultipartUpload`
pub(super) async fn create(call: &Call, at: &Location) -> Answer {
    let mut target = Target {
        bucket: call.state.bucket(&at.bucket).await?,
        key: call.key(&at.key)?,
        owner: call.owner(),
        options: options(&call.headers)?,
        upsert: true,
        replaceable: None,
    };
    call.state.admit(Some(&call.acting), &mut target, None).await?;
    let id = hex::encode(call.state.random.bytes::<24>());
    let options = &target.options;
    let metadata = json!({
        "mimetype": options.mime(),
        "cacheControl": options.caching(),
        "xRobotsTag": options.robots,
        "contentEncoding": options.content_encoding,
    });
    let upload = s3_uploads::NewUpload {
        id: &id,
        at: At { bucket: &target.bucket.id, name: target.key.as_str() },
        version: call.state.new_version(),
        owner: target.owner.as_deref(),
        begun_by: &call.acting.begun_by(),
        metadata: &metadata,
        user_metadata: options.user_metadata.as_ref(),
    };
    s3_uploads::begin(&call.state.pool, &upload).await?;
    Ok(xml(&NewUpload { bucket: at.bucket.clone(), key: at.key.clone(), upload_id: id }))
}

/// The upload that a request is about, and what it is to become; the caller may do that.
pub(super) async fn find(
    call: &Call,
    at: &UploadAt,
    announced: Option<u64>,
) -> Result<(Upload, Target), StorageError> {
    let state = &call.state;
    let key = call.key(&at.at.key)?;
    if !at.upload_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(S3Error::NoSuchUpload.into());
    }
    let lifetime = state.config.s3_protocol.upload_lifetime.get();
    let upload = s3_uploads::find(&state.pool, &at.upload_id, lifetime).await?;
    let is_own = state.is_server(&call.acting)
        || call.acting.begun_by().may_go_on(upload.beginner(), call.owner().as_deref());
    if !is_own || upload.bucket_id != at.at.bucket || upload.key != key.as_str() {
        return Err(S3Error::NoSuchUpload.into());
    }
    let text =
        |name: &str| upload.metadata.as_ref().and_then(|metadata| metadata.get(name)).and_then(Value::as_str);
    let mut target = Target {
        bucket: state.bucket(&at.at.bucket).await?,
        key,
        owner: upload.owner_id.clone(),
        options: UploadOptions {
            content_type: text("mimetype").map(str::to_owned),
            cache_control: text("cacheControl").map(str::to_owned),
            user_metadata: upload.user_metadata.as_ref().map(|json| json.0.clone()),
            robots: text("xRobotsTag").map(str::to_owned),
            content_encoding: text("contentEncoding").map(str::to_owned),
        },
        upsert: true,
        replaceable: None,
    };
    state.admit(Some(&call.acting), &mut target, announced).await?;
    Ok((upload, target))
}

/// `CompleteMultipartUpload`: the bytes of the parts, one behind the other, are the object's.
pub(super) async fn complete(call: &Call, at: &UploadAt, content: Content) -> Answer {
    let told = documents::parse_complete(&call.document(content, documents::MAX_BODY).await?)?;
    find(call, at, None).await?;
    let there = s3_uploads::parts(&call.state.pool, &at.upload_id, 0, MOST_PARTS).await?;
    let chosen = choose(&told, there)?;
    let size = chosen.iter().map(|part| part.size).sum();
    // Asked again, now that the size is known.
    let (_, mut target) = find(call, at, Some(size)).await?;
    target.upsert = super::objects::may_replace(&call.headers)?;
    let etag = etag(&chosen)?;
    let bytes = Box::pin(joined(call.state.blobs.clone(), chosen));
    let bytes = VerifiedBody::new(bytes, Decoder::of_plain(of_whole(&call.headers)?));
    let receipt = bytes.receipt();
    let staged = call.state.stage(&target, bytes).await?.tagged(&etag);
    // The parts count no more, and then the object does.
    let mut transaction = pool::begin(&call.state.pool).await?;
    if !s3_uploads::remove(&mut *transaction, &at.upload_id).await? {
        return Err(S3Error::NoSuchUpload.into());
    }
    let placed = call.state.place(transaction, &target, staged).await;
    placed.map_err(|error| match error {
        StorageError::AlreadyExists => S3Error::PreconditionFailed.into(),
        error => error,
    })?;
    call.state.litter.notify_one();
    Ok(xml(&CompletedUpload {
        location: format!("{}/{}/{}", call.endpoint, at.at.bucket, at.at.key),
        bucket: at.at.bucket.clone(),
        key: at.at.key.clone(),
        etag,
        checksum: receipt.checksums().and_then(|checksums| checksums.first()).cloned(),
    }))
}

/// The checksums of the whole object that a request tells. Those of the other type are of the checksums of its parts, which
/// were looked at as they came.
fn of_whole(headers: &HeaderMap) -> Result<Vec<Checksum>, S3Error> {
    if headers.get("x-amz-checksum-type").is_none_or(|value| value != "FULL_OBJECT") {
        return Ok(Vec::new());
    }
    let mut told = Checksum::declared(headers)?;
    // That one is of the document.
    told.retain(|checksum| checksum.algorithm != Algorithm::Md5);
    Ok(told)
}

/// `AbortMultipartUpload`
pub(super) async fn abort(call: &Call, at: &UploadAt) -> Answer {
    find(call, at, None).await?;
    s3_uploads::remove(&call.state.pool, &at.upload_id).await?;
    call.state.litter.notify_one();
    Ok(empty(StatusCode::NO_CONTENT, HeaderMap::new()))
}

/// A part that goes into the object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chosen {
    version: Uuid,
    size: u64,
    md5: String,
}

/// The parts that were told, as they are there: all of them, unchanged, and large enough.
fn choose(told: &[CompletedPart], there: Vec<Part>) -> Result<Vec<Chosen>, S3Error> {
    let mut there = there.into_iter().peekable();
    let mut chosen = Vec::with_capacity(told.len());
    for wanted in told {
        while there.next_if(|part| part.number < i32::from(wanted.number)).is_some() {}
        let part = there.next_if(|part| part.number == i32::from(wanted.number));
        let part = part.filter(|part| part.etag == wanted.etag).ok_or(S3Error::InvalidPart)?;
        let version = Uuid::try_parse(&part.version).map_err(|_| S3Error::InvalidPart)?;
        let size = u64::try_from(part.size).map_err(|_| S3Error::InvalidPart)?;
        chosen.push(Chosen { version, size, md5: part.etag });
    }
    let small = chosen.iter().rev().skip(1).any(|part| part.size < MIN_PART);
    if small { Err(S3Error::EntityTooSmall) } else { Ok(chosen) }
}

/// The entity tag of an object in parts: of their digests, and how many there are.
fn etag(parts: &[Chosen]) -> Result<String, S3Error> {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(hex::decode(&part.md5).map_err(|_| S3Error::InvalidPart)?);
    }
    Ok(format!("{}-{}", hex::encode(digest.finalize()), parts.len()))
}

/// The bytes of all parts. Each is opened when it is its turn.
fn joined(blobs: Blobs, parts: Vec<Chosen>) -> impl Stream<Item = Result<Bytes, StorageError>> + Send {
    stream::iter(parts)
        .then(move |part| {
            let blobs = blobs.clone();
            async move {
                match blobs.read(part.version, part.size, 0..part.size).await {
                    Ok(bytes) => Ok(bytes.map_err(StorageError::from)),
                    // Somebody else completed it or gave it up meanwhile.
                    Err(ReadError::Missing) => Err(S3Error::NoSuchUpload.into()),
                    Err(error) => Err(StorageError::from(error)),
                }
            }
        })
        .try_flatten()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    const LARGE: i64 = 5 * 1024 * 1024;

    fn part(number: i32, size: i64, etag: &str) -> Part {
        let version = Uuid::nil().to_string();
        Part { number, size, etag: etag.into(), version, created_at: DateTime::UNIX_EPOCH }
    }

    fn told(parts: &[(u16, &str)]) -> Vec<CompletedPart> {
        let told = |&(number, etag): &(u16, &str)| CompletedPart {
            number,
            etag: etag.into(),
            checksums: Vec::new(),
        };
        parts.iter().map(told).collect()
    }

    #[test]
    fn an_object_is_made_of_parts_that_are_there_and_large_enough() {
        let there = || vec![part(1, LARGE, "a"), part(3, LARGE, "c"), part(4, 1, "d"), part(7, LARGE, "g")];
        let table = [
            (told(&[(1, "a"), (3, "c"), (4, "d")]), Ok(3)),
            (told(&[(4, "d")]), Ok(1)),
            (told(&[(1, "a"), (7, "g")]), Ok(2)),
            (told(&[(1, "a"), (2, "b")]), Err(S3Error::InvalidPart)),
            (told(&[(1, "b")]), Err(S3Error::InvalidPart)),
            (told(&[(8, "h")]), Err(S3Error::InvalidPart)),
            (told(&[(4, "d"), (7, "g")]), Err(S3Error::EntityTooSmall)),
        ];
        for (told, expected) in table {
            assert_eq!(choose(&told, there()).map(|chosen| chosen.len()), expected, "{told:?}");
        }
    }

    #[test]
    fn the_entity_tag_is_of_the_digests() {
        let chosen = |md5: &str| Chosen { version: Uuid::nil(), size: 0, md5: md5.to_owned() };
        let empty = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(etag(&[chosen(empty)]).unwrap(), "59adb24ef3cdbe0297f05b395827453f-1");
        assert!(etag(&[chosen("x")]).is_err());
    }
}
