//! What operators do to definitions and published tables: how the audit log names it.

use serde_json::{Value, json};

use crate::catalog::model::QualifiedName;
use crate::kernel::db::deed::Deed;

/// A definition is made or changed; `of` says which.
pub fn define(of: Value) -> Deed {
    on_definitions("realtime.definition.put", of)
}

/// A definition is removed.
pub fn undefine(of: Value) -> Deed {
    on_definitions("realtime.definition.remove", of)
}

/// A request of somebody who may change nothing.
pub(in crate::realtime) fn not_allowed(path: &str) -> Deed {
    on_definitions("realtime.manage", json!({ "path": path }))
}

fn on_definitions(verb: &'static str, of: Value) -> Deed {
    Deed::new(verb, ("goforward", "channels"), Some(of))
}

/// A table is published.
pub fn publish(table: &QualifiedName) -> Deed {
    on_table("realtime.table.publish", table)
}

/// A table is withdrawn.
pub fn withdraw(table: &QualifiedName) -> Deed {
    on_table("realtime.table.withdraw", table)
}

fn on_table(verb: &'static str, table: &QualifiedName) -> Deed {
    Deed::new(verb, (table.schema.clone(), table.name.clone()), None)
}
