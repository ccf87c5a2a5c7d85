//! What servers do with the project's secret key (contract section 8): one file a family.
//!
//! Every action takes [`Server`](super::extract::Server) before anything else of the request, so whoever is no server is
//! told so and learns nothing more. What administrators do passes the block lists, the hooks and the switches of sign-up:
//! these are for people whom nobody vouches for.

mod access;
mod blocklists;
mod delete;
mod duration;
mod factors;
mod fields;
mod links;
mod list;
mod page;
mod records;
mod roles;
mod templates;
mod users;

use axum::Router;
use axum::routing::{delete as remove, get, post, put};
use uuid::Uuid;

use crate::auth::error::AuthError;
use crate::auth::model::Account;
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Connection};
use crate::auth::store::users as accounts;

/// The routes.
pub(super) fn routes() -> Router<AuthState> {
    Router::new()
        .route("/admin/users", get(list::list).post(users::create))
        .route("/admin/users/{id}", get(users::show).put(users::change).delete(delete::delete))
        .route("/admin/users/{id}/unlock", post(access::unlock))
        .route("/admin/users/{id}/logout", post(access::log_out))
        .route(
            "/admin/users/{id}/roles",
            get(roles::of_user).put(roles::replace).post(roles::grant).delete(roles::withdraw),
        )
        .route("/admin/users/{id}/factors", get(factors::list))
        .route("/admin/users/{id}/factors/{factor}", put(factors::change).delete(factors::remove))
        .route("/admin/users/{id}/passkeys", get(factors::list_passkeys))
        .route("/admin/users/{id}/passkeys/{passkey}", remove(factors::remove_passkey))
        .route("/admin/roles", get(roles::list).post(roles::put))
        .route("/admin/roles/{name}", remove(roles::remove))
        .route(
            "/admin/blocklists/{kind}",
            get(blocklists::list).post(blocklists::add).delete(blocklists::remove),
        )
        .route("/admin/templates", get(templates::list))
        .route("/admin/templates/{name}", get(templates::show).put(templates::store).delete(templates::reset))
        .route("/admin/templates/{name}/preview", post(templates::preview))
        .route("/admin/generate_link", post(links::generate))
        .route("/invite", post(links::invite))
        .route("/admin/audit", get(records::audit))
        .route("/admin/security-events", get(records::security_events))
}

/// The id in a path.
fn id(text: &str) -> Result<Uuid, AuthError> {
    Ok(Uuid::parse_str(text).map_err(|_| Refusal::PathIdNotUuid)?)
}

/// The account of the id in a path, deleted ones too.
async fn account(connection: &mut Connection, text: &str) -> Result<Account, AuthError> {
    Ok(accounts::by_id(connection, id(text)?).await?.ok_or(Refusal::UserNotFound)?)
}

/// The same, and nobody changes it until the transaction ends; a deleted one is not found.
async fn lock(connection: &mut Connection, text: &str) -> Result<Account, AuthError> {
    let account = accounts::lock(connection, id(text)?).await?;
    Ok(account.filter(|account| !account.is_deleted()).ok_or(Refusal::UserNotFound)?)
}
