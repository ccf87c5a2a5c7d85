//! What answers on the listeners: the gateway, and until there is one (the database cannot be reached yet) probes and
//! 503 for everything else.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::app::database::Database;
use crate::app::rest::Rest;
use crate::catalog::reload::CatalogHandle;
use crate::gateway::health::Details;
use crate::gateway::server::App;
use crate::gateway::{ErrorShape, Gateway, Health, not_yet};
use crate::kernel::db::embedded::{EmbeddedPostgres, State};
use crate::kernel::db::lanes::Lanes;

/// What answers; cheap to clone.
#[derive(Clone)]
pub(super) struct Front {
    gateway: Arc<OnceLock<Gateway>>,
    meanwhile: Router,
}

impl Front {
    /// Without a gateway yet.
    pub(super) fn new(health: &Health) -> Self {
        let meanwhile = health.public_routes().fallback(unavailable);
        Self { gateway: Arc::default(), meanwhile }
    }

    /// From now on this gateway answers.
    pub(super) fn open(&self, gateway: Gateway) {
        // There is one start, and it opens once.
        let _ = self.gateway.set(gateway);
    }
}

impl App for Front {
    async fn answer(&self, request: Request<Body>, peer: SocketAddr) -> Response {
        match self.gateway.get() {
            Some(gateway) => gateway.handle(request, peer).await,
            None => match self.meanwhile.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        }
    }
}

async fn unavailable(request: Request<Body>) -> Response {
    if request.uri().path().starts_with("/auth/v1/") {
        return not_yet(ErrorShape::GoTrue, request.headers());
    }
    let body = json!({
        "code": "PGRST000", "message": "Database connection error.", "details": "it cannot be reached", "hint": null,
    });
    let headers = [(CONTENT_TYPE, "application/json; charset=utf-8"), (RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body.to_string()).into_response()
}

/// What readiness depends on, once it is there, and what else the operator may want to know.
#[derive(Clone, Default)]
pub(super) struct Readiness(Arc<OnceLock<Parts>>);

struct Parts {
    catalog: CatalogHandle,
    lanes: Lanes,
    embedded: Option<tokio::sync::watch::Receiver<State>>,
    details: Details,
}

impl Readiness {
    /// The parts are there.
    pub(super) fn follow(
        &self,
        rest: &Rest,
        database: &Database,
        details: impl Fn() -> Value + Send + Sync + 'static,
    ) {
        let parts = Parts {
            catalog: rest.catalog.clone(),
            lanes: rest.lanes.clone(),
            embedded: database.embedded.as_ref().map(EmbeddedPostgres::state),
            details: Arc::new(details),
        };
        let _ = self.0.set(parts);
    }

    /// The probes' check.
    pub(super) fn health(&self, stopping: CancellationToken) -> Health {
        let (readiness, told) = (self.clone(), self.clone());
        let details = Arc::new(move || told.0.get().map_or(Value::Null, |parts| (parts.details)()));
        Health::new(Arc::new(move || Box::pin(std::future::ready(readiness.check()))), stopping, details)
    }

    fn check(&self) -> Result<(), String> {
        let missing = match self.0.get() {
            None => "the database cannot be reached",
            Some(parts) if parts.embedded.as_ref().is_some_and(|state| *state.borrow() != State::Ready) => {
                "PostgreSQL is being started again"
            }
            Some(parts) if !parts.catalog.is_ready() => "the database schema has not been read yet",
            Some(parts) if !*parts.lanes.is_up().borrow() => "the database does not answer",
            Some(_) => return Ok(()),
        };
        Err(missing.to_owned())
    }
}
