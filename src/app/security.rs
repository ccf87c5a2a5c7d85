//! The security service put together: who may use it, and what it asks with.

use std::sync::Arc;

use crate::app::database::Database;
use crate::app::edge;
use crate::app::rest::Rest;
use crate::gateway::Mount;
use crate::kernel::config::Config;
use crate::kernel::db::login::Login;
use crate::kernel::identity::{ServersOnly, VerifiedClaim};
use crate::policy::access::AccessSettings;
use crate::security::{SecurityState, router};

/// What callers are held to beside the rules of tables.
pub(super) fn access_settings(config: &Config, trusted_role: Option<&'static str>) -> AccessSettings {
    let claim = config.security.verified_claim.as_deref();
    AccessSettings {
        anon_role: config.rest.anon_role.as_deref().map(Arc::from),
        trusted_role,
        closed_by_default: config.rest.protect_relations,
        star_by_grants: config.rest.star_by_grants,
        // Checked with the configuration; a claim that cannot be used verifies nobody.
        verified_claim: claim.and_then(|path| VerifiedClaim::parse(path).ok()),
        extra_search_path: config.rest.extra_search_path.clone(),
    }
}

/// The mount of the service, where the database is one that holds rules.
pub(super) fn mount(config: &Config, database: &Database, rest: &Rest) -> Option<Mount> {
    let rules = rest.rules.clone()?;
    let service_role = database.service_role.unwrap_or(edge::SERVICE_ROLE);
    let authority = Arc::new(ServersOnly { service_role: Arc::from(service_role) });
    let login = Login::from(&database.authenticator);
    let parts = (rest.catalog.clone(), Arc::clone(&rest.policies));
    let state = SecurityState::new(parts, Arc::clone(&rest.access), rules, authority, login);
    let mount = Mount::router("security", "/security/v1", router(state))
        .limits(edge::rest_limits(&config.server))
        .cors(edge::rest_cors(config))
        .rate_limits(edge::rate_limits(&config.server))
        .compress(config.server.compression);
    Some(mount)
}
