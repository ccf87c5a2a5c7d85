//! Buckets: listed, made, looked at and removed, all as the policies on `storage.buckets` allow.

use axum::response::Response;
use chrono::{DateTime, Utc};
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;

use super::answer::{empty, xml};
use super::service::{Answer, Call, Content};
use super::xml::{self as documents, BucketLocation, BucketVersioning, Buckets};
use crate::storage::error::StorageError;
use crate::storage::flow::serve::insert;
use crate::storage::model::key::BucketName;
use crate::storage::store::buckets::{self, BucketColumn, BucketList, NewBucket};
use crate::storage::store::quotas::{self, QuotaOf};

/// The most buckets of one answer.
const MOST: i64 = 10_000;

const REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");

#[derive(Deserialize)]
struct Row {
    id: String,
    created_at: Option<DateTime<Utc>>,
}

/// `ListBuckets`
pub(super) async fn list(call: &Call) -> Answer {
    let wanted =
        BucketList { search: None, column: BucketColumn::Id, descending: false, limit: MOST, offset: 0 };
    let rows = buckets::list(&call.state.callers, &call.acting, &wanted, false).await?;
    let rows: Vec<Row> = serde_json::from_value(rows).map_err(|_| StorageError::Internal)?;
    let buckets = rows.into_iter().map(|row| (row.id, row.created_at.unwrap_or(DateTime::UNIX_EPOCH)));
    let caller = &call.acting.caller;
    let owner = caller.subject.as_deref().unwrap_or(&caller.role).to_owned();
    Ok(xml(&Buckets { owner, buckets: buckets.collect() }))
}

/// `CreateBucket`
pub(super) async fn create(call: &Call, name: &str, public: bool, content: Content) -> Answer {
    let name = BucketName::parse(name).map_err(|_| StorageError::InvalidBucketName)?;
    // There is one region, whatever clients call it.
    documents::parse_create(&call.document(content, documents::MAX_BODY).await?)?;
    let owner = call.owner();
    let bucket = NewBucket {
        id: name.as_str(),
        name: name.as_str(),
        owner: owner.as_deref(),
        public,
        file_size_limit: None,
        allowed_mime_types: None,
    };
    buckets::create(&call.state.callers, &call.acting, &bucket).await?;
    let mut headers = HeaderMap::new();
    insert(&mut headers, LOCATION, &format!("/{}", name.as_str()));
    Ok(empty(StatusCode::OK, headers))
}

/// `HeadBucket`
pub(super) async fn head(call: &Call, bucket: &str) -> Answer {
    let mut response = seen(call, bucket, empty(StatusCode::OK, HeaderMap::new())).await?;
    insert(response.headers_mut(), REGION, &call.state.config.s3_protocol.region);
    Ok(response)
}

/// `DeleteBucket`
pub(super) async fn delete(call: &Call, bucket: &str) -> Answer {
    buckets::remove(&call.state.callers, &call.acting, bucket).await?;
    quotas::set(&call.state.pool, (QuotaOf::Bucket, bucket), None).await?;
    // Parts of uploads that were under way.
    call.state.litter.notify_one();
    Ok(empty(StatusCode::NO_CONTENT, HeaderMap::new()))
}

/// `GetBucketLocation`
pub(super) async fn location(call: &Call, bucket: &str) -> Answer {
    let region = call.state.config.s3_protocol.region.clone();
    seen(call, bucket, xml(&BucketLocation { region })).await
}

/// `GetBucketVersioning`
pub(super) async fn versioning(call: &Call, bucket: &str) -> Answer {
    seen(call, bucket, xml(&BucketVersioning)).await
}

/// The answer, if the caller sees the bucket.
async fn seen(call: &Call, bucket: &str, response: Response) -> Answer {
    buckets::show(&call.state.callers, &call.acting, bucket).await?;
    Ok(response)
}
