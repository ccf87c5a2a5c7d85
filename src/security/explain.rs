//! Why a caller may or may not do something with a table: each rule in the order in which it is asked, until one says no.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::catalog::model::{Catalog, QualifiedName, ReadAccess, Relation};
use crate::kernel::db::login::Login;
use crate::kernel::identity::Claims;
use crate::kernel::sanitise::Policy;
use crate::policy::access::AccessSettings;
use crate::policy::book::PolicyBook;
use crate::policy::caller::PolicyCaller;
use crate::policy::decide::{self, decide};
use crate::policy::model::Verb;
use crate::policy::protected::protected;

use super::error::SecurityError;
use super::model::Question;
use super::store::{CallerProbe, Facts, Privileges, RowPolicy, RowVerdict, effective_sql};

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    /// Whether it would be done.
    pub allowed: bool,
    /// What decided, in words.
    pub reason: String,
    /// What decided: the name of a rule, `fields`, `grant`, `row_policy`, `unprotected`, `unknown_table`, or `none`.
    pub rule: &'static str,
    /// The table whose rule it is, which for a view may be one below it.
    pub relation: String,
    /// The role of the caller.
    pub role: String,
    /// What the caller may do with each column.
    pub columns: BTreeMap<String, ColumnVerdict>,
    /// The row policies that apply, PostgreSQL's and ours.
    pub row_policies: Vec<RowPolicy>,
    /// The rows and columns that come of it, as SQL.
    pub sql: Option<String>,
}

/// What a caller may do with a column.
#[derive(Debug, Serialize)]
pub(super) struct ColumnVerdict {
    /// `plain`, `masked`, `not_granted` or `hidden`.
    pub read: &'static str,
    /// Whether it may be written.
    pub write: bool,
    /// What is done about unwanted input in what is written: `monitor`, `clean` or `reject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Policy>,
}

/// Answers a question about the caller that it describes, by this catalog and by what the database says.
pub(super) async fn explain(
    (catalog, policies): (&Arc<Catalog>, &PolicyBook),
    settings: &AccessSettings,
    probe: &CallerProbe,
    question: &Question,
) -> Result<Explanation, SecurityError> {
    let caller = caller(settings, catalog, question)?;
    let view = policies.view(catalog, &caller, settings.star_by_grants);
    let name = QualifiedName::new(Arc::clone(&question.schema), Arc::clone(&question.table));
    let mut answer = Explanation {
        allowed: false,
        reason: String::new(),
        rule: "none",
        relation: name.to_string(),
        role: caller.role.to_string(),
        columns: BTreeMap::new(),
        row_policies: Vec::new(),
        sql: None,
    };
    let Some(relation) = view.catalog.relations.get(&name) else {
        return Ok(answer.refused("unknown_table", format!("no exposed schema has a table {name}")));
    };
    if let Some(full) = catalog.relations.get(&name) {
        answer.columns = columns(full, relation);
    }
    if !caller.bypasses
        && settings.closed_by_default
        && let Err(open) = protected(relation, &caller.role)
    {
        return Ok(answer.refused("unprotected", format!("{name} {}", open.reason)));
    }
    if let Err(refusal) = decide(&view, relation, question.verb, &caller) {
        answer.relation = refusal.relation.to_string();
        let words = reason(&refusal);
        return Ok(answer.refused(refusal.rule.name(), words));
    }
    let claims = claims_of(&caller, &question.claims);
    let facts = probe.facts(&caller.role, &claims, relation, question.verb).await?;
    answer.row_policies.clone_from(&facts.policies);
    answer.sql = Some(effective_sql(relation, question.verb));
    if let Some((rule, words)) = refused_by_columns(relation, question, &caller, &facts)
        .or_else(|| refused_to_all_rows(question.verb, &caller, &facts))
    {
        return Ok(answer.refused(rule, words));
    }
    if let Some(key) = &question.key {
        let asker = (&*caller.role, claims.as_str());
        let verdict = probe.row(asker, relation, question.verb, key).await?;
        return Ok(answer.of_row(verdict, question.verb, key));
    }
    answer.allowed = true;
    answer.reason = if caller.bypasses {
        format!("the role {} is not bound by rules", caller.role)
    } else {
        "no rule or grant forbids it; row policies decide about each row".to_owned()
    };
    Ok(answer)
}

/// Row-level security that no policy opens.
fn refused_to_all_rows(verb: Verb, caller: &PolicyCaller, facts: &Facts) -> Option<(&'static str, String)> {
    let is_closed = facts.is_bound && facts.policies.iter().all(|policy| policy.restrictive);
    is_closed.then(|| {
        let (role, verb) = (&caller.role, verb.word());
        ("row_policy", format!("row-level security is on, and no policy lets {role} {verb} any row"))
    })
}

/// The grant, or the rule about columns, that leaves nothing to do.
fn refused_by_columns(
    relation: &Relation,
    question: &Question,
    caller: &PolicyCaller,
    facts: &Facts,
) -> Option<(&'static str, String)> {
    let (verb, name) = (question.verb, &relation.name);
    // What a key names is compared with, or for a new row written.
    let may_be_named = |column: &str| {
        relation.column(column).is_some_and(|column| match (verb, &column.access.read) {
            (Verb::Insert, _) => column.access.write,
            (_, read) => matches!(read, ReadAccess::Plain | ReadAccess::NotGranted),
        })
    };
    let mut key = question.key.iter().flat_map(Map::keys);
    if let Some(column) = key.find(|column| !may_be_named(column)) {
        return Some((
            "fields",
            format!("there is no column {column} of {name} that the caller may use here"),
        ));
    }
    let Privileges::Columns(granted) = &facts.privileges else { return None };
    if granted.is_empty() {
        return Some((
            "grant",
            format!("the role {} has no privilege to {} {name}", caller.role, verb.word()),
        ));
    }
    let is_usable = |column: &String| {
        relation.column(column).is_some_and(|column| match verb {
            Verb::Insert | Verb::Update => column.access.write,
            Verb::Select | Verb::Delete => column.access.read != ReadAccess::Hidden,
        })
    };
    (!granted.iter().any(is_usable)).then(|| {
        ("fields", format!("the rules allow none of the columns that {} has a privilege on", caller.role))
    })
}

impl Explanation {
    fn refused(mut self, rule: &'static str, reason: String) -> Self {
        self.rule = rule;
        self.reason = reason;
        self
    }

    fn of_row(mut self, verdict: RowVerdict, verb: Verb, key: &Map<String, Value>) -> Self {
        let key = Value::Object(key.clone());
        match verdict {
            RowVerdict::Reachable => {
                self.allowed = true;
                self.reason = match verb {
                    Verb::Insert => format!("row policies let the row {key} be made"),
                    _ => format!("the row {key} can be reached"),
                };
                self
            }
            RowVerdict::Unreachable if verb == Verb::Insert => self.refused(
                "row_policy",
                format!("row policies, or privileges on columns, keep the row {key} from being made"),
            ),
            RowVerdict::Unreachable => self.refused(
                "row_policy",
                format!("there is no row {key}, or row policies keep it from the caller"),
            ),
        }
    }
}

fn caller(
    settings: &AccessSettings,
    catalog: &Catalog,
    question: &Question,
) -> Result<PolicyCaller, SecurityError> {
    let role = match question.claims.get("role") {
        None => settings.anon_role.clone().ok_or_else(|| SecurityError::BadRole("none".to_owned()))?,
        Some(Value::String(role)) => Arc::from(role.as_str()),
        Some(other) => return Err(SecurityError::BadRole(other.to_string())),
    };
    if !catalog.roles.get(&role).is_some_and(|role| role.settable && !role.login) {
        return Err(SecurityError::BadRole(role.to_string()));
    }
    let is_anonymous = settings.anon_role.as_ref() == Some(&role);
    let claim = settings.verified_claim.as_ref();
    let bypasses = settings.bypasses(catalog, &role);
    let standing = (bypasses, !is_anonymous);
    Ok(PolicyCaller::of_claims(role, standing, &question.claims, claim, question.address, &catalog.roles))
}

/// The claims as SQL will see them.
fn claims_of(caller: &PolicyCaller, claims: &Claims) -> String {
    let mut claims = claims.clone();
    claims.insert("role".to_owned(), Value::String(caller.role.to_string()));
    Value::Object(claims).to_string()
}

fn columns(full: &Relation, seen: &Relation) -> BTreeMap<String, ColumnVerdict> {
    let verdict = |name: &Arc<str>| {
        let access = seen.column(name).map(|column| &column.access);
        let read = match access.map(|access| &access.read) {
            Some(ReadAccess::Plain) => "plain",
            Some(ReadAccess::Masked(_)) => "masked",
            Some(ReadAccess::NotGranted) => "not_granted",
            Some(ReadAccess::Hidden) | None => "hidden",
        };
        let write = access.is_some_and(|access| access.write);
        let input = access.filter(|_| write).and_then(|access| access.input).map(|rule| rule.policy);
        ColumnVerdict { read, write, input }
    };
    full.columns.keys().map(|name| (name.to_string(), verdict(name))).collect()
}

/// Those who manage rules may know why they cannot be read.
fn reason(refusal: &decide::Refusal) -> String {
    match &refusal.rule {
        decide::Rule::Closed(closed) => format!("{} is closed: {closed}", refusal.relation),
        _ => refusal.to_string(),
    }
}

/// Answers one question without a server: `question` as the API takes it, the answer as the API gives it.
pub async fn explain_once(
    catalog: Arc<Catalog>,
    settings: &AccessSettings,
    login: Login,
    question: Value,
) -> Result<Value, ExplainError> {
    let question: Question =
        serde_path_to_error::deserialize(question).map_err(|error| ExplainError(error.to_string()))?;
    let parts = (&catalog, &PolicyBook::default());
    let answer = explain(parts, settings, &CallerProbe::new(login), &question).await;
    let answer = answer.map_err(|error| ExplainError(error.message()))?;
    serde_json::to_value(answer).map_err(|error| ExplainError(error.to_string()))
}

/// Why a question could not be answered, in words for whoever asked it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ExplainError(String);
