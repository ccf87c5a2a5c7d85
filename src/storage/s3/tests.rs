//! Who may come in, and by which path.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::signature::{AmzDate, Credential, Regions, SigningKey};
use super::*;
use crate::kernel::secret::Secret;

const NOON: i64 = 1_369_353_600;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Knows `AKIA` and a key without a secret.
struct Keys;

impl AccessKeys for Keys {
    type Claims = &'static str;
    type Error = S3Error;

    async fn find(&self, id: &str) -> Result<Option<AccessKey<&'static str>>, S3Error> {
        let secret = match id {
            "AKIA" => "long-lived",
            "empty" => "",
            _ => return Ok(None),
        };
        Ok(Some(AccessKey { secret: Secret::new(secret), claims: "service_role" }))
    }
}

fn rules() -> Rules {
    let regions = Regions { configured: "local".into(), strict: false };
    Rules { regions, tenant_id: "default".into(), anon_key: Secret::new("anon") }
}

/// Signs an empty `GET` of `/storage/v1/s3/b`, the canonical request written out by hand.
fn signed(id: &str, secret: &str, token: Option<&str>) -> HeaderMap {
    let credential = Credential::parse(&format!("{id}/20130524/auto/s3/aws4_request")).unwrap();
    let date = AmzDate::parse("20130524T000000Z").unwrap();
    let (name, line) = match token {
        Some(token) => (";x-amz-security-token", format!("x-amz-security-token:{token}\n")),
        None => ("", String::new()),
    };
    let names = format!("host;x-amz-content-sha256;x-amz-date{name}");
    let canonical = format!(
        "GET\n/storage/v1/s3/b\n\nhost:h\nx-amz-content-sha256:{EMPTY}\nx-amz-date:{}\n{line}\n{names}\n{EMPTY}",
        date.as_str()
    );
    let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", date.as_str(), credential.scope());
    let signature = SigningKey::derive(&Secret::new(secret), &credential).sign(&text);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={id}/{}, SignedHeaders={names}, Signature={signature}",
        credential.scope()
    );
    let pairs = [
        ("authorization", Some(authorization.as_str())),
        ("x-amz-date", Some(date.as_str())),
        ("x-amz-content-sha256", Some(EMPTY)),
        ("x-amz-security-token", token),
    ];
    pairs
        .into_iter()
        .filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(value?).unwrap()))
        })
        .collect()
}

async fn judge(headers: &HeaderMap, rules: &Rules) -> Result<Authority<&'static str>, S3Error> {
    let query = Query::default();
    let request =
        SignedRequest { method: &Method::GET, path: "/storage/v1/s3/b", host: "h", query: &query, headers };
    authenticate(&request, &Keys, rules, NOON).await.map(|known| known.authority)
}

#[tokio::test]
async fn a_long_lived_key_brings_its_claims() {
    let authority = judge(&signed("AKIA", "long-lived", None), &rules()).await;
    let expected = Authority::Key { access_key_id: "AKIA".into(), claims: "service_role" };
    assert_eq!(authority, Ok(expected));
    let wrong = judge(&signed("AKIA", "guessed", None), &rules()).await;
    assert_eq!(wrong, Err(S3Error::SignatureDoesNotMatch));
}

#[tokio::test]
async fn a_token_with_the_tenants_key_is_the_user() {
    let authority = judge(&signed("default", "anon", Some("e.y.J")), &rules()).await;
    assert_eq!(authority, Ok(Authority::User { token: Secret::new("e.y.J") }));
}

#[tokio::test]
async fn the_tenants_key_is_nothing_without_a_token_and_no_other_key_takes_one() {
    let unset = Rules { anon_key: Secret::default(), ..rules() };
    let table = [
        (signed("default", "anon", None), rules()),
        (signed("AKIA", "long-lived", Some("e.y.J")), rules()),
        (signed("default", "", Some("e.y.J")), unset),
        (signed("empty", "", None), rules()),
        (signed("nobody", "x", None), rules()),
    ];
    for (headers, rules) in table {
        assert_eq!(judge(&headers, &rules).await, Err(S3Error::InvalidAccessKeyId));
    }
}

#[tokio::test]
async fn a_token_that_is_put_in_later_is_refused() {
    let mut headers = signed("default", "anon", Some("e.y.J"));
    headers.insert("x-amz-security-token", HeaderValue::from_static("another.users.token"));
    assert_eq!(judge(&headers, &rules()).await, Err(S3Error::SignatureDoesNotMatch));
}

#[tokio::test]
async fn nobody_is_not_let_in() {
    let refused = judge(&HeaderMap::new(), &rules()).await;
    assert_eq!(refused.unwrap_err().code(), "AccessDenied");
}

/// Lets a request for the URI in that was signed for `/storage/v1/s3/b`.
async fn come_in(
    uri: &str,
    served: &str,
    headers: HeaderMap,
    method: Method,
) -> Result<Incoming<&'static str, impl Stream<Item = Result<Bytes, ()>> + Unpin + use<>>, S3Error> {
    let mut request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
    *request.headers_mut() = headers;
    let (parts, ()) = request.into_parts();
    let address = Address { uri: &parts.uri, served, public: "/storage/v1/s3", host: "h" };
    let body = stream::iter([Ok(Bytes::from_static(b"x"))]);
    let rules = rules();
    // Handlers run on any thread.
    let incoming: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(receive(&parts, address, body, &Keys, &rules, NOON));
    incoming.await
}

#[tokio::test]
async fn the_bucket_is_read_behind_the_prefix_and_the_signature_over_the_public_path() {
    for (uri, served) in [("/storage/v1/s3/b", "/storage/v1/s3"), ("/s3/b", "/s3"), ("/b", "")] {
        let incoming = come_in(uri, served, signed("AKIA", "long-lived", None), Method::GET).await.unwrap();
        let Incoming::Signed(mut signed) = incoming else { panic!("a form") };
        assert_eq!(signed.operation.bucket(), Some("b"));
        // The body is not the empty one that was signed.
        let parts: Vec<_> = signed.body.by_ref().collect().await;
        assert!(matches!(
            parts.as_slice(),
            [Ok(_), Err(payload::BodyError::Refused(S3Error::InvalidChecksum(_)))]
        ));
    }
    for (uri, served) in [("/storage/v1/s3x/b", "/storage/v1/s3"), ("/other", "/s3")] {
        let refused = come_in(uri, served, signed("AKIA", "long-lived", None), Method::GET).await;
        assert_eq!(refused.map(drop).unwrap_err().code(), "InvalidRequest");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_to_those_who_may_ask() {
    let stranger = come_in("/s3/b/k?acl", "/s3", HeaderMap::new(), Method::GET).await;
    assert_eq!(stranger.map(drop).unwrap_err().code(), "AccessDenied");
    let other = come_in("/s3/b?acl", "/s3", signed("AKIA", "long-lived", None), Method::GET).await;
    assert_eq!(other.map(drop), Err(S3Error::SignatureDoesNotMatch));
}

#[tokio::test]
async fn a_form_is_signed_by_its_fields_alone() {
    let kind = (http::header::CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=x"));
    let form = come_in("/s3/b", "/s3", HeaderMap::from_iter([kind.clone()]), Method::POST).await.unwrap();
    assert!(matches!(form, Incoming::Form { bucket, .. } if bucket == "b"));
    let both = come_in("/s3/b", "/s3", signed("AKIA", "long-lived", None), Method::POST).await;
    assert_eq!(both.map(drop).unwrap_err().status(), 403);
}
