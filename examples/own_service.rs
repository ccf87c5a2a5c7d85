//! A program that embeds goforward: a service of its own below `/hello/v1`, and middleware around every service.
//!
//! `cargo run --example own_service`, then
//! `curl -H "apikey: $(goforward keys --json | jq -r .anon_key)" http://127.0.0.1:8000/hello/v1/greeting`.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use goforward::{Goforward, Loader, Mount, Quota, RateLimits, RequestContext, RequestHandler, ServiceLimits};
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::json;

/// The service: the gateway has found out who calls and keeps to the limits before a handler runs.
pub fn hello() -> Mount {
    let routes = Router::new().route("/greeting", get(greeting)).route("/echo", post(echo));
    Mount::router("hello", "/hello/v1", routes)
        .limits(ServiceLimits { body_bytes: 1024, ..ServiceLimits::default() })
        .rate_limits(RateLimits { per_user: Some(Quota::per_minute(3)), ..RateLimits::default() })
}

async fn greeting(Extension(context): Extension<Arc<RequestContext>>) -> impl IntoResponse {
    let caller = context.caller.as_deref();
    let greeting = json!({
        "role": caller.map(|caller| &*caller.role),
        "subject": caller.and_then(|caller| caller.subject.as_deref()),
    });
    ([(header::CONTENT_TYPE, "application/json")], greeting.to_string())
}

async fn echo(body: String) -> String {
    body
}

/// Middleware: a path that nobody may ask for, and a header on every answer.
pub async fn house_rules(request: Request<Body>, next: Arc<dyn RequestHandler>) -> Response<Body> {
    let mut response = if request.uri().path().ends_with("/secrets") {
        let mut refusal = Response::new(Body::from("not here"));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        refusal
    } else {
        next.call(request).await
    };
    response.headers_mut().insert("x-served-by", HeaderValue::from_static("own_service"));
    response
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let configuration = Loader::new().environment(std::env::vars())?.load()?;
    let server = Goforward::new(configuration).service(hello()).middleware(house_rules).start().await?;
    eprintln!("serving at {}", server.api_url());
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}
