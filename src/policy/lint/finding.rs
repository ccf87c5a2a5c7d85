//! What a rule says: which rule, how bad, about what, why it matters and what to do. Pure.

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad a finding is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Rows or rights are open to callers who should not have them, or a table is closed to all by mistake.
    Problem,
    /// Safe only as long as something else is right, or needlessly slow.
    Warning,
    /// Often meant so; worth a look.
    Note,
}

impl Severity {
    /// All, the worst first.
    pub const ALL: [Self; 3] = [Self::Problem, Self::Warning, Self::Note];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A table, its policies and its rules among it.
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterializedView,
    /// A table of a foreign server.
    ForeignTable,
    /// A function.
    Function,
    /// The stored rules as a whole.
    Rules,
}

impl ObjectKind {
    /// The words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::ForeignTable => "foreign table",
            Self::Function => "function",
            Self::Rules => "rules",
        }
    }
}

/// A rule. Its id is part of the output that programs read and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// An exposed relation that neither row-level security nor a row of table security protects.
    UnprotectedRelation,
    /// A view that reads protected tables with its owner's rights.
    ViewWithOwnerRights,
    /// Row-level security without a policy.
    RowSecurityWithoutPolicy,
    /// A SECURITY DEFINER function that API roles may call.
    DefinerFunctionExposed,
    /// A SECURITY DEFINER function whose names callers may redirect.
    DefinerSearchPath,
    /// An exposed function that can read a hidden or masked column.
    FunctionReadsProtectedColumn,
    /// A policy that asks for the caller once a row.
    PolicyCallPerRow,
    /// A policy over a column that has no index.
    PolicyColumnWithoutIndex,
    /// A policy that trusts what users write about themselves.
    PolicyTrustsUserMetadata,
    /// A permissive policy that permits everything.
    PolicyAlwaysTrue,
    /// A key over a hidden column that callers may write.
    KeyOverHiddenColumn,
    /// A hidden column that the role may select by its grants.
    HiddenColumnGranted,
    /// Rules of a table that is not there.
    RulesWithoutTable,
    /// Rules of a column that is not there.
    RulesWithoutColumn,
    /// Rules that close their table, because they are switched off, unreadable or not enforced.
    RulesNotInForce,
    /// A public table whose rows no policy decides about.
    PublicReadWithoutPolicy,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 16] = [
        Self::UnprotectedRelation,
        Self::ViewWithOwnerRights,
        Self::RowSecurityWithoutPolicy,
        Self::DefinerFunctionExposed,
        Self::DefinerSearchPath,
        Self::FunctionReadsProtectedColumn,
        Self::PolicyCallPerRow,
        Self::PolicyColumnWithoutIndex,
        Self::PolicyTrustsUserMetadata,
        Self::PolicyAlwaysTrue,
        Self::KeyOverHiddenColumn,
        Self::HiddenColumnGranted,
        Self::RulesWithoutTable,
        Self::RulesWithoutColumn,
        Self::RulesNotInForce,
        Self::PublicReadWithoutPolicy,
    ];

    /// Its id, as in the output and in docs/guides/policy-lint.md.
    pub fn id(self) -> &'static str {
        match self {
            Self::UnprotectedRelation => "unprotected_relation",
            Self::ViewWithOwnerRights => "view_with_owner_rights",
            Self::RowSecurityWithoutPolicy => "row_security_without_policy",
            Self::DefinerFunctionExposed => "definer_function_exposed",
            Self::DefinerSearchPath => "definer_search_path",
            Self::FunctionReadsProtectedColumn => "function_reads_protected_column",
            Self::PolicyCallPerRow => "policy_call_per_row",
            Self::PolicyColumnWithoutIndex => "policy_column_without_index",
            Self::PolicyTrustsUserMetadata => "policy_trusts_user_metadata",
            Self::PolicyAlwaysTrue => "policy_always_true",
            Self::KeyOverHiddenColumn => "key_over_hidden_column",
            Self::HiddenColumnGranted => "hidden_column_granted",
            Self::RulesWithoutTable => "rules_without_table",
            Self::RulesWithoutColumn => "rules_without_column",
            Self::RulesNotInForce => "rules_not_in_force",
            Self::PublicReadWithoutPolicy => "public_read_without_policy",
        }
    }

    /// Why it matters.
    pub fn why(self) -> &'static str {
        match self {
            Self::UnprotectedRelation => {
                "Nothing in the database decides which rows a caller sees: REST refuses the relation, and every other \
                 way under an API role reaches all of it."
            }
            Self::ViewWithOwnerRights => {
                "The view reads as its owner, whom row policies usually do not bind, so callers see rows that the \
                 tables keep from them."
            }
            Self::RowSecurityWithoutPolicy => {
                "Without a policy PostgreSQL shows no row to callers and takes none from them."
            }
            Self::DefinerFunctionExposed => {
                "It runs with its owner's rights, past grants and row policies: what it checks itself is all that is \
                 checked."
            }
            Self::DefinerSearchPath => {
                "Whoever sets the search path, or may create in a schema on it, decides which objects the function's \
                 names mean, and those run with its owner's rights."
            }
            Self::FunctionReadsProtectedColumn => {
                "Column rules follow tables and views; what a function makes of a column and returns as something \
                 else is its author's to protect. Found by dependencies and by a search for the name in the body, so \
                 it may be a false alarm."
            }
            Self::PolicyCallPerRow => {
                "PostgreSQL evaluates the call for each row that it looks at; inside `(select …)` once a statement."
            }
            Self::PolicyColumnWithoutIndex => {
                "Every request compares the column for all rows of the table, as no index leads to the few that fit."
            }
            Self::PolicyTrustsUserMetadata => {
                "Users write user_metadata themselves, so they choose what the policy sees. app_metadata is the \
                 server's."
            }
            Self::PolicyAlwaysTrue => {
                "Permissive policies add up: one that is always true makes every other one of its verb meaningless."
            }
            Self::KeyOverHiddenColumn => {
                "A caller who writes values learns from a collision or a missing reference that a value exists, \
                 though the answer names neither column nor value."
            }
            Self::HiddenColumnGranted => {
                "REST hides the column; SQL under that role (functions, GraphQL) still reads it by its grant."
            }
            Self::RulesWithoutTable => {
                "The rules protect nothing: perhaps the table was renamed, and goes without them now."
            }
            Self::RulesWithoutColumn => {
                "A rule about a name that is no column protects nothing: perhaps the column was renamed, and is open \
                 now."
            }
            Self::RulesNotInForce => {
                "Rules that are switched off, cannot be read or are not enforced close their table to everybody whom \
                 rules bind."
            }
            Self::PublicReadWithoutPolicy => {
                "public_read lifts the rules about who reads, so the row policies alone decide about rows; there is \
                 none."
            }
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// One thing that a rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of object it is about.
    pub kind: ObjectKind,
    /// The object's name, with its schema and for functions with its arguments.
    pub object: String,
    /// What was found, in a sentence.
    pub message: String,
    /// Why it matters.
    pub why: &'static str,
    /// SQL that fixes it, or what to change where SQL alone cannot.
    pub fix: String,
}

impl Finding {
    /// A finding of `rule`.
    pub(super) fn new(
        rule: Rule,
        severity: Severity,
        object: (ObjectKind, String),
        message: String,
        fix: String,
    ) -> Self {
        let (kind, object) = object;
        Self { rule, severity, kind, object, message, why: rule.why(), fix }
    }
}
