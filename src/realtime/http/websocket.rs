//! `GET /websocket`: from a request to a socket (RFC 6455 section 4.2; contract section 1).
//!
//! Only a key or token in the address or a header counts, never a cookie: so a page of another site cannot open a socket in
//! the name of whoever looks at it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version as HttpVersion};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::kernel::http::RequestContext;
use crate::realtime::credentials::CredentialsError;
use crate::realtime::metrics;
use crate::realtime::protocol::Version;
use crate::realtime::socket::Socket;
use crate::realtime::state::RealtimeState;

/// The longest message of a client.
const LONGEST_MESSAGE: usize = 5_000_000;
/// What is read and written at a time; small, because every socket has such buffers.
const BUFFER: usize = 4096;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this is a WebSocket: ask for an upgrade by HTTP/1.1 (RFC 6455)")]
    NoUpgrade,
    #[error("the protocol version is none of 1.0.0 and 2.0.0")]
    Version,
    #[error("{0}")]
    Credentials(CredentialsError),
    #[error("Realtime is switched off")]
    Disabled,
    #[error("Too many connected users")]
    TooMany,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoUpgrade | Self::Version => StatusCode::BAD_REQUEST,
            Self::Credentials(CredentialsError::Scope) | Self::Disabled => StatusCode::FORBIDDEN,
            Self::Credentials(CredentialsError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Credentials(_) => StatusCode::UNAUTHORIZED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn answer(&self) -> Response<Body> {
        metrics::refused("handshake");
        let mut response = Response::new(Body::from(json!({ "error": self.to_string() }).to_string()));
        *response.status_mut() = self.status();
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if matches!(self, Self::NoUpgrade) {
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

/// What the address says.
#[derive(Default)]
struct Address {
    key: Option<String>,
    version: Option<String>,
}

impl Address {
    fn parse(query: &str) -> Self {
        let mut address = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "apikey" => address.key = Some(value.into_owned()),
                "vsn" => address.version = Some(value.into_owned()),
                _ => {}
            }
        }
        address
    }
}

pub(super) async fn open(State(state): State<RealtimeState>, request: Request<Body>) -> Response<Body> {
    match accept(state, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.answer(),
    }
}

async fn accept(state: RealtimeState, mut request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let accept_key = handshake(&request).ok_or(Refusal::NoUpgrade)?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or(Refusal::NoUpgrade)?;
    if !state.config.enabled {
        return Err(Refusal::Disabled);
    }
    let asked = Address::parse(request.uri().query().unwrap_or_default());
    let version = Version::asked_for(asked.version.as_deref()).ok_or(Refusal::Version)?;
    let header = key_header(request.headers());
    let context = request.extensions().get::<Arc<RequestContext>>();
    let address = context.map(|context| context.client_ip).ok_or(Refusal::NoUpgrade)?;
    let key = state.credentials(header.or(asked.key.as_deref()), address).await;
    let key = key.map_err(Refusal::Credentials)?;
    let permit = state.admit_socket().ok_or(Refusal::TooMany)?;
    let (tracker, socket) = (state.tracker.clone(), Socket::new(state, version, (key, address)));
    tracker.spawn(async move {
        // A client that asks and then goes away is no error of ours.
        let Ok(upgraded) = upgrade.await else { return };
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            // What is written is bounded by the queue.
            .max_write_buffer_size(usize::MAX)
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let stream =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        socket.run(stream, permit).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept_key);
    Ok(response)
}

/// The answer to the client's key, if the request is a WebSocket's.
fn handshake(request: &Request<Body>) -> Option<HeaderValue> {
    let headers = request.headers();
    let lists = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(word))
    };
    let is_upgrade = request.method() == Method::GET
        && request.version() == HttpVersion::HTTP_11
        && lists(CONNECTION, "upgrade")
        && lists(UPGRADE, "websocket")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_upgrade)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

fn key_header(headers: &HeaderMap) -> Option<&str> {
    ["x-api-key", "apikey"].iter().find_map(|name| headers.get(*name)?.to_str().ok())
}
