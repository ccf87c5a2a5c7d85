//! The linter of policies: every rule finds what it is for, in a real database, and leaves its harmless twin alone.

mod cases;
mod command;
mod documents;
mod stored;

use goforward::catalog::load::LoadOptions;
use goforward::policy::lint::{Finding, Rule, Severity};
use goforward::policy::store::lint::lint;
use sqlx::{Connection, PgConnection};

use crate::harness::Database;

/// What a rule must say of a database.
struct Case {
    rule: Rule,
    severity: Severity,
    /// Objects that the rule is for, called `bad…` by habit, and others that it must leave alone.
    objects: &'static str,
    /// Rows of table security, stored after that.
    rules: &'static str,
    /// The objects that it finds, in order, one for each finding.
    finds: &'static [&'static str],
    fix: Fix,
}

/// What a finding's fix is.
#[derive(Clone, Copy, PartialEq)]
enum Fix {
    /// SQL that runs as it is, after which the finding is gone.
    Sql,
    /// Words, or SQL with a gap that only the author can fill.
    Words,
}

/// The schema `public` as the login of callers reaches it.
fn options() -> LoadOptions {
    LoadOptions {
        schemas: vec!["public".to_owned()],
        authenticator: Some("authenticator".to_owned()),
        ..LoadOptions::default()
    }
}

/// The findings about the schema `public`.
async fn findings(database: &Database) -> Vec<Finding> {
    let mut connection = PgConnection::connect(&database.url_as("postgres")).await.unwrap();
    lint(&mut connection, &options()).await.unwrap()
}

async fn findings_of(database: &Database, rule: Rule) -> Vec<Finding> {
    findings(database).await.into_iter().filter(|finding| finding.rule == rule).collect()
}

/// Runs the cases of one subject.
async fn hold(cases: &[Case]) {
    for case in cases {
        let database = Database::create().await;
        database.run(case.objects).await;
        database.run_as_superuser(case.rules).await;

        let found = findings_of(&database, case.rule).await;

        let named: Vec<&str> = found.iter().map(|finding| finding.object.as_str()).collect();
        assert_eq!(named, case.finds, "{}: {found:#?}", case.rule);
        for finding in &found {
            assert_eq!(finding.severity, case.severity, "{finding:#?}");
            assert!(!finding.message.is_empty() && !finding.fix.is_empty(), "{finding:#?}");
        }
        if case.fix == Fix::Sql {
            for finding in &found {
                database.run_as_superuser(&finding.fix).await;
            }
            let left = findings_of(&database, case.rule).await;
            assert!(left.is_empty(), "the fix does not help: {left:#?}");
        }
    }
}
