//! Lists of objects and of uploads that are under way, of what the caller sees.

use std::collections::BTreeSet;

use chrono::DateTime;

use super::answer::xml;
use super::error::S3Error;
use super::operation::{ListObjects, ListUploads};
use super::service::{Answer, Call};
use super::xml::{ListedObject, ListedUpload, ObjectList, ObjectListV2, UploadList};
use crate::storage::error::StorageError;
use crate::storage::model::key::LONGEST_KEY;
use crate::storage::model::listing::{After, Entry, ListOrder, Listing};
use crate::storage::model::object::StoredMetadata;
use crate::storage::store::objects::At;
use crate::storage::store::{listing, s3_uploads};

/// A page of a bucket.
struct Found {
    objects: Vec<ListedObject>,
    prefixes: Vec<String>,
    /// Where the next page begins.
    next: Option<After>,
}

/// `ListObjects`
pub(super) async fn objects(call: &Call, bucket: &str, asked: &ListObjects) -> Answer {
    let after = asked.after.clone().map(|key| After { key, time: None });
    let Found { objects, prefixes, next } = find(call, bucket, asked, after).await?;
    let next = next.map(|next| next.key);
    Ok(xml(&ObjectList { bucket, asked, objects, prefixes, next }))
}

/// `ListObjectsV2`
pub(super) async fn objects_v2(
    call: &Call,
    bucket: &str,
    (asked, continuation): (&ListObjects, Option<&str>),
) -> Answer {
    let after = match continuation {
        Some(token) => {
            let read = After::of_cursor(token).map(|(after, _)| after);
            Some(read.ok_or(S3Error::InvalidParameter("continuation-token"))?)
        }
        None => asked.after.clone().map(|key| After { key, time: None }),
    };
    let Found { objects, prefixes, next } = find(call, bucket, asked, after).await?;
    let next = next.map(|next| next.to_cursor(ListOrder::default()));
    Ok(xml(&ObjectListV2 { bucket, asked, continuation, objects, prefixes, next }))
}

async fn find(
    call: &Call,
    bucket: &str,
    asked: &ListObjects,
    after: Option<After>,
) -> Result<Found, StorageError> {
    call.state.bucket(bucket).await?;
    let delimiter = asked.delimiter.as_deref();
    let behind = after.as_ref().map_or("", |after| after.key.as_str());
    let texts = [&asked.prefix, delimiter.unwrap_or_default(), behind];
    if texts.iter().any(|text| text.len() > LONGEST_KEY) {
        return Err(S3Error::invalid("A list is asked for with a text that is longer than any key").into());
    }
    if texts.iter().any(|text| text.contains('\0')) {
        return Err(S3Error::invalid("A list is asked for with a character that no key has").into());
    }
    let limit = u64::from(asked.page.limit);
    if limit == 0 {
        return Ok(Found { objects: Vec::new(), prefixes: Vec::new(), next: None });
    }
    let order = ListOrder::default();
    let wanted =
        Listing { bucket, prefix: &asked.prefix, delimiter, search: None, order, after, offset: 0, limit };
    let (entries, is_more) = listing::page(&call.state.callers, &call.acting, &wanted).await?;
    let next = entries.last().filter(|_| is_more).map(|last| last.position(order));
    let (folders, files): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.is_folder);
    let prefixes = folders.into_iter().map(|folder| folder.key).collect();
    Ok(Found { objects: files.into_iter().map(listed).collect(), prefixes, next })
}

fn listed(entry: Entry) -> ListedObject {
    let stored = StoredMetadata::read(entry.metadata.as_ref());
    let modified = stored.written_at().or(entry.updated_at).or(entry.created_at);
    ListedObject {
        key: entry.key,
        modified: modified.unwrap_or(DateTime::UNIX_EPOCH),
        etag: stored.e_tag.trim_matches('"').to_owned(),
        size: stored.size,
        owner: None,
    }
}

/// `ListMultipartUploads`. A prefix may be told on two pages, if uploads below it are on both.
pub(super) async fn uploads(call: &Call, bucket: &str, asked: &ListUploads) -> Answer {
    call.state.bucket(bucket).await?;
    let limit = usize::from(asked.page.limit);
    let behind = asked.key_marker.as_deref().unwrap_or_default();
    let behind = (behind, asked.upload_id_marker.as_deref());
    let at = At { bucket, name: &asked.prefix };
    let most = i64::from(asked.page.limit) + 1;
    let mut found = s3_uploads::list(&call.state.callers, &call.acting, at, behind, most).await?;
    let is_more = limit > 0 && found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| is_more).map(|last| (last.key.clone(), last.id.clone()));
    let mut prefixes = BTreeSet::new();
    found.retain(|upload| match folder(&upload.key, asked) {
        Some(folder) => {
            prefixes.insert(folder.to_owned());
            false
        }
        None => true,
    });
    let uploads = found.into_iter().map(|upload| ListedUpload {
        key: upload.key,
        upload_id: upload.id,
        initiated: upload.created_at,
    });
    let (uploads, prefixes) = (uploads.collect(), prefixes.into_iter().collect());
    Ok(xml(&UploadList { bucket, asked, uploads, prefixes, next }))
}

/// What a key has in common with others, up to the delimiter behind the prefix.
fn folder<'a>(key: &'a str, asked: &ListUploads) -> Option<&'a str> {
    let delimiter = asked.delimiter.as_deref()?;
    let at = key.get(asked.prefix.len()..)?.find(delimiter)?;
    key.get(..asked.prefix.len() + at + delimiter.len())
}
