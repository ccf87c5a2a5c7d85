//! What is to change in the database so that it enforces the rules: in words for people, and as SQL. Pure.

use std::fmt;

use crate::catalog::model::QualifiedName;
use crate::kernel::sql::SqlBuf;
use crate::policy::desired::DesiredPolicy;
use crate::policy::model::Verb;

use super::audit_triggers::{self, TriggerChange};
use super::grants::Privilege;

/// One thing to change on one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: QualifiedName,
    /// What to change.
    pub action: Action,
}

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Row-level security is off though rules are about rows.
    EnableRowSecurity,
    /// A policy is missing.
    MakePolicy(DesiredPolicy),
    /// A policy of that name is not the one that the rules ask for.
    ReplacePolicy {
        /// The one that they ask for.
        policy: DesiredPolicy,
        /// Whether the present one is as we made it, so that the rules changed and not the policy.
        is_ours: bool,
    },
    /// A policy of ours that no rule asks for.
    DropPolicy {
        /// Its name.
        name: String,
    },
    /// A role may use columns that the rules keep from it: its grant is narrowed to the others.
    TakeGrant {
        /// The role.
        role: String,
        /// What it may do with the others.
        privilege: Privilege,
        /// The columns that it keeps.
        columns: Vec<String>,
        /// Whether it could pass the privilege on.
        is_grantable: bool,
    },
    /// The columns of a narrowed grant are not those that the rules leave.
    AdjustGrant {
        /// The role.
        role: String,
        /// The privilege.
        privilege: Privilege,
        /// Columns that it lacks.
        missing: Vec<String>,
        /// Columns that it must not have.
        extra: Vec<String>,
    },
    /// The rules keep no column from the role any more: it gets back the grant that was narrowed.
    GiveGrantBack {
        /// The role.
        role: String,
        /// The privilege.
        privilege: Privilege,
        /// Whether it could pass the privilege on.
        is_grantable: bool,
    },
    /// The triggers that record writes are not those that the rules ask for.
    Record(TriggerChange),
    /// The grant that was narrowed is not there any more, or is whole again: nothing is to be given back.
    ForgetGrant {
        /// The role.
        role: String,
        /// The privilege.
        privilege: Privilege,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        match &self.action {
            Action::EnableRowSecurity => write!(f, "{table}: switch row-level security on"),
            Action::MakePolicy(policy) => write!(f, "{table}: make policy {}", policy.name),
            Action::ReplacePolicy { policy, is_ours: true } => {
                write!(f, "{table}: replace policy {}, as the rules ask for another", policy.name)
            }
            Action::ReplacePolicy { policy, is_ours: false } => {
                write!(f, "{table}: replace policy {}, which somebody else made or altered", policy.name)
            }
            Action::DropPolicy { name } => write!(f, "{table}: drop policy {name}, as no rule asks for it"),
            Action::TakeGrant { role, privilege, columns, .. } if columns.is_empty() => {
                write!(f, "{table}: take {} from {role}", privilege.word())
            }
            Action::TakeGrant { role, privilege, columns, .. } => {
                write!(f, "{table}: leave {role} {} on {} only", privilege.word(), columns.join(", "))
            }
            Action::AdjustGrant { role, privilege, missing, extra } => {
                write!(f, "{table}: correct {} of {role}:", privilege.word())?;
                if !missing.is_empty() {
                    write!(f, " add {}", missing.join(", "))?;
                }
                if !extra.is_empty() {
                    write!(f, " take {}", extra.join(", "))?;
                }
                Ok(())
            }
            Action::GiveGrantBack { role, privilege, .. } => {
                write!(f, "{table}: give {role} {} on all columns back", privilege.word())
            }
            Action::Record(TriggerChange::Create(table, trigger)) => {
                write!(f, "{table}: record writes by trigger {}", trigger.name)
            }
            Action::Record(TriggerChange::Drop(table, trigger)) => {
                write!(f, "{table}: drop trigger {trigger}, which records writes")
            }
            Action::ForgetGrant { role, privilege } => {
                write!(f, "{table}: forget that {role} once had {} on all columns", privilege.word())
            }
        }
    }
}

impl Change {
    /// Whether a policy is made or made anew.
    pub fn makes_policy(&self) -> bool {
        matches!(self.action, Action::MakePolicy(_) | Action::ReplacePolicy { .. })
    }

    /// The statements that make the change. The comment that marks a policy comes on top, and a note in our own table of
    /// the grant that was taken.
    pub fn sql(&self) -> Vec<String> {
        let statements = match &self.action {
            Action::EnableRowSecurity => vec![self.alter(" enable row level security")],
            Action::MakePolicy(policy) => vec![self.create(policy)],
            Action::ReplacePolicy { policy, .. } => vec![self.drop(policy.name), self.create(policy)],
            Action::DropPolicy { name } => vec![self.drop(name)],
            Action::TakeGrant { role, privilege, columns, .. } => {
                let mut statements = vec![self.revoke(*privilege, &[], role)];
                if !columns.is_empty() {
                    statements.push(self.grant(*privilege, columns, role, false));
                }
                statements
            }
            Action::AdjustGrant { role, privilege, missing, extra } => {
                let mut statements = Vec::new();
                if !extra.is_empty() {
                    statements.push(self.revoke(*privilege, extra, role));
                }
                if !missing.is_empty() {
                    statements.push(self.grant(*privilege, missing, role, false));
                }
                statements
            }
            // Taking it from the table takes it from the columns too.
            Action::GiveGrantBack { role, privilege, is_grantable } => {
                vec![self.revoke(*privilege, &[], role), self.grant(*privilege, &[], role, *is_grantable)]
            }
            Action::Record(change) => vec![audit_triggers::statement(change)],
            Action::ForgetGrant { .. } => Vec::new(),
        };
        statements.into_iter().map(|statement| statement.into_parts().0).collect()
    }

    fn alter(&self, what: &'static str) -> SqlBuf {
        let mut sql = SqlBuf::new();
        sql.lit("alter table ").name(&self.table.schema, &self.table.name).lit(what);
        sql
    }

    fn create(&self, policy: &DesiredPolicy) -> SqlBuf {
        let mut sql = SqlBuf::new();
        sql.lit("create policy ").ident(policy.name).lit(" on ").name(&self.table.schema, &self.table.name);
        sql.lit(if policy.restrictive { " as restrictive for " } else { " as permissive for " });
        sql.lit(policy.verb.word()).lit(" to ");
        if policy.roles.is_empty() {
            sql.lit("public");
        } else {
            sql.join(", ", &policy.roles, |sql, role| {
                sql.ident(role);
            });
        }
        // A condition holds names that were quoted and expressions whose brackets are closed (see `RowExpression`).
        if policy.verb != Verb::Insert {
            sql.lit(" using (").catalog_sql(&policy.condition).lit(")");
        }
        if matches!(policy.verb, Verb::Insert | Verb::Update) {
            sql.lit(" with check (").catalog_sql(&policy.condition).lit(")");
        }
        sql
    }

    fn drop(&self, policy: &str) -> SqlBuf {
        let mut sql = SqlBuf::new();
        sql.lit("drop policy ").ident(policy).lit(" on ").name(&self.table.schema, &self.table.name);
        sql
    }

    fn grant(&self, privilege: Privilege, columns: &[String], role: &str, is_grantable: bool) -> SqlBuf {
        let mut sql = SqlBuf::new();
        sql.lit("grant ");
        self.privilege(&mut sql, privilege, columns);
        sql.lit(" to ").ident(role);
        if is_grantable {
            sql.lit(" with grant option");
        }
        sql
    }

    fn revoke(&self, privilege: Privilege, columns: &[String], role: &str) -> SqlBuf {
        let mut sql = SqlBuf::new();
        sql.lit("revoke ");
        self.privilege(&mut sql, privilege, columns);
        sql.lit(" from ").ident(role);
        sql
    }

    fn privilege(&self, sql: &mut SqlBuf, privilege: Privilege, columns: &[String]) {
        sql.lit(privilege.word());
        if !columns.is_empty() {
            sql.lit(" (")
                .join(", ", columns, |sql, column| {
                    sql.ident(column);
                })
                .lit(")");
        }
        sql.lit(" on table ").name(&self.table.schema, &self.table.name);
    }
}
