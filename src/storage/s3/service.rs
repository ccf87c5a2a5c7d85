//! The service behind the protocol: from a request to an answer. Who may do what is decided by the policies, as everywhere.

use axum::body::{Body, BodyDataStream};
use axum::extract::{OriginalUri, State};
use axum::response::Response;
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use url::Url;

use super::authenticate::Authority;
use super::error::S3Error;
use super::incoming::{Address, Incoming, receive};
use super::keys::{Keys, holder};
use super::operation::Operation;
use super::payload::{BodyError, VerifiedBody};
use super::{answer, buckets, copies, form, listings, multipart, objects, parts};
use crate::kernel::identity::Claims;
use crate::storage::error::StorageError;
use crate::storage::http::request::{acting, context};
use crate::storage::model::key::ObjectKey;
use crate::storage::state::StorageState;
use crate::storage::store::caller::Acting;

/// Where the protocol is, below the service.
const PREFIX: &str = "/s3";
/// What stands for a folder without anything in it.
const PLACEHOLDER: &str = ".emptyFolderPlaceholder";

/// What an operation comes to.
pub(super) type Answer = Result<Response, StorageError>;

/// A request that somebody may make, without its body.
pub(super) struct Call {
    pub(super) state: StorageState,
    /// In whose name, and what.
    pub(super) acting: Acting,
    /// The headers, with those of a presigned URL.
    pub(super) headers: HeaderMap,
    /// Whether the right to ask is in the URL, so that a browser can follow it.
    pub(super) is_presigned: bool,
    /// The URL of the protocol as clients know it.
    pub(super) endpoint: String,
}

/// The content of a request.
pub(super) struct Content {
    pub(super) body: VerifiedBody<BodyDataStream>,
    /// Where the request says it.
    pub(super) length: Option<u64>,
}

/// Everything below `/s3`.
pub(in crate::storage) async fn serve(
    State(state): State<StorageState>,
    OriginalUri(uri): OriginalUri,
    request: Request<Body>,
) -> Response {
    let is_head = request.method() == Method::HEAD;
    match handle(&state, &uri, request).await {
        Ok(response) => response,
        Err(error) => answer::refusal(&error, uri.path(), is_head),
    }
}

async fn handle(state: &StorageState, uri: &Uri, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let places = Places::of(state, uri, &parts)?;
    let signed = match come_in(state, uri, &places, &parts).await?.with_body(body.into_data_stream()) {
        Incoming::Form { bucket, body } => {
            return Box::pin(form::post(state, places.endpoint(), &bucket, (parts, body))).await;
        }
        Incoming::Signed(signed) => *signed,
    };
    let acting = state.s3_acting(signed.authority, name(&signed.operation), &parts).await?;
    let call = Call {
        state: state.clone(),
        acting,
        headers: signed.headers,
        is_presigned: !parts.headers.contains_key(http::header::AUTHORIZATION),
        endpoint: places.endpoint(),
    };
    let content = Content { body: signed.body, length: signed.length };
    // It is as large as the largest of all operations.
    Box::pin(dispatch(&call, signed.operation, content)).await
}

async fn dispatch(call: &Call, operation: Operation, content: Content) -> Answer {
    match operation {
        Operation::ListBuckets => buckets::list(call).await,
        Operation::CreateBucket { bucket, public } => buckets::create(call, &bucket, public, content).await,
        Operation::HeadBucket { bucket } => buckets::head(call, &bucket).await,
        Operation::DeleteBucket { bucket } => buckets::delete(call, &bucket).await,
        Operation::GetBucketLocation { bucket } => buckets::location(call, &bucket).await,
        Operation::GetBucketVersioning { bucket } => buckets::versioning(call, &bucket).await,
        Operation::ListObjects { bucket, list } => listings::objects(call, &bucket, &list).await,
        Operation::ListObjectsV2 { bucket, list, continuation } => {
            listings::objects_v2(call, &bucket, (&list, continuation.as_deref())).await
        }
        Operation::ListMultipartUploads { bucket, list } => listings::uploads(call, &bucket, &list).await,
        Operation::PostObject { .. } => Err(S3Error::invalid("A form is signed by its fields").into()),
        Operation::DeleteObjects { bucket } => objects::delete_many(call, &bucket, content).await,
        Operation::GetObject { at, overrides } => objects::get(call, &at, &overrides, false).await,
        Operation::HeadObject { at, overrides } => objects::get(call, &at, &overrides, true).await,
        Operation::GetObjectTagging { at } => objects::tagging(call, &at).await,
        Operation::PutObject { at } => objects::put(call, &at, content).await,
        Operation::CopyObject { at, source, replace_metadata } => {
            copies::object(call, &at, &source, replace_metadata).await
        }
        Operation::DeleteObject { at } => objects::delete(call, &at).await,
        Operation::CreateMultipartUpload { at } => multipart::create(call, &at).await,
        Operation::UploadPart { upload, part } => parts::put(call, &upload, part, content).await,
        Operation::UploadPartCopy { upload, part, source, range } => {
            copies::part(call, (&upload, part), (&source, range)).await
        }
        Operation::CompleteMultipartUpload { upload } => multipart::complete(call, &upload, content).await,
        Operation::AbortMultipartUpload { upload } => multipart::abort(call, &upload).await,
        Operation::ListParts { upload, list } => parts::list(call, &upload, list).await,
    }
}

/// Where the protocol is: as the request came here, and as its client may have signed it.
struct Places {
    served: String,
    /// Host and path, the likeliest first.
    signed: Vec<(String, String)>,
    scheme: String,
}

impl Places {
    fn of(state: &StorageState, uri: &Uri, parts: &Parts) -> Result<Self, StorageError> {
        let mount = uri.path().get(..context(parts)?.prefix_length).unwrap_or_default();
        let served = format!("{mount}{PREFIX}");
        let sent = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let sent = sent.or_else(|| uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default();
        let public = state.public_url.as_deref().and_then(|url| Url::parse(url).ok());
        let scheme = public.as_ref().map_or("http", Url::scheme).to_owned();
        let mut signed = vec![(sent.to_owned(), served.clone())];
        if let Some(public) = public {
            // A proxy may change the host, or take from the path, or neither.
            let path = format!("{}{served}", public.path().trim_end_matches('/'));
            let host = public.host_str().unwrap_or_default();
            let host = public.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            signed.insert(0, (host, path.clone()));
            signed.push((sent.to_owned(), path));
            let mut seen: Vec<(String, String)> = Vec::new();
            signed.retain(|place| {
                let is_new = !seen.contains(place);
                seen.push(place.clone());
                is_new
            });
        }
        Ok(Self { served, signed, scheme })
    }

    fn endpoint(&self) -> String {
        let (host, path) = self.signed.first().map_or(("", ""), |(host, path)| (host, path));
        format!("{}://{host}{path}", self.scheme)
    }
}

/// Who asks what. The signature is over the address that the client used, which is one of a few.
async fn come_in(
    state: &StorageState,
    uri: &Uri,
    places: &Places,
    parts: &Parts,
) -> Result<Incoming<Claims, ()>, StorageError> {
    let now = state.clock.unix_seconds();
    let mut refused = StorageError::S3(S3Error::SignatureDoesNotMatch);
    for (host, public) in &places.signed {
        let address = Address { uri, served: &places.served, public, host };
        match receive(parts, address, (), &Keys(state), &state.s3_rules, now).await {
            Err(error @ StorageError::S3(S3Error::SignatureDoesNotMatch)) => refused = error,
            known => return known,
        }
    }
    Err(refused)
}

impl StorageState {
    /// Whoever signed a request, doing `operation`.
    pub(super) async fn s3_acting(
        &self,
        authority: Authority<Claims>,
        operation: &'static str,
        parts: &Parts,
    ) -> Result<Acting, StorageError> {
        let caller = match authority {
            Authority::User { token } => self.bearer(token.expose(), &*context(parts)?).await?,
            Authority::Key { access_key_id, claims } => holder(&access_key_id, claims).into(),
        };
        if !self.identity.takes_role(&caller.role) {
            return Err(StorageError::AccessDenied("The role of this access key cannot be used".to_owned()));
        }
        Ok(acting(caller, operation, parts))
    }
}

impl Call {
    /// Where an object is, by its name in a request. A name that ends with a slash is that of a folder, which a placeholder
    /// holds open.
    pub(super) fn key(&self, text: &str) -> Result<ObjectKey, StorageError> {
        let name = if text.ends_with('/') { format!("{text}{PLACEHOLDER}") } else { text.to_owned() };
        // What is wrong is what was sent.
        self.state.key(&name).map_err(|_| StorageError::InvalidKey(text.to_owned()))
    }

    /// Whose a new object is to be.
    pub(super) fn owner(&self) -> Option<String> {
        self.acting.caller.subject.as_deref().map(str::to_owned)
    }

    /// Reads a body that is a document, at most `most` bytes.
    pub(super) async fn document(&self, content: Content, most: usize) -> Result<Vec<u8>, StorageError> {
        let (mut body, mut document) = (content.body, Vec::new());
        loop {
            let piece = tokio::time::timeout(self.state.body_pause, body.next()).await;
            let Some(piece) = piece.map_err(|_| StorageError::Aborted)? else { return Ok(document) };
            let piece = piece?;
            if document.len() + piece.len() > most {
                return Err(S3Error::EntityTooLarge.into());
            }
            document.extend_from_slice(&piece);
        }
    }
}

impl<E> From<BodyError<E>> for StorageError
where
    Self: From<E>,
{
    fn from(error: BodyError<E>) -> Self {
        match error {
            BodyError::Transport(error) => error.into(),
            BodyError::Refused(error) => error.into(),
        }
    }
}

/// What policies are told is being done (contract section 11).
fn name(operation: &Operation) -> &'static str {
    match operation {
        Operation::ListBuckets => "storage.s3.bucket.list",
        Operation::CreateBucket { .. } => "storage.s3.bucket.create",
        Operation::HeadBucket { .. } => "storage.s3.bucket.head",
        Operation::DeleteBucket { .. } => "storage.s3.bucket.delete",
        Operation::GetBucketLocation { .. } => "storage.s3.bucket.get_location",
        Operation::GetBucketVersioning { .. } => "storage.s3.bucket.get_versioning",
        Operation::ListObjects { .. } | Operation::ListObjectsV2 { .. } => "storage.s3.object.list",
        Operation::DeleteObjects { .. } => "storage.s3.object.delete_many",
        Operation::GetObject { .. } => "storage.s3.object.get",
        Operation::HeadObject { .. } => "storage.s3.object.info",
        Operation::GetObjectTagging { .. } => "storage.s3.object.get_tagging",
        Operation::PostObject { .. } | Operation::PutObject { .. } => "storage.s3.upload",
        Operation::CopyObject { .. } => "storage.s3.object.copy",
        Operation::DeleteObject { .. } => "storage.s3.object.delete",
        Operation::CreateMultipartUpload { .. } => "storage.s3.upload.create_multipart",
        Operation::UploadPart { .. } => "storage.s3.upload.part",
        Operation::UploadPartCopy { .. } => "storage.s3.upload.part_copy",
        Operation::CompleteMultipartUpload { .. } => "storage.s3.upload.complete_multipart",
        Operation::AbortMultipartUpload { .. } => "storage.s3.upload.abort_multipart",
        Operation::ListParts { .. } => "storage.s3.upload.list_parts",
        Operation::ListMultipartUploads { .. } => "storage.s3.upload.list_multipart",
    }
}
