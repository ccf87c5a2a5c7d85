//! The scope of a request in the database: role, claims and the other settings of its statement group.
//!
//! Everything here is transaction-local; [`statement_group`] is the only place that decides what a query runs as.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::model::{Catalog, Function, IsolationLevel, Role};
use crate::kernel::audit::CONTEXT_SETTING;
use crate::kernel::db::wire::{Access, Finish, Group, Isolation, Query};
use crate::kernel::identity::Caller;
use crate::rest::audit::RequestAudit;
use crate::rest::core::request::ApiRequest;
use crate::rest::settings::RestSettings;

/// Who asks for what, under which settings.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// What is asked.
    pub request: &'a ApiRequest,
    /// The catalog that the plan was made with.
    pub catalog: &'a Catalog,
    /// The service's settings.
    pub settings: &'a RestSettings,
    /// The function called, if one is.
    pub function: Option<&'a Function>,
    /// The request's id, for the log.
    pub request_id: &'a str,
    /// The trace that the request is part of (W3C trace id).
    pub trace_id: Option<&'a str>,
    /// What the request puts on record.
    pub audit: &'a RequestAudit<'a>,
}

/// Whether a query may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It runs read-only.
    Reads,
    /// It may write.
    Writes,
}

impl Scope<'_> {
    fn role(&self) -> Option<&Role> {
        self.catalog.roles.get(&self.caller.role)
    }

    /// The group that runs `query` as the caller.
    pub(super) fn statement_group(&self, query: Query, effect: Effect, finish: Finish) -> Group {
        let access = match effect {
            Effect::Reads => Access::Read { shape: shape(&query.sql, &self.caller.role) },
            Effect::Writes => Access::Write,
        };
        let mut group = Group::new(query, access);
        group.finish = finish;
        group.isolation = self.isolation();
        // What a function leaves in its session must not reach the next caller.
        group.resets_session = self.function.is_some();
        group.before.clone_from(&self.settings.pre_request);
        group.settings.reserve(15);
        self.add_settings(&mut group);
        if effect == Effect::Writes
            && let Some(context) = self.audit.context()
        {
            group.set(CONTEXT_SETTING, context);
        }
        group
    }

    fn isolation(&self) -> Option<Isolation> {
        let level = self
            .function
            .and_then(|function| function.isolation_level)
            .or_else(|| self.role().and_then(|role| role.isolation))?;
        match level {
            IsolationLevel::ReadCommitted => None,
            IsolationLevel::RepeatableRead => Some(Isolation::RepeatableRead),
            IsolationLevel::Serializable => Some(Isolation::Serializable),
        }
    }

    /// The settings of the role come before the role itself, so that the login's right to set them counts.
    fn add_settings(&self, group: &mut Group) {
        let request = self.request;
        group.set("search_path", self.settings.search_path(&request.schema));
        let mut has_timeout = false;
        for (name, value) in self.role().map_or(&[][..], |role| role.settings.as_slice()) {
            has_timeout |= &**name == "statement_timeout";
            group.set(name.to_string(), Bytes::copy_from_slice(value.as_bytes()));
        }
        if let (false, Some(timeout)) = (has_timeout, &self.settings.statement_timeout) {
            group.set("statement_timeout", timeout.clone());
        }
        group.set("role", Bytes::copy_from_slice(self.caller.role.as_bytes()));
        // A function may have left them in the session; they are headers and status of this answer only.
        group.set("response.headers", Bytes::new());
        group.set("response.status", Bytes::new());
        group.set("request.jwt.claims", self.caller.claims_json.clone());
        group.set("request.method", Bytes::copy_from_slice(request.method.as_bytes()));
        group.set("request.path", Bytes::copy_from_slice(request.path.as_bytes()));
        group.set("request.headers", request.headers.clone());
        group.set("request.cookies", request.cookies.clone());
        if let Some(timezone) = &request.preferences.timezone {
            group.set("timezone", Bytes::copy_from_slice(timezone.as_bytes()));
        }
        if let Some(trace_id) = self.trace_id {
            group.set("request.trace_id", Bytes::copy_from_slice(trace_id.as_bytes()));
        }
        if let Some(function) = self.function {
            for (name, value) in function.hoisted_settings(&self.settings.hoisted_settings) {
                group.set(name.to_owned(), Bytes::copy_from_slice(value.as_bytes()));
            }
        }
        for (name, value) in &self.settings.app_settings {
            group.set(Cow::Owned(name.to_string()), value.clone());
        }
    }
}

/// Names a query and the role it runs as, for the read lane's memory of what is fast.
fn shape(sql: &str, role: &Arc<str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    sql.hash(&mut hasher);
    role.hash(&mut hasher);
    hasher.finish()
}
