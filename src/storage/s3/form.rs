//! A browser's upload: a form whose fields are signed, and then its file (threat H04).

use axum::body::{Body, BodyDataStream};
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use url::Url;

use super::answer::{document, empty};
use super::authenticate::authenticate_form;
use super::error::S3Error;
use super::keys::Keys;
use super::objects::options;
use super::service::{Answer, Call};
use super::signature::{AcceptedForm, Form};
use super::xml::{Answer as _, PostedObject};
use crate::storage::error::StorageError;
use crate::storage::flow::serve::insert;
use crate::storage::flow::upload::Target;
use crate::storage::http::form_head::FormHead;
use crate::storage::http::request::context;
use crate::storage::state::StorageState;

/// The most fields in front of the file.
const MOST_FIELDS: usize = 100;
/// The most bytes of all fields.
const MOST_BYTES: usize = 128 * 1024;
/// The most bytes before the file, with what comes along with its beginning.
const LARGEST_HEAD: usize = 8 * MOST_BYTES;

/// `POST /{bucket}`
pub(super) async fn post(
    state: &StorageState,
    endpoint: String,
    bucket: &str,
    (parts, body): (Parts, BodyDataStream),
) -> Answer {
    let deadline = context(&parts)?.body_deadline;
    let (body, head) = FormHead::of(Body::from_stream(body), LARGEST_HEAD, deadline);
    let request = Request::from_parts(parts.clone(), body);
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|_| S3Error::invalid("The form has no boundary"))?;
    let mut fields = Vec::new();
    let mut left = MOST_BYTES;
    while fields.len() < MOST_FIELDS {
        let Some(mut field) = head.next(multipart.next_field()).await?? else { break };
        let name = field.name().unwrap_or_default().to_owned();
        if name.eq_ignore_ascii_case("file") {
            head.is_over();
            let form = Form::new(fields, field.file_name())?;
            let now = state.clock.unix_seconds();
            let known = authenticate_form(form, bucket, &Keys(state), &state.s3_rules, now).await?;
            let acting = state.s3_acting(known.authority, "storage.s3.upload", &parts).await?;
            let headers = headers(&known.form)?;
            let call = Call { state: state.clone(), acting, headers, is_presigned: true, endpoint };
            return store(&call, bucket, known.form, field).await;
        }
        let mut text = Vec::new();
        while let Some(piece) = head.next(field.chunk()).await?? {
            left = left.checked_sub(piece.len()).ok_or(S3Error::EntityTooLarge)?;
            text.extend_from_slice(&piece);
        }
        let text = String::from_utf8(text).map_err(|_| S3Error::invalid("A field of the form is no text"))?;
        fields.push((name, text));
    }
    Err(S3Error::invalid("The form has no file").into())
}

/// Fields that say of the file what headers say of a body.
fn headers(accepted: &AcceptedForm) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in accepted.form.iter() {
        let is_header =
            [CONTENT_TYPE.as_str(), CACHE_CONTROL.as_str(), CONTENT_ENCODING.as_str()].contains(&name);
        if is_header || name.starts_with("x-amz-meta-") {
            let wrong = S3Error::invalid("A field of the form cannot be a header");
            let (name, value) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()));
            let (Ok(name), Ok(value)) = (name, value) else { return Err(wrong) };
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

async fn store(call: &Call, bucket: &str, accepted: AcceptedForm, file: Field<'_>) -> Answer {
    let mut target = Target {
        bucket: call.state.bucket(bucket).await?,
        key: call.key(&accepted.key)?,
        owner: call.owner(),
        options: options(&call.headers)?,
        upsert: true,
        replaceable: None,
    };
    call.state.admit(Some(&call.acting), &mut target, None).await?;
    let uploaded = call.state.store(&target, held_to(&accepted, file)).await?;
    Ok(posted(call, bucket, &accepted, uploaded.metadata.e_tag.trim_matches('"')))
}

/// The file; it ends regularly only where it is as long as the policy says.
fn held_to(
    accepted: &AcceptedForm,
    file: Field<'_>,
) -> impl Stream<Item = Result<Bytes, StorageError>> + Send {
    let state = (file, 0_u64, false);
    stream::unfold(state, move |(mut file, so_far, is_over)| async move {
        if is_over {
            return None;
        }
        match file.next().await {
            Some(Ok(piece)) => {
                let so_far = so_far + piece.len() as u64;
                if so_far > *accepted.length.end() {
                    let refused = accepted.check_length(so_far).err()?;
                    return Some((Err(refused.into()), (file, so_far, true)));
                }
                Some((Ok(piece), (file, so_far, false)))
            }
            Some(Err(error)) => Some((Err(error.into()), (file, so_far, true))),
            None => {
                let refused = accepted.check_length(so_far).err()?;
                Some((Err(refused.into()), (file, so_far, true)))
            }
        }
    })
}

/// The answer that the form asks for.
fn posted(call: &Call, bucket: &str, accepted: &AcceptedForm, etag: &str) -> Response {
    let location = format!("{}/{bucket}/{}", call.endpoint, accepted.key);
    let mut headers = HeaderMap::new();
    insert(&mut headers, ETAG, &format!("\"{etag}\""));
    let redirect = accepted.form.get("success_action_redirect").and_then(|url| Url::parse(url).ok());
    if let Some(mut url) = redirect.filter(|url| matches!(url.scheme(), "http" | "https")) {
        let shown = [("bucket", bucket), ("key", &accepted.key), ("etag", &format!("\"{etag}\""))];
        url.query_pairs_mut().extend_pairs(shown);
        insert(&mut headers, LOCATION, url.as_str());
        return empty(StatusCode::SEE_OTHER, headers);
    }
    insert(&mut headers, LOCATION, &location);
    let mut response = match accepted.form.get("success_action_status") {
        Some("201") => {
            let (bucket, key, etag) = (bucket.to_owned(), accepted.key.clone(), etag.to_owned());
            document(StatusCode::CREATED, PostedObject { location, bucket, key, etag }.xml())
        }
        Some("200") => empty(StatusCode::OK, HeaderMap::new()),
        _ => empty(StatusCode::NO_CONTENT, HeaderMap::new()),
    };
    response.headers_mut().extend(headers);
    response
}
