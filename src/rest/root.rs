//! The root of the service: the description of a schema (OpenAPI 2.0).

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode, header};

use crate::catalog::model::{Function, Relation};
use crate::kernel::config::OpenApiMode;
use crate::kernel::db::wire::{Finish, Query};
use crate::policy::caller::PolicyCaller;
use crate::policy::restrict::PolicyView;
use crate::rest::core::media::MediaType;
use crate::rest::core::protect;
use crate::rest::core::response::{BodyUse, ResponseHead};
use crate::rest::error::RestError;
use crate::rest::openapi::{
    DocumentInput, ServerAddress, Visible, all_objects, document, visible_objects_query,
};
use crate::rest::result::{ResultBody, read_all};
use crate::rest::run::{Run, assemble};
use crate::rest::scope::{Effect, Scope};

/// Where PostgREST's behaviour, which the document describes, is explained.
const DOCS_URL: &str = "https://postgrest.org/en/latest/references/api.html";

/// The document of `schema`, with what the caller may see.
pub(super) async fn describe(
    run: Run<'_>,
    schema: &Arc<str>,
    headers_only: bool,
    view: &PolicyView,
    caller: &PolicyCaller,
) -> Result<Response<Body>, RestError> {
    let mut head = ResponseHead::new(StatusCode::OK);
    head.push(header::CONTENT_TYPE, &MediaType::OpenApi.to_content_type());
    head.profile(run.scope.request);
    let settings = &run.scope.settings.openapi;
    let visible = match settings.mode {
        OpenApiMode::FollowPrivileges => Some(visible(&run, schema).await?),
        OpenApiMode::IgnorePrivileges | OpenApiMode::Disabled => None,
    };
    if headers_only {
        head.body = BodyUse::Omit { length: false };
        return Ok(assemble(head, None));
    }
    let catalog = run.scope.catalog;
    let (mut relations, functions) = match &visible {
        Some(visible) => visible.select(catalog, schema),
        None => all_objects(catalog, schema),
    };
    // What the rules keep from the caller altogether is not described to it either.
    relations.retain(|relation| {
        let relation = catalog.relations.get(&relation.name);
        relation.is_some_and(|relation| protect::is_described(relation, view, caller))
    });
    let comment = match &visible {
        Some(visible) => visible.comment(),
        None => catalog.schema_comments.get(schema).map(|comment| &**comment),
    };
    let body = render(&run.scope, schema, relations, functions, comment);
    Ok(assemble(head, Some(body)))
}

async fn visible(run: &Run<'_>, schema: &str) -> Result<Visible, RestError> {
    let query = Query::new(visible_objects_query(schema), 1);
    let group = run.scope.statement_group(query, Effect::Reads, Finish::Commit);
    let text = read_all(run.lanes, group).await?;
    Visible::parse(&text).map_err(|_| RestError::Unreadable("the list of visible objects"))
}

fn render(
    scope: &Scope<'_>,
    schema: &str,
    relations: Vec<&Relation>,
    functions: Vec<&Function>,
    comment: Option<&str>,
) -> ResultBody {
    let settings = &scope.settings.openapi;
    let search_path = match settings.mode {
        OpenApiMode::FollowPrivileges => {
            std::iter::once(schema).chain(settings.search_path.iter().map(String::as_str)).collect()
        }
        OpenApiMode::IgnorePrivileges | OpenApiMode::Disabled => Vec::new(),
    };
    let base_path = if settings.base_path.is_empty() { "/" } else { settings.base_path.as_str() };
    ResultBody::whole(document(&DocumentInput {
        catalog: scope.catalog,
        relations,
        functions,
        schema_comment: comment,
        search_path,
        server: ServerAddress {
            host: &settings.host,
            port: settings.port,
            proxy_uri: settings.proxy_uri.as_deref(),
            base_path,
        },
        security_active: settings.security_active,
        product: "PostgREST",
        version: env!("CARGO_PKG_VERSION"),
        docs_url: DOCS_URL,
    }))
}
