//! Probes: is the process alive, can it serve, and what do its metrics say.
//!
//! The check behind `/health/ready` runs at most once a second however often it is asked, and only the operator's own
//! listener shows details.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

const FRESH: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// A check of everything that serving needs; the text says what is missing.
pub type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;
/// What else the operator may want to know, by name; none of it decides whether requests can be served.
pub type Details = Arc<dyn Fn() -> Value + Send + Sync>;
/// Renders all metrics in Prometheus' text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The state of the server as probes see it; cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    check: Check,
    stopping: CancellationToken,
    details: Details,
    last: ArcSwapOption<(Instant, Result<(), String>)>,
    checking: Mutex<()>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Health")
    }
}

#[derive(Clone)]
struct Probes {
    health: Health,
    render_metrics: Option<RenderMetrics>,
    details: bool,
}

impl Health {
    /// Health by this check; not ready once `stopping` is cancelled.
    pub fn new(check: Check, stopping: CancellationToken, details: Details) -> Self {
        let (last, checking) = (ArcSwapOption::empty(), Mutex::new(()));
        Self(Arc::new(Inner { check, stopping, details, last, checking }))
    }

    /// Whether requests can be served, as found out within the last second.
    pub async fn ready(&self) -> Result<(), String> {
        if self.0.stopping.is_cancelled() {
            return Err("the server is stopping".to_owned());
        }
        if let Some(known) = self.fresh() {
            return known;
        }
        let _only_one = self.0.checking.lock().await;
        if let Some(known) = self.fresh() {
            return known;
        }
        let outcome = match tokio::time::timeout(CHECK_TIMEOUT, (self.0.check)()).await {
            Ok(outcome) => outcome,
            Err(_) => Err("the check did not end in time".to_owned()),
        };
        self.0.last.store(Some(Arc::new((Instant::now(), outcome.clone()))));
        outcome
    }

    fn fresh(&self) -> Option<Result<(), String>> {
        let last = self.0.last.load();
        last.as_deref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, outcome)| outcome.clone())
    }

    /// `/health/live` and `/health/ready` for everybody: they say yes or no.
    pub fn public_routes(&self) -> Router {
        routes(Probes { health: self.clone(), render_metrics: None, details: false })
    }

    /// The same with reasons, and `/metrics`, for a listener of the operator's own.
    pub fn admin_routes(&self, render_metrics: RenderMetrics) -> Router {
        routes(Probes { health: self.clone(), render_metrics: Some(render_metrics), details: true })
    }
}

fn routes(probes: Probes) -> Router {
    let router = Router::new().route("/health/live", get(live)).route("/health/ready", get(ready));
    let router = match probes.render_metrics {
        Some(_) => router.route("/metrics", get(metrics)),
        None => router,
    };
    router.with_state(probes)
}

async fn live() -> Response {
    answer(StatusCode::OK, &json!({"status": "ok"}))
}

async fn ready(State(probes): State<Probes>) -> Response {
    let (status, mut body) = match probes.health.ready().await {
        Ok(()) => (StatusCode::OK, json!({"status": "ok"})),
        Err(reason) if probes.details => {
            (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "unavailable", "reason": reason}))
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "unavailable"})),
    };
    if probes.details
        && let (Value::Object(body), Value::Object(details)) = (&mut body, (probes.health.0.details)())
    {
        body.extend(details);
    }
    answer(status, &body)
}

async fn metrics(State(probes): State<Probes>) -> Response {
    let text = probes.render_metrics.map_or_else(String::new, |render| render());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")], text)
        .into_response()
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [(CONTENT_TYPE, "application/json; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn nothing() -> Details {
        Arc::new(|| Value::Null)
    }

    async fn get(router: Router, path: &str) -> (u16, String) {
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_thousand_probes_cause_one_check() {
        let checks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&checks);
        let check: Check = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(())
            })
        });
        let health = Health::new(check, CancellationToken::new(), nothing());

        let probes = (0..1000).map(|_| {
            let health = health.clone();
            async move { health.ready().await }
        });
        let outcomes = futures_util::future::join_all(probes).await;

        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(checks.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn the_public_probe_gives_no_reason_and_no_metrics() {
        let check: Check = Arc::new(|| Box::pin(async { Err("database at 10.0.0.1 refused".to_owned()) }));
        let details: Details = Arc::new(|| json!({"bus": {"connected": true}}));
        let health = Health::new(check, CancellationToken::new(), details);

        let public = get(health.public_routes(), "/health/ready").await;
        let admin = get(health.admin_routes(Arc::new(|| "m 1\n".to_owned())), "/health/ready").await;

        assert_eq!(public, (503, "{\"status\":\"unavailable\"}".to_owned()));
        assert!(admin.1.contains("10.0.0.1") && admin.1.contains(r#""connected":true"#), "{}", admin.1);
        assert_eq!(get(health.public_routes(), "/metrics").await.0, 404);
        assert_eq!(get(health.public_routes(), "/health/live").await.0, 200);
        let metrics = get(health.admin_routes(Arc::new(|| "m 1\n".to_owned())), "/metrics").await;
        assert_eq!(metrics, (200, "m 1\n".to_owned()));
    }

    #[tokio::test]
    async fn a_stopping_server_is_alive_but_not_ready() {
        let stopping = CancellationToken::new();
        let health = Health::new(Arc::new(|| Box::pin(async { Ok(()) })), stopping.clone(), nothing());
        assert_eq!(get(health.public_routes(), "/health/ready").await.0, 200);

        stopping.cancel();

        assert_eq!(get(health.public_routes(), "/health/ready").await.0, 503);
        assert_eq!(get(health.public_routes(), "/health/live").await.0, 200);
    }
}
