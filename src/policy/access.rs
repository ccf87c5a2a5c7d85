//! What callers are held to beside the rules of tables: settings that every service has from the configuration. Pure.

use std::sync::Arc;

use crate::catalog::model::Catalog;
use crate::kernel::identity::VerifiedClaim;

/// The settings.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// The role of callers without a token.
    pub anon_role: Option<Arc<str>>,
    /// The role that stands for one with BYPASSRLS where that cannot be had: that of servers, where the database was
    /// prepared by us.
    pub trusted_role: Option<&'static str>,
    /// Whether relations that nothing protects are closed.
    pub closed_by_default: bool,
    /// Whether `*` leaves out columns that the role may not select.
    pub star_by_grants: bool,
    /// The claim that says whether an account is verified.
    pub verified_claim: Option<VerifiedClaim>,
    /// Schemas whose views are read through, though they are not exposed.
    pub extra_search_path: Vec<String>,
}

impl AccessSettings {
    /// Whether rules do not bind the role: row-level security does not either, or is not meant to.
    pub fn bypasses(&self, catalog: &Catalog, role: &str) -> bool {
        self.trusted_role == Some(role) || catalog.roles.get(role).is_some_and(|role| role.bypass_rls)
    }
}
