//! What the actions share.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::catalog::model::Catalog;
use crate::catalog::reload::CatalogHandle;
use crate::kernel::db::login::Login;
use crate::kernel::identity::Authority;
use crate::policy::access::AccessSettings;
use crate::policy::book::PolicyBook;
use crate::policy::store::RuleStore;

use super::error::SecurityError;
use super::store::CallerProbe;

/// What the service needs; cheap to clone.
#[derive(Clone)]
pub struct SecurityState {
    /// The catalog.
    pub catalog: CatalogHandle,
    /// The rules in force and what callers see.
    pub policies: Arc<PolicyBook>,
    /// The stored rules.
    pub rules: RuleStore,
    /// Who may use the service.
    pub authority: Arc<dyn Authority>,
    /// What callers are held to beside the rules; swapped when the configuration is read again.
    pub access: Arc<ArcSwap<AccessSettings>>,
    /// Asks the database as a caller.
    pub(super) probe: CallerProbe,
}

impl SecurityState {
    /// The service over these parts. `login` is the one that switches to the roles of callers.
    pub fn new(
        (catalog, policies): (CatalogHandle, Arc<PolicyBook>),
        access: Arc<ArcSwap<AccessSettings>>,
        rules: RuleStore,
        authority: Arc<dyn Authority>,
        login: Login,
    ) -> Self {
        Self { catalog, policies, rules, authority, access, probe: CallerProbe::new(login) }
    }

    /// The catalog, once there is one.
    pub(super) fn catalog(&self) -> Result<Arc<Catalog>, SecurityError> {
        if self.catalog.is_ready() { Ok(self.catalog.current()) } else { Err(SecurityError::NotReady) }
    }
}
