//! `POST /api/broadcast` and `POST /api/broadcast/{topic}/events/{event}`: broadcasts without a socket (contract section 4).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::credentials;
use crate::kernel::http::{BodyError, RequestContext, read_body};
use crate::kernel::identity::Caller;
use crate::kernel::limits::{Decision, LimitKey, LimitSubject, Quota};
use crate::realtime::broadcasts::{NotKept, Sending};
use crate::realtime::definitions::{ChannelRules, Forbidden};
use crate::realtime::metrics;
use crate::realtime::protocol::UserBroadcast;
use crate::realtime::request::Topic;
use crate::realtime::state::RealtimeState;

/// Why nothing is sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Unauthorized")]
    Unauthorized,
    #[error("Unauthorized")]
    Forbidden,
    #[error("Realtime is switched off")]
    Disabled,
    #[error("the body must be application/json or application/octet-stream")]
    MediaType,
    /// What is wrong, by field.
    #[error("the messages cannot be sent")]
    Invalid(Map<String, Value>),
    #[error("You have exceeded your rate limit")]
    TooMany,
    #[error("Too many messages to broadcast, please reduce the batch size")]
    BatchTooLarge,
    #[error("{0}")]
    Body(BodyError),
    #[error("the database cannot be asked at the moment")]
    Database,
}

impl Refusal {
    fn invalid(field: &str, problem: &str) -> Self {
        Self::Invalid([(field.to_owned(), json!([problem]))].into_iter().collect())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Disabled => StatusCode::FORBIDDEN,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany | Self::BatchTooLarge => StatusCode::TOO_MANY_REQUESTS,
            Self::Body(error) => error.status(),
            Self::Database => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        metrics::refused("rest");
        let status = self.status();
        let body = match self {
            Self::Invalid(errors) => json!({ "errors": errors }),
            other => json!({ "message": other.to_string() }),
        };
        let retry = (status == StatusCode::TOO_MANY_REQUESTS).then_some([(http::header::RETRY_AFTER, "1")]);
        (status, retry, Json(body)).into_response()
    }
}

#[derive(Deserialize)]
struct Batch {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    topic: String,
    event: String,
    payload: Box<RawValue>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    id: Option<String>,
}

/// Sends several messages. Those that the caller may not send are dropped, and nothing is said of them.
pub(super) async fn batch(
    State(state): State<RealtimeState>,
    Extension(context): Extension<Arc<RequestContext>>,
    request: Request<Body>,
) -> Result<StatusCode, Refusal> {
    let (caller, body, _) = open(&state, &context, request).await?;
    let batch: Batch =
        serde_json::from_slice(&body).map_err(|error| Refusal::invalid("messages", &error.to_string()))?;
    if batch.messages.len() > state.config.max_batch {
        return Err(Refusal::BatchTooLarge);
    }
    // All are decided about before one is sent.
    let mut ready = Vec::with_capacity(batch.messages.len());
    for message in batch.messages {
        let id = message.id.and_then(|id| Uuid::parse_str(&id).ok()).unwrap_or_else(|| state.random.uuid());
        let place = place(&state, &caller, (&message.topic, message.private))?;
        let payload = Bytes::from(String::from(Box::<str>::from(message.payload)));
        let broadcast = broadcast(&place, message.event, payload, true)?.with_id(id, false);
        ready.push((broadcast, place));
    }
    count(&state, &context, &caller, ready.iter().map(|(_, place)| place)).await?;
    let mut sendings = Vec::with_capacity(ready.len());
    for (broadcast, place) in ready {
        if may_say(&state, &caller, &place).await? {
            sendings.push(Sending::new((place.topic, &place.rules), broadcast, &state.random));
        } else {
            metrics::refused("broadcast");
        }
    }
    send(&state, sendings).await
}

/// Sends one message, whose payload is the body.
pub(super) async fn one(
    State(state): State<RealtimeState>,
    Extension(context): Extension<Arc<RequestContext>>,
    Path((name, event)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<StatusCode, Refusal> {
    let is_private = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .any(|(name, value)| name == "private" && value == "true");
    let (caller, body, headers) = open(&state, &context, request).await?;
    let is_json = is_json(&headers)?;
    let place = place(&state, &caller, (&name, is_private))?;
    if !place.is_for_caller {
        return Err(Refusal::Forbidden);
    }
    let broadcast = broadcast(&place, event, body, is_json)?.with_id(state.random.uuid(), false);
    count(&state, &context, &caller, std::iter::once(&place)).await?;
    if !may_say(&state, &caller, &place).await? {
        return Err(Refusal::Forbidden);
    }
    send(&state, vec![Sending::new((place.topic, &place.rules), broadcast, &state.random)]).await
}

/// Who asks, and the body.
async fn open(
    state: &RealtimeState,
    context: &RequestContext,
    request: Request<Body>,
) -> Result<(Arc<Caller>, Bytes, HeaderMap), Refusal> {
    if !state.config.enabled {
        return Err(Refusal::Disabled);
    }
    let (parts, body) = request.into_parts();
    let who = credentials(state, context, &parts.headers).await;
    let who =
        who.map_err(|error| if error.is_temporary() { Refusal::Database } else { Refusal::Unauthorized })?;
    let body = read_body(body, context.body_limit, context.body_deadline, &context.body_budget).await;
    Ok((who.caller, body.map_err(Refusal::Body)?, parts.headers))
}

fn is_json(headers: &HeaderMap) -> Result<bool, Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(true),
        "application/octet-stream" => Ok(false),
        _ => Err(Refusal::MediaType),
    }
}

/// Where a message goes, and what holds there.
struct Place {
    topic: Topic,
    rules: Arc<ChannelRules>,
    /// Whether it is for the caller's role.
    is_for_caller: bool,
}

fn place(state: &RealtimeState, caller: &Caller, (name, is_private): (&str, bool)) -> Result<Place, Refusal> {
    let topic =
        Topic::named(name, is_private).map_err(|error| Refusal::invalid("topic", &error.to_string()))?;
    let rules = state.definitions.rules(name).ok_or(Refusal::Database)?;
    let is_for_caller = match state.admit(&rules, caller, &topic) {
        Ok(()) => true,
        Err(Forbidden::Role) => false,
        // Not a matter of who sends it: it is sent the wrong way.
        Err(Forbidden::PublicInProject | Forbidden::PublicChannel) => return Err(Refusal::Forbidden),
    };
    Ok(Place { topic, rules, is_for_caller })
}

fn broadcast(place: &Place, event: String, payload: Bytes, is_json: bool) -> Result<UserBroadcast, Refusal> {
    if event.is_empty() {
        return Err(Refusal::invalid("event", "can't be blank"));
    }
    let broadcast = if is_json {
        UserBroadcast::json(event, payload)
            .ok_or_else(|| Refusal::invalid("payload", "must be JSON, and the event at most 1024 bytes"))?
    } else {
        UserBroadcast::bytes(event, payload)
            .ok_or_else(|| Refusal::invalid("event", "of bytes may have at most 255 bytes"))?
    };
    if broadcast.size() > place.rules.max_payload {
        return Err(Refusal::invalid("payload", "Payload size exceeds tenant limit"));
    }
    Ok(broadcast)
}

/// Counts a message for each place against what a caller may send in a second, in all and by each definition.
async fn count<'a>(
    state: &RealtimeState,
    context: &RequestContext,
    caller: &Caller,
    places: impl Iterator<Item = &'a Place>,
) -> Result<(), Refusal> {
    let subject = LimitSubject::caller(caller.subject.as_ref(), context.client_ip);
    let in_all = Quota::per_second(state.config.rest_messages_per_second);
    for Place { rules, .. } in places {
        let mut counted = vec![("realtime.broadcast", None, in_all)];
        if let Some(definition) = &rules.counted_by {
            let quota = Quota::per_second(rules.messages_per_second);
            counted.push(("realtime.definition", Some(Arc::clone(definition)), quota));
        }
        for (rule, object, quota) in counted {
            let key = LimitKey { rule, object, subject: subject.clone() };
            if matches!(state.limiter.take(&key, quota).await, Decision::Refused { .. }) {
                metrics::refused("rest_rate");
                return Err(Refusal::TooMany);
            }
        }
    }
    Ok(())
}

async fn send(state: &RealtimeState, sendings: Vec<Sending>) -> Result<StatusCode, Refusal> {
    let sent = state.send(sendings, None).await;
    sent.map(|()| StatusCode::ACCEPTED).map_err(|error| match error {
        NotKept::Content => Refusal::invalid("payload", error.reason()),
        NotKept::Outage => Refusal::Database,
    })
}

async fn may_say(state: &RealtimeState, caller: &Caller, place: &Place) -> Result<bool, Refusal> {
    if !place.is_for_caller {
        return Ok(false);
    }
    match state.access.may_say(caller, &place.topic).await {
        Ok(rights) => Ok(rights.broadcast),
        Err(error) if error.is_outage() => Err(Refusal::Database),
        Err(_) => Ok(false),
    }
}
