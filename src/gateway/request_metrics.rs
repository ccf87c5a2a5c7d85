//! Counts and durations of requests, by service, route template, method and class of status.
//!
//! No label is ever made from a request, so that the number of series depends on the program alone. Handles are made at
//! first use and kept, because looking a metric up by its labels costs more than counting.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram};

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "gone"];
/// More templates than any service has; beyond it a service's own name stands for the route.
const MOST_ROUTES: usize = 512;

/// The metrics of one service.
pub(super) struct RequestMetrics {
    service: &'static str,
    unnamed: Arc<RouteMetrics>,
    routes: RwLock<Vec<Arc<RouteMetrics>>>,
    in_flight: OnceLock<Gauge>,
}

/// The metrics of one route.
pub(super) struct RouteMetrics {
    service: &'static str,
    route: &'static str,
    requests: [[OnceLock<Counter>; CLASSES.len()]; METHODS.len()],
    duration: OnceLock<Histogram>,
}

impl RequestMetrics {
    pub(super) fn new(service: &'static str) -> Self {
        let unnamed = Arc::new(RouteMetrics::new(service, service));
        Self { service, unnamed, routes: RwLock::default(), in_flight: OnceLock::new() }
    }

    /// How many requests of the service are being answered.
    pub(super) fn in_flight(&self) -> Gauge {
        let service = self.service;
        self.in_flight
            .get_or_init(|| metrics::gauge!("goforward_http_requests_in_flight", "service" => service))
            .clone()
    }

    /// The metrics of a route; without a template, those of the service's unnamed routes.
    pub(super) fn route(&self, template: Option<&'static str>) -> Arc<RouteMetrics> {
        let Some(template) = template else { return Arc::clone(&self.unnamed) };
        let find =
            |routes: &[Arc<RouteMetrics>]| routes.iter().find(|known| known.route == template).cloned();
        if let Some(known) = find(&self.routes.read().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = find(&routes) {
            return known;
        }
        if routes.len() >= MOST_ROUTES {
            return Arc::clone(&self.unnamed);
        }
        let new = Arc::new(RouteMetrics::new(self.service, template));
        routes.push(Arc::clone(&new));
        new
    }
}

impl RouteMetrics {
    fn new(service: &'static str, route: &'static str) -> Self {
        Self {
            service,
            route,
            requests: std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new())),
            duration: OnceLock::new(),
        }
    }

    /// The template itself, for the access log.
    pub(super) fn template(&self) -> &'static str {
        self.route
    }

    /// Counts a finished request; without a status if the client went away before.
    pub(super) fn count(&self, method: &Method, status: Option<StatusCode>, took: Duration) {
        let named = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let class =
            status.map_or(CLASSES.len() - 1, |status| usize::from(status.as_u16() / 100).clamp(1, 5) - 1);
        let (service, route) = (self.service, self.route);
        let counter = self.requests[named][class].get_or_init(|| {
            metrics::counter!(
                "goforward_http_requests_total",
                "service" => service, "route" => route, "method" => METHODS[named], "status" => CLASSES[class]
            )
        });
        counter.increment(1);
        let duration = self.duration.get_or_init(|| {
            metrics::histogram!("goforward_http_request_duration_seconds", "service" => service, "route" => route)
        });
        duration.record(took.as_secs_f64());
    }
}

/// Counts a request that no service saw.
pub(super) fn count_refusal(service: &'static str, reason: &'static str) {
    metrics::counter!("goforward_http_refusals_total", "service" => service, "reason" => reason).increment(1);
}

/// Counts a request whose handler panicked.
pub(super) fn count_panic(service: &'static str) {
    metrics::counter!("goforward_http_panics_total", "service" => service).increment(1);
}
