//! `goforward policy`: files to the database and back, drift, and packs, without a server.

use std::fs;

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{ALICE, Setup, public};
use crate::harness::{Caller, Options, Server, run_command};

/// Exit code, standard output, standard error.
fn policy(setup: &Setup, arguments: &[&str]) -> (i32, String, String) {
    let arguments = [&["policy"], arguments].concat();
    let output = run_command(&arguments, &[("DATABASE_URL", &setup.database.url())]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const FILE: &str = "
# The orders of customers.
schema: public
table: orders
require_auth: true
require_ownership: true
ownership_column: owner
hidden_fields: [secret]
---
schema: public
table: members
require_auth: true
";

#[tokio::test]
async fn files_are_compared_applied_once_and_exported_as_they_are() {
    let setup = Setup::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    fs::write(&file, FILE).unwrap();
    let file = file.to_str().unwrap();

    let (code, out, errors) = policy(&setup, &["diff", "--file", file]);
    assert_eq!((code, errors.as_str()), (1, ""), "{out}");
    for expected in [
        "public.orders: rules that are not stored",
        "    require_ownership: off becomes true",
        "public.orders: make policy goforward_restrict_select",
        "create policy \"goforward_restrict_select\" on \"public\".\"orders\" as restrictive for select",
        "public.orders: leave anon select on id, owner, team, note, archived only",
        "public.members: rules that are not stored",
    ] {
        assert!(out.contains(expected), "{expected} is missing in\n{out}");
    }
    assert_eq!(setup.store.list().await.unwrap(), [], "a comparison changes nothing");

    let (code, out, errors) = policy(&setup, &["apply", "--file", file]);
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    assert!(out.contains("public.orders: stored version 1"), "{out}");
    let alice = Caller::user(ALICE);
    let count = setup.database.as_caller(&alice, "select count(*)::text from orders", false).await;
    assert_eq!(count.unwrap(), "2");
    assert_eq!(policy(&setup, &["apply", "--file", file]), (0, String::new(), String::new()));
    assert_eq!(policy(&setup, &["diff", "--file", file]), (0, String::new(), String::new()));
    assert_eq!(setup.store.get(&public("orders")).await.unwrap().version, 1);

    let exported = folder.path().join("exported");
    let exported = exported.to_str().unwrap();
    let (code, _, errors) = policy(&setup, &["export", "--dir", exported]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(fs::exists(format!("{exported}/public.orders.yaml")).unwrap());
    assert_eq!(policy(&setup, &["diff", "--dir", exported, "--prune"]), (0, String::new(), String::new()));
    let (_, printed, _) = policy(&setup, &["export"]);
    assert!(printed.contains("schema: \"public\"\ntable: \"orders\"\nrequire_auth: true\n"), "{printed}");
}

#[tokio::test]
async fn drift_and_rules_that_no_file_names_are_shown_and_mended() {
    let setup = Setup::new().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yml"), "{schema: public, table: members, require_auth: true}").unwrap();
    let folder = folder.path().to_str().unwrap();
    setup.put("orders", json!({"custom_filters": {"open": "not archived"}})).await.unwrap();
    setup.put("members", json!({"require_auth": true})).await.unwrap();
    assert_eq!(policy(&setup, &["diff"]), (0, String::new(), String::new()));

    setup.database.run("alter policy goforward_restrict_select on orders using (true)").await;
    let (code, out, _) = policy(&setup, &["diff", "--dir", folder]);
    let drift =
        "public.orders: replace policy goforward_restrict_select, which somebody else made or altered";
    assert_eq!(code, 1);
    assert!(out.starts_with(drift), "{out}");
    let (code, out, _) = policy(&setup, &["apply"]);
    assert!(code == 0 && out.starts_with(drift), "{out}");

    let (code, out, _) = policy(&setup, &["diff", "--dir", folder, "--prune"]);
    assert!(code == 1 && out.starts_with("public.orders: rules are stored that no file names"), "{out}");
    assert!(out.contains("drop policy"), "{out}");
    let (code, out, errors) = policy(&setup, &["apply", "--dir", folder, "--prune"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    assert_eq!(setup.store.list().await.unwrap().len(), 1);
    assert_eq!(policy(&setup, &["diff", "--dir", folder, "--prune"]), (0, String::new(), String::new()));
}

#[tokio::test]
async fn what_cannot_be_stored_is_told_and_the_rest_is_done() {
    let setup = Setup::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let path = file.to_str().unwrap();
    fs::write(
        &file,
        "schema: public\ntable: orders\nhidden_fields: [nothing]\n---\nschema: public\ntable: members\n",
    )
    .unwrap();
    let (code, out, errors) = policy(&setup, &["apply", "--file", path]);
    assert_eq!((code, out.as_str()), (1, "public.members: stored version 1\n"));
    assert_eq!(errors, "error: public.orders: hidden_fields: public.orders has no column nothing\n");

    fs::write(&file, "schema: public\ntable: orders\nrequre_auth: true\n").unwrap();
    let (code, _, errors) = policy(&setup, &["apply", "--file", path]);
    assert!(
        code == 1 && errors.contains("document 1 (public.orders)") && errors.contains("requre_auth"),
        "{errors}"
    );
    let (code, _, errors) = policy(&setup, &["apply", "--prune"]);
    assert!(code == 1 && errors.contains("--prune needs files"), "{errors}");
}

#[tokio::test]
async fn packs_are_listed_and_applied_to_a_table() {
    let setup = Setup::new().await;
    let (code, out, _) = policy(&setup, &["packs"]);
    assert_eq!(code, 0);
    for name in ["public-catalogue\n", "private-per-user\n", "team\n", "--with owner=user_id"] {
        assert!(out.contains(name), "{out}");
    }
    let apply = |pack: &str, with: &[&str]| {
        let mut arguments = vec!["apply", "--table", "public.orders", "--pack", pack];
        arguments.extend(with.iter().flat_map(|with| ["--with", with]));
        policy(&setup, &arguments)
    };
    let alice = Caller::user(ALICE);
    let count = "select count(*)::text from orders";

    let (code, out, errors) = apply("private-per-user", &["owner=owner"]);
    assert_eq!(code, 0, "{out}{errors}");
    assert_eq!(setup.database.as_caller(&alice, count, false).await.unwrap(), "2");
    let with = ["team=team", "members=members", "member_team=team", "member_user=who"];
    let (code, out, errors) = apply("team", &with);
    assert_eq!(code, 0, "{out}{errors}");
    assert_eq!(setup.database.as_caller(&alice, count, false).await.unwrap(), "3");
    let bob = Caller::user(super::BOB);
    assert_eq!(setup.database.as_caller(&bob, count, false).await.unwrap(), "0");
    let (code, _, errors) = apply("public-catalogue", &[]);
    assert_eq!((code, errors.as_str()), (0, ""));

    let (code, _, errors) = apply("nothing", &[]);
    assert!(code == 1 && errors.contains("there is no pack nothing"), "{errors}");
    let (code, _, errors) = apply("private-per-user", &[]);
    assert!(
        code == 1 && errors.contains("ownership_column: public.orders has no column user_id"),
        "{errors}"
    );
}

#[tokio::test]
async fn the_embedded_database_of_a_running_server_is_reached_by_its_directory() {
    let server = Server::start(Options::default()).await;
    let url = server.keys().database_url.unwrap();
    let mut owner = PgConnection::connect(&url).await.unwrap();
    owner.execute(sqlx::raw_sql("create table notes (id int, user_id uuid)")).await.unwrap();

    let data = ["--data-dir", server.data().to_str().unwrap()];
    let run = |arguments: &[&str]| {
        let output = run_command(&[&["policy"], arguments, &data].concat(), &[]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let apply = ["apply", "--pack", "private-per-user", "--table", "public.notes"];
    assert_eq!(run(&apply), (Some(0), String::new()));
    assert_eq!(run(&["diff"]), (Some(0), String::new()));
    let policies: i64 =
        sqlx::query_scalar("select count(*) from pg_policy").fetch_one(&mut owner).await.unwrap();
    assert_eq!(policies, 8);
}

#[tokio::test]
async fn a_decision_is_explained_without_a_server() {
    let setup = Setup::new().await;
    setup.put("orders", json!({"require_mfa": true})).await.unwrap();
    let ask = |claims: &str| {
        let arguments = ["explain", "public.orders", "select", "--json", "--claims", claims];
        let (code, out, error) = policy(&setup, &arguments);
        let answer: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{error}"));
        (code, answer["rule"].as_str().unwrap().to_owned())
    };

    assert_eq!(ask(r#"{"role": "authenticated"}"#), (1, "require_mfa".to_owned()));
    assert_eq!(ask(r#"{"role": "service_role"}"#), (0, "none".to_owned()));
    let (_, text, _) = policy(&setup, &["explain", "orders", "select"]);
    assert!(text.starts_with("no: public.orders is for callers with a second factor"), "{text}");
}
