//! What somebody may do to goforward itself, behind a port: which callers are admins is known elsewhere. Pure.

use super::caller::{Caller, Via};

/// A right over goforward's own settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Reading and changing the rules of tables.
    ManageTableSecurity,
    /// Writing conditions on rows, which are SQL that runs in everybody's queries.
    ManageRowFilters,
    /// Seeing which topics there are and how many are on each.
    InspectRealtime,
    /// Saying what holds for channels, and which tables are followed.
    ManageRealtime,
}

/// Who may do what to goforward itself.
pub trait Authority: Send + Sync {
    /// Whether `caller` has a capability.
    fn allows(&self, caller: &Caller, capability: Capability) -> bool;
}

/// Only servers with the project's secret key (or a token of that role) may do anything.
#[derive(Clone, Debug)]
pub struct ServersOnly {
    /// The role of servers.
    pub service_role: std::sync::Arc<str>,
}

impl Authority for ServersOnly {
    fn allows(&self, caller: &Caller, _: Capability) -> bool {
        caller.via != Via::Nothing && caller.role == self.service_role
    }
}
