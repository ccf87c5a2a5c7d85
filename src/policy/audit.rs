//! What PostgreSQL itself is to record of writes: the triggers of an audited table. Pure.
//!
//! `store::audit_triggers` brings the database there. Reads leave no trace in the database; services record them.

use std::collections::BTreeSet;

use super::model::{TableSecurity, Verb};

/// A trigger that should exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditTrigger {
    /// Its name.
    pub name: &'static str,
    /// When it runs, up to the name of the table.
    pub event: &'static str,
    /// Which rows it sees, after the name of the table.
    pub rows: &'static str,
}

/// Every name that a trigger of ours has had.
pub const AUDIT_TRIGGER_NAMES: [&str; 4] = [
    "goforward_audit_insert",
    "goforward_audit_update",
    "goforward_audit_delete",
    "goforward_audit_truncate",
];

/// The verbs of a table whose writes the database records.
pub fn audited_writes(security: &TableSecurity) -> BTreeSet<Verb> {
    security.audit_actions.iter().copied().filter(|verb| !verb.is_read()).collect()
}

/// The triggers that record these verbs. TRUNCATE takes rows away, so it goes with `delete`.
pub fn audit_triggers(verbs: &BTreeSet<Verb>) -> Vec<AuditTrigger> {
    let [insert, update, delete, truncate] = AUDIT_TRIGGER_NAMES;
    let triggers = verbs.iter().flat_map(|verb| match verb {
        Verb::Select => vec![],
        Verb::Insert => vec![(insert, " after insert on ", " referencing new table as new_rows")],
        Verb::Update => {
            vec![(update, " after update on ", " referencing old table as old_rows new table as new_rows")]
        }
        Verb::Delete => vec![
            (delete, " after delete on ", " referencing old table as old_rows"),
            (truncate, " after truncate on ", ""),
        ],
    });
    triggers.map(|(name, event, rows)| AuditTrigger { name, event, rows }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(actions: &serde_json::Value) -> Vec<&'static str> {
        let security = TableSecurity::parse(json!({ "audit_actions": actions })).unwrap();
        audit_triggers(&audited_writes(&security)).iter().map(|trigger| trigger.name).collect()
    }

    #[test]
    fn each_verb_has_its_trigger_and_delete_stands_for_truncate_too() {
        assert_eq!(names(&json!(["insert", "update", "delete"])), AUDIT_TRIGGER_NAMES);
        assert_eq!(names(&json!(["delete"])), ["goforward_audit_delete", "goforward_audit_truncate"]);
    }

    #[test]
    fn reads_need_no_trigger() {
        assert_eq!(names(&json!(["select"])), Vec::<&str>::new());
        assert_eq!(names(&json!([])), Vec::<&str>::new());
    }
}
