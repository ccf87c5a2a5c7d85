//! `goforward policy lint`: what it prints, and its exit code.

use serde_json::Value;

use super::findings;
use crate::harness::{Database, run_command};

/// The file `todos.sql` of the README's tour.
fn tour() -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, file) = readme.split_once("<!-- tour: file todos.sql -->\n```sql\n").expect("the tour's table");
    file.split_once("```").expect("the end of the file").0.to_owned()
}

/// Exit code and standard output of `goforward policy lint`.
async fn command(database: &Database, arguments: &'static [&'static str]) -> (Option<i32>, String) {
    let url = database.url_as("postgres");
    let output = tokio::task::spawn_blocking(move || {
        let all: Vec<&str> = ["policy", "lint"].iter().chain(arguments).copied().collect();
        let secret = "0123456789abcdef0123456789abcdef0123456789abcdef";
        run_command(&all, &[("DATABASE_URL", &url), ("GOFORWARD_AUTH__JWT_SECRET", secret)])
    });
    let output = output.await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_new_database_has_nothing_to_report() {
    let database = Database::create().await;

    let (code, text) = command(&database, &["--fail-on", "note"]).await;

    assert_eq!((code, text.as_str()), (Some(0), "0 problems, 0 warnings, 0 notes\n"));
}

#[tokio::test]
async fn the_table_of_the_tour_is_no_problem() {
    let database = Database::create().await;
    database.run(&tour()).await;

    let (code, text) = command(&database, &[]).await;

    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("table public.todos\n  [note] policy_always_true\n"), "{text}");
    assert!(text.ends_with("\n0 problems, 0 warnings, 1 note\n"), "{text}");
    assert_eq!(command(&database, &["--fail-on", "note"]).await.0, Some(1));
    assert_eq!(command(&database, &["--fail-on", "warning"]).await.0, Some(0));
}

#[tokio::test]
async fn the_json_is_what_the_library_finds() {
    let database = Database::create().await;
    database.run("create table \"Open Table\" (id int)").await;

    let (code, printed) = command(&database, &["--json"]).await;

    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(code, Some(1), "{printed:#}");
    assert_eq!(printed, serde_json::to_value(findings(&database).await).unwrap());
    let finding = &printed.as_array().unwrap()[0];
    let keys: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    for (key, value) in [
        ("rule", "unprotected_relation"),
        ("severity", "problem"),
        ("kind", "table"),
        ("object", "public.Open Table"),
        ("fix", "ALTER TABLE \"public\".\"Open Table\" ENABLE ROW LEVEL SECURITY;"),
    ] {
        assert_eq!(finding[key], value, "{finding:#}");
    }
    for key in ["message", "why"] {
        assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{finding:#}");
    }
}

#[tokio::test]
async fn a_database_that_goforward_has_not_prepared_can_be_linted() {
    let database = Database::empty().await;
    database.run("create table open (id int); grant select on open to anon").await;

    let (code, text) = command(&database, &[]).await;

    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("table public.open\n  [problem] unprotected_relation\n"), "{text}");
}
