//! The configuration of the edge: listeners, limits, cross-origin rules, who may call.

use std::sync::Arc;

use crate::app::error::AppError;
use crate::app::secrets::ProjectSecrets;
use crate::catalog::reload::CatalogHandle;
use crate::gateway::server::ServerOptions;
use crate::gateway::{CorsPolicy, ErrorShape, GatewayOptions, Origins, RateLimits, ServiceLimits};
use crate::kernel::clock::Clock;
use crate::kernel::config::{Config, ErrorVerbosity, RateLimit, RestProfile, ServerConfig};
use crate::kernel::http::TrustedProxies;
use crate::kernel::identity::{
    Identity, IdentityOptions, KeyMode, KeyRing, RolePath, RolePolicy, Verifier, VerifierOptions,
};
use crate::kernel::limits::Quota;

/// The role of the secret API keys.
pub(super) const SERVICE_ROLE: &str = "service_role";

/// Who may call: keys, tokens and the roles that they may name.
pub(super) fn identity(
    config: &Config,
    secrets: &ProjectSecrets,
    catalog: &CatalogHandle,
    clock: &Clock,
) -> Result<Identity, AppError> {
    let is_postgrest = config.rest.profile == RestProfile::Postgrest;
    let key_mode = match (config.requires_api_key(), is_postgrest) {
        (true, _) => KeyMode::Strict,
        (false, true) => KeyMode::Off,
        (false, false) => KeyMode::Lenient,
    };
    let role_policy = if is_postgrest {
        RolePolicy::LetDatabaseDecide
    } else {
        RolePolicy::RefuseUnlisted(role_table(catalog))
    };
    let options = IdentityOptions { anonymous_role: config.rest.anon_role.clone(), key_mode, role_policy };
    let (verifier, keys) = credentials(config, secrets, clock)?;
    Ok(Identity::new(options, verifier, keys))
}

/// The keys and tokens that are accepted; made anew when the secret changes.
pub(super) fn credentials(
    config: &Config,
    secrets: &ProjectSecrets,
    clock: &Clock,
) -> Result<(Verifier, KeyRing), AppError> {
    let auth = &config.auth;
    let is_postgrest = config.rest.profile == RestProfile::Postgrest;
    let verifier = Verifier::new(
        VerifierOptions {
            secret: secrets.jwt_secret.clone(),
            secret_is_base64: auth.jwt_secret_is_base64,
            audience: auth.jwt_audience.clone(),
            issuer: None,
            strict_claims: !is_postgrest,
            require_expiry: auth.require_expiry,
            role_path: RolePath::parse(&auth.jwt_role_claim_path)?,
            anonymous_role: config.rest.anon_role.clone(),
            cache_entries: auth.jwt_cache_entries,
            ..VerifierOptions::default()
        },
        clock.clone(),
    )?;
    let anonymous = config.rest.anon_role.as_deref().unwrap_or("anon");
    let keys = match &secrets.keys {
        Some(keys) if !is_postgrest => KeyRing::of_project(keys, anonymous, SERVICE_ROLE),
        _ => KeyRing::new(),
    };
    Ok((verifier, keys))
}

/// Roles that the authenticator may switch to, logins and superusers apart. Before the first catalog all pass: no
/// query runs then.
fn role_table(catalog: &CatalogHandle) -> Arc<dyn crate::kernel::identity::RoleTable> {
    let catalog = catalog.clone();
    Arc::new(move |name: &str| {
        let current = catalog.load();
        current.version == 0
            || current.roles.get(name).is_some_and(|role| role.settable && !role.login && !role.superuser)
    })
}

/// What the gateway as a whole keeps to.
pub(super) fn gateway_options(config: &Config) -> GatewayOptions {
    let server = &config.server;
    GatewayOptions {
        trusted_proxies: TrustedProxies::new(server.trusted_proxies.clone()),
        max_url_bytes: server.max_url_bytes.as_usize(),
        max_header_bytes: server.max_header_bytes.as_usize(),
        https: server.public_url.as_ref().is_some_and(|url| url.starts_with("https://")),
        log_query: true,
        security_headers: server.security_headers,
        body_timeout: server.read_timeout.get(),
        body_memory: server.body_memory.as_usize(),
        echo_header: config.rest.trace_header.as_deref().and_then(|name| name.parse().ok()),
    }
}

/// What connections keep to.
pub(super) fn server_options(server: &ServerConfig) -> ServerOptions {
    ServerOptions {
        header_read_timeout: server.header_timeout.get(),
        write_stall_timeout: server.write_timeout.get(),
        max_connections: server.max_connections,
        max_head_bytes: server.max_header_bytes.as_usize() + server.max_url_bytes.as_usize(),
        stop_grace: server.shutdown_timeout.get(),
        ..ServerOptions::default()
    }
}

/// What the REST service is sent.
pub(super) fn rest_limits(server: &ServerConfig) -> ServiceLimits {
    let timeout = server.request_timeout.get();
    ServiceLimits {
        body_bytes: server.body_limits.rest.as_usize(),
        timeout: (!timeout.is_zero()).then_some(timeout),
    }
}

/// Which pages may read REST answers.
pub(super) fn rest_cors(config: &Config) -> CorsPolicy {
    let origins = config.server.cors.allowed_origins.clone();
    if config.rest.profile == RestProfile::Postgrest {
        return CorsPolicy::postgrest(origins).max_age(config.server.cors.max_age.get());
    }
    let any = origins.is_empty() || origins.iter().any(|origin| origin == "*");
    CorsPolicy::supabase(if any { Origins::Any } else { Origins::Listed(origins) })
        .max_age(config.server.cors.max_age.get())
}

/// Who may use storage from other sites: what clients of resumable uploads and of downloads read is exposed.
pub(super) fn storage_cors(config: &Config) -> CorsPolicy {
    rest_cors(config).exposing(
        "Accept-Ranges, Cache-Control, Content-Disposition, Content-Length, Content-Range, Content-Type, Date, ETag, Expires, \
         Last-Modified, Location, Retry-After, Tus-Checksum-Algorithm, Tus-Complete, Tus-Extension, Tus-Max-Size, \
         Tus-Resumable, Tus-Version, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, X-Request-Id, X-Robots-Tag, X-Transformations",
    )
}

/// How the gateway's refusals look below the REST prefix.
pub(super) fn rest_errors(config: &Config) -> ErrorShape {
    if config.rest.client_error_verbosity == ErrorVerbosity::Minimal {
        ErrorShape::PostgRestMinimal
    } else {
        ErrorShape::PostgRest
    }
}

/// Requests per time.
pub(super) fn rate_limits(server: &ServerConfig) -> RateLimits {
    let quota = |limit: &Option<RateLimit>| {
        limit.as_ref().filter(|limit| limit.requests > 0).map(|limit| Quota {
            requests: limit.requests,
            per: limit.period.get(),
            burst: limit.burst.unwrap_or(limit.requests),
        })
    };
    let limits = &server.rate_limits;
    RateLimits {
        per_ip: quota(&limits.per_ip),
        per_key: quota(&limits.per_key),
        per_user: quota(&limits.per_user),
    }
}
