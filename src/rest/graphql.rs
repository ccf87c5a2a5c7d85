//! `/graphql/v1`: a request goes to the SQL function `graphql_public.graphql` as a function call, or is told that there
//! is none.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use crate::kernel::http::RequestContext;
use crate::rest::service::RestService;

const SCHEMA: &str = "graphql_public";
const FUNCTION: &str = "graphql";

/// Answers a GraphQL request.
pub(super) async fn handle(service: RestService, request: Request<Body>) -> Response<Body> {
    if service.catalog().functions_named(SCHEMA, FUNCTION).is_empty() {
        return not_enabled();
    }
    if request.method() != Method::POST {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let mut request = request;
    let prefix_length =
        request.extensions().get::<Arc<RequestContext>>().map_or(0, |context| context.prefix_length);
    let prefix = request.uri().path().get(..prefix_length).unwrap_or_default();
    // A constant path behind the mount's own prefix always parses.
    if let Ok(uri) = format!("{prefix}/rpc/{FUNCTION}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    headers.insert(HeaderName::from_static("content-profile"), HeaderValue::from_static(SCHEMA));
    headers.remove("prefer");
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    service.handle(request).await
}

fn not_enabled() -> Response<Body> {
    let body = r#"{"errors":[{"message":"pg_graphql extension is not enabled."}]}"#;
    let mut response = Response::new(Body::from(body));
    let content_type = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
