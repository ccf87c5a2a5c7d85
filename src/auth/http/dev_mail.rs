//! `/dev/mail`: the captured mails and SMS of development, as JSON for tests and as pages for people.
//!
//! GET answers JSON to `Accept: application/json` and `?format=json`, else a page; `?to=` filters. DELETE forgets everything.
//! No page runs a script or loads anything from elsewhere. A mail's HTML is shown in a frame that may do nothing but open its
//! links in new tabs: what a user wrote into a mail meets a browser here.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::{Deserialize, Serialize};

use crate::kernel::mail::{Captured, CapturedMessage};

/// What the pages may do: have styles, and frame a mail.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'",
);

/// What a mail may do: have styles and pictures that it brings along, and open links in new tabs.
const MAIL_POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; \
     img-src data:; frame-ancestors 'self'",
);

/// How a browser says where a request came from (W3C Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Whether the request is for a page to go to.
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The routes, without the prefix `/dev/mail`, which the pages' links have.
pub fn router(captured: Captured) -> Router {
    Router::new()
        .route("/", get(list).delete(clear))
        .route("/{id}", get(message))
        .route("/{id}/html", get(body))
        .layer(from_fn(refuse_other_sites))
        .with_state(captured)
}

/// What can be asked for.
#[derive(Deserialize)]
struct Asked {
    to: Option<String>,
    format: Option<String>,
}

/// What the page of all messages shows.
#[derive(Serialize)]
struct List {
    messages: Vec<Arc<CapturedMessage>>,
    to: Option<String>,
}

async fn list(State(captured): State<Captured>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let to = asked.to.filter(|to| !to.trim().is_empty());
    let messages = captured.messages(to.as_deref());
    if asked.format.as_deref() == Some("json") || wants_json(&headers) {
        return ([(CACHE_CONTROL, NO_STORE)], Json(messages)).into_response();
    }
    page("list.html", List { messages, to })
}

async fn message(State(captured): State<Captured>, Path(id): Path<u64>) -> Response {
    match captured.message(id) {
        Some(message) => page("message.html", &*message),
        None => gone(),
    }
}

/// The HTML of a mail, for the frame of its page.
async fn body(State(captured): State<Captured>, Path(id): Path<u64>) -> Response {
    let message = captured.message(id);
    let Some(html) = message.as_ref().and_then(|message| message.html.as_deref()) else { return gone() };
    let headers = [
        (CONTENT_SECURITY_POLICY, MAIL_POLICY),
        (X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
        (CONTENT_TYPE, HTML),
        (CACHE_CONTROL, NO_STORE),
    ];
    (headers, in_new_tabs(html)).into_response()
}

async fn clear(State(captured): State<Captured>) -> StatusCode {
    captured.clear();
    StatusCode::NO_CONTENT
}

/// Pages of other sites in the developer's browser must not read codes here, or empty the outbox.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if is_from_another_site(request.headers()) {
        return (StatusCode::FORBIDDEN, "Captured mails are not for other sites.\n").into_response();
    }
    next.run(request).await
}

/// Whether a page of another site asks, other than by leading its reader here.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|given| given == value);
    says(&FETCH_SITE, "cross-site") && !says(&FETCH_MODE, "navigate")
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds =
        accept.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or(""));
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

fn gone() -> Response {
    (StatusCode::NOT_FOUND, "This message is not there (any more).\n").into_response()
}

/// Makes links open beside the outbox: a `base` element counts wherever the first one stands.
fn in_new_tabs(html: &str) -> String {
    const BASE: &str = "<base target=\"_blank\">";
    match html.find("<head>") {
        Some(at) => {
            let (before, after) = html.split_at(at + "<head>".len());
            [before, BASE, after].concat()
        }
        None => [BASE, html].concat(),
    }
}

fn page(name: &str, values: impl Serialize) -> Response {
    match rendered(name, values) {
        Ok(html) => {
            let headers =
                [(CONTENT_SECURITY_POLICY, PAGE_POLICY), (CONTENT_TYPE, HTML), (CACHE_CONTROL, NO_STORE)];
            (headers, html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, page = name, "a page of /dev/mail cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn rendered(name: &str, values: impl Serialize) -> Result<String, minijinja::Error> {
    let mut pages = Environment::empty();
    pages.set_auto_escape_callback(|_| AutoEscape::Html);
    pages.add_filter("urlencode", minijinja::filters::urlencode);
    pages.add_template(
        "list.html",
        concat!(include_str!("dev_mail/head.html"), include_str!("dev_mail/list.html")),
    )?;
    pages.add_template(
        "message.html",
        concat!(include_str!("dev_mail/head.html"), include_str!("dev_mail/message.html")),
    )?;
    pages.get_template(name)?.render(Serde(values))
}

#[cfg(test)]
mod tests;
