//! What goforward itself makes of rules is nothing to complain about; what their author wrote into them is.

use goforward::catalog::QualifiedName;
use goforward::catalog::load::LoadOptions;
use goforward::catalog::load::load;
use goforward::kernel::db::login::Login;
use goforward::kernel::db::target::Target;
use goforward::policy::lint::{Finding, Rule};
use goforward::policy::model::TableSecurity;
use goforward::policy::store::lint::lint;
use goforward::policy::store::{Expected, RuleStore};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::options;
use crate::harness::Database;

/// A login for callers of these tests alone: others grant roles to the usual one meanwhile, which changes whom policies
/// bind.
const LOGIN: &str = "do $$ begin
    create role it_lint_login login;
    grant anon, authenticated to it_lint_login;
exception when duplicate_object or unique_violation then null;
end $$";

/// A table with an owner for each row, under these rules, in force.
async fn notes_under(rules: Value) -> (Database, Vec<Finding>) {
    let database = Database::create().await;
    database
        .run(
            "create table notes (id int primary key, owner uuid, secret text);
             create index on notes (owner);
             alter table notes enable row level security;",
        )
        .await;
    let url = database.url_as("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    database.run_as_superuser(LOGIN).await;
    let options = LoadOptions { authenticator: Some("it_lint_login".to_owned()), ..options() };
    let catalog = load(&mut connection, &options, None).await.unwrap();
    let store = RuleStore::new(Login::from(&Target::parse(&url).unwrap()), true);
    let rules = TableSecurity::parse(rules).unwrap();
    let name = QualifiedName::new("public", "notes");
    store.put(&catalog, &name, &rules, Expected::Any, "test").await.unwrap();
    let found = lint(&mut connection, &options).await.unwrap();
    (database, found)
}

#[tokio::test]
async fn policies_and_grants_made_of_rules_give_no_finding() {
    let (database, found) = notes_under(json!({
        "require_ownership": true, "ownership_column": "owner", "hidden_fields": ["secret"],
        "custom_filters": {"positive": "id > 0"}
    }))
    .await;

    let policies =
        database.value("select count(*)::text from pg_policy where polname like 'goforward%'").await;
    assert_ne!(policies, "0", "the rules are policies now");
    assert_eq!(found, [], "{found:#?}");
}

#[tokio::test]
async fn a_slow_custom_filter_is_to_be_changed_in_the_rules_and_not_in_the_policy() {
    let (_database, found) = notes_under(json!({"custom_filters": {"own": "owner = auth.uid()"}})).await;

    assert!(!found.is_empty());
    for finding in found {
        assert_eq!((finding.rule, finding.object.as_str()), (Rule::PolicyCallPerRow, "public.notes"));
        assert!(
            finding.fix.starts_with("Change the custom filters in the rules of public.notes"),
            "{finding:?}"
        );
    }
}
