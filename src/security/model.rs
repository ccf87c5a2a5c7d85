//! What the service is sent and what it answers. Pure.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::catalog::model::QualifiedName;
use crate::kernel::identity::Claims;
use crate::policy::model::{TableSecurity, Verb};
use crate::policy::store::{PastRules, StoredRules};

/// `schema.table` of a path; only the first dot separates.
pub(super) fn table_name(text: &str) -> Option<QualifiedName> {
    let (schema, table) = text.split_once('.')?;
    (!schema.is_empty() && !table.is_empty()).then(|| QualifiedName::new(schema, table))
}

/// The version that an entity tag of ours names.
pub(super) fn version_of_tag(tag: &str) -> Option<i64> {
    tag.trim().strip_prefix("\"v")?.strip_suffix('"')?.parse().ok()
}

/// The entity tag of a version.
pub(super) fn tag_of_version(version: i64) -> String {
    format!("\"v{version}\"")
}

/// What an answer says beside the rules; accepted and ignored in what is sent, so that an answer can be sent back.
const BESIDE_RULES: [&str; 8] =
    ["schema", "table", "version", "created_at", "created_by", "updated_at", "updated_by", "problem"];

/// A body without what is not rules.
pub(super) fn without_bookkeeping(mut body: Map<String, Value>) -> Map<String, Value> {
    body.retain(|key, _| !BESIDE_RULES.contains(&key.as_str()));
    body
}

/// Stored rules with changes laid over them (RFC 7396): what is null is off again.
pub(super) fn patched(rules: &TableSecurity, changes: Map<String, Value>) -> Value {
    let mut merged = json!(rules);
    merge(&mut merged, Value::Object(changes));
    merged
}

fn merge(target: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else {
        *target = changes;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), change);
        }
    }
}

/// Stored rules as an answer.
pub(super) fn shown(stored: &StoredRules) -> Value {
    let mut shown = match &stored.rules {
        Ok(rules) => json!(rules),
        Err(problem) => json!({"problem": problem}),
    };
    shown["schema"] = json!(stored.name.schema);
    shown["table"] = json!(stored.name.name);
    shown["version"] = json!(stored.version);
    shown["created_at"] = json!(stored.created_at);
    shown["created_by"] = json!(stored.created_by);
    shown["updated_at"] = json!(stored.updated_at);
    shown["updated_by"] = json!(stored.updated_by);
    shown
}

/// One entry of a history as an answer.
pub(super) fn shown_past(past: &PastRules) -> Value {
    json!({
        "version": past.version, "action": past.action, "rules": past.rules,
        "changed_at": past.changed_at, "changed_by": past.changed_by,
    })
}

/// A question about somebody's access.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// The claims of the caller; `role` decides which role it has.
    #[serde(default)]
    pub claims: Claims,
    /// The schema of the table.
    #[serde(default = "default_schema")]
    pub schema: Arc<str>,
    /// The table.
    pub table: Arc<str>,
    /// What the caller wants to do.
    pub verb: Verb,
    /// The row in question: the columns of its key with their values, or for an insert the columns of the new row.
    #[serde(default)]
    pub key: Option<Map<String, Value>>,
    /// Where the caller comes from.
    #[serde(default)]
    pub address: Option<core::net::IpAddr>,
}

fn default_schema() -> Arc<str> {
    Arc::from("public")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_by_schema_and_name() {
        assert_eq!(table_name("public.a.b"), Some(QualifiedName::new("public", "a.b")));
        for text in ["orders", ".orders", "public.", ""] {
            assert_eq!(table_name(text), None, "{text}");
        }
    }

    #[test]
    fn tags_name_versions() {
        assert_eq!(version_of_tag(&tag_of_version(7)), Some(7));
        for text in ["v7", "\"7\"", "W/\"v7\"", "*", "\"v\""] {
            assert_eq!(version_of_tag(text), None, "{text}");
        }
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_switches_off() {
        let rules = TableSecurity::parse(json!({
            "require_auth": true, "display_name": "Orders", "field_permissions": {"a": {"hidden": true}, "b": {"hidden": true}},
        }))
        .unwrap();
        let changes = json!({"require_auth": null, "field_permissions": {"a": null}, "public_read": true});
        let changes = changes.as_object().unwrap().clone();
        let patched = TableSecurity::parse(patched(&rules, changes)).unwrap();
        assert!(!patched.require_auth && patched.public_read);
        assert_eq!(patched.display_name.as_deref(), Some("Orders"));
        assert_eq!(patched.field_permissions.keys().collect::<Vec<_>>(), ["b"]);
    }
}
