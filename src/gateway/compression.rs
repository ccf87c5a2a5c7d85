//! Compressing answers for clients that ask for it, where it pays and gives nothing away.
//!
//! Not compressed: small answers, answers to HEAD, media that are compressed already, event streams, and whatever sets a
//! cookie or forbids storing (a secret beside reflected input could be guessed by its length: BREACH).

use std::convert::Infallible;
use std::future::ready;

use axum::body::Body;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use tower::{ServiceExt, service_fn};
use tower_http::compression::Compression;

/// Smaller bodies stay as they are, in bytes.
const SMALLEST: u64 = 1024;

/// A content coding that the client takes and we make, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What the client asks for by name with the highest weight; `*` alone asks for nothing in particular.
    pub(super) fn asked_for(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(u16, Self)> = None;
        for line in headers.get_all(ACCEPT_ENCODING) {
            for item in line.to_str().unwrap_or_default().split(',') {
                let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
                let name = name.trim();
                let Some(coding) =
                    Self::ALL.into_iter().find(|coding| coding.name().eq_ignore_ascii_case(name))
                else {
                    continue;
                };
                let weight = weight(parameters);
                let better = best.is_none_or(|(other_weight, other)| {
                    (weight, std::cmp::Reverse(coding as u8)) > (other_weight, std::cmp::Reverse(other as u8))
                });
                if weight > 0 && better {
                    best = Some((weight, coding));
                }
            }
        }
        best.map(|(_, coding)| coding)
    }
}

/// The weight `q=0.5` in thousandths; 1000 without one, 0 where it cannot be read.
fn weight(parameters: &str) -> u16 {
    let Some((_, value)) = parameters.split_once('=') else { return 1000 };
    let value = value.trim();
    match value.split_once('.') {
        None => value.parse::<u16>().map_or(0, |whole| whole.min(1) * 1000),
        Some(("1", _)) => 1000,
        Some((_, digits)) => {
            let digits = digits.get(..3.min(digits.len())).unwrap_or_default();
            let scale = [1000, 100, 10, 1][digits.len()];
            digits.parse::<u16>().map_or(0, |fraction| fraction * scale)
        }
    }
}

/// Whether this answer may be compressed for a client that asks for it.
pub(super) fn is_eligible(method: &Method, response: &Response<Body>) -> bool {
    let headers = response.headers();
    let status = response.status();
    method != Method::HEAD
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS
        )
        && response.body().size_hint().exact().is_none_or(|size| size > SMALLEST)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(SET_COOKIE)
        && !headers
            .get(CACHE_CONTROL)
            .is_some_and(|value| value.as_bytes().windows(8).any(|part| part == b"no-store"))
        && headers.get(CONTENT_TYPE).is_some_and(is_compressible)
}

fn is_compressible(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    (essence.starts_with("text/") && essence != "text/event-stream")
        || essence.ends_with("json")
        || essence.ends_with("xml")
        || matches!(essence, "application/javascript" | "application/wasm" | "application/x-ndjson")
        || (essence.starts_with("application/vnd.pgrst.") && !essence.ends_with("octet-stream"))
}

/// Tells caches that the answer depends on what the client takes.
pub(super) fn vary(response: &mut Response<Body>) {
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// Compresses an eligible answer.
pub(super) async fn compress(coding: Coding, mut response: Response<Body>) -> Response<Body> {
    // Ranges of rows, which compression of the transfer does not touch; tower-http takes them for ranges of bytes.
    let rows = response.headers_mut().remove(CONTENT_RANGE);
    let vary: Vec<HeaderValue> = response.headers().get_all(VARY).iter().cloned().collect();
    let mut request = Request::new(());
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(coding.name()));
    let mut once = Some(response);
    let service = service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(once.take().unwrap_or_else(|| Response::new(Body::empty()))))
    });
    let always = |_: StatusCode, _: http::Version, _: &HeaderMap, _: &http::Extensions| true;
    let mut compressed = match Compression::new(service).compress_when(always).oneshot(request).await {
        Ok(compressed) => compressed.map(Body::new),
        Err(never) => match never {},
    };
    let headers = compressed.headers_mut();
    headers.remove(VARY);
    for value in vary {
        headers.append(VARY, value);
    }
    if let Some(rows) = rows {
        headers.insert(CONTENT_RANGE, rows);
    }
    compressed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_with_the_highest_weight_is_chosen() {
        let table = [
            ("", None),
            ("identity", None),
            ("*", None),
            ("deflate", None),
            ("gzip", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("br;q=0.9, gzip;q=1.0", Some(Coding::Gzip)),
            ("br;q=0.15, gzip;q=0.2", Some(Coding::Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("gzip;q=x", None),
            ("zstd;q=0, br", Some(Coding::Brotli)),
        ];
        for (text, expected) in table {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, text.parse().unwrap())]);
            assert_eq!(Coding::asked_for(&headers), expected, "{text}");
        }
    }

    #[test]
    fn small_secret_and_compressed_answers_stay_as_they_are() {
        let answer = |size: usize, headers: &[(&'static str, &'static str)]| {
            let mut response = Response::new(Body::from("x".repeat(size)));
            for (name, value) in headers {
                response.headers_mut().insert(*name, HeaderValue::from_static(value));
            }
            response
        };
        let json = ("content-type", "application/json; charset=utf-8");
        let eligible = |response: &Response<Body>| is_eligible(&Method::GET, response);
        assert!(eligible(&answer(2000, &[json])));
        assert!(eligible(&answer(2000, &[("content-type", "application/vnd.pgrst.object+json")])));
        assert!(eligible(&answer(2000, &[("content-type", "text/csv; charset=utf-8")])));
        assert!(!eligible(&answer(1024, &[json])));
        assert!(!eligible(&answer(2000, &[])));
        assert!(!eligible(&answer(2000, &[("content-type", "image/png")])));
        assert!(!eligible(&answer(2000, &[("content-type", "text/event-stream")])));
        assert!(!eligible(&answer(2000, &[json, ("set-cookie", "a=b")])));
        assert!(!eligible(&answer(2000, &[json, ("cache-control", "no-store")])));
        assert!(!eligible(&answer(2000, &[json, ("content-encoding", "br")])));
        assert!(!is_eligible(&Method::HEAD, &answer(2000, &[json])));
    }
}
