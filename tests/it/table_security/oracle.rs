//! An attacker who guesses: whatever is asked of a protected column, the answer is the same whatever its value.

use super::{ACCOUNTS, USER};
use crate::harness::{Answer, Client, TestApp};

/// Status, body and headers.
type Seen = (u16, String, Vec<String>);

/// Everything of an answer that could tell one value from another.
fn seen(answer: &Answer) -> Seen {
    let headers = ["content-range", "content-length", "content-type", "location", "preference-applied"];
    (answer.status, answer.text(), headers.map(|name| answer.header(name).to_owned()).to_vec())
}

/// Requests that would compare `{column}` with `{value}` in every position where a name may stand.
const PROBES: [&str; 34] = [
    "/accounts?{column}=eq.{value}",
    "/accounts?{column}=gt.{value}",
    "/accounts?{column}=not.lt.{value}",
    "/accounts?{column}=like.{value}*",
    "/accounts?{column}=ilike.*{value}*",
    "/accounts?{column}=match.^{value}",
    "/accounts?{column}=in.({value})",
    "/accounts?{column}=eq(any).{{value}}",
    "/accounts?{column}=isdistinct.{value}",
    "/accounts?{column}=fts.{value}",
    "/accounts?{column}=is.null",
    "/accounts?or=({column}.eq.{value},id.eq.1)",
    "/accounts?not.and=(id.gt.0,{column}.gte.{value})",
    "/accounts?select=id&order={column}",
    "/accounts?select=id&order=id,{column}.desc.nullslast",
    "/accounts?select={column}",
    "/accounts?select=x:{column}",
    "/accounts?select={column}::text",
    "/accounts?select={column}::int",
    "/accounts?select={column}->>a",
    "/accounts?select={column}.max()",
    "/accounts?select={column}.count()",
    "/accounts?select={column},id.count()",
    "/accounts?select=whole",
    "/accounts?whole=eq.{value}",
    "/accounts?order=whole",
    "/accounts?select=to_jsonb",
    "/accounts?row_to_json->>{column}=eq.{value}",
    "/accounts?accounts->>{column}=eq.{value}",
    "/visits?select=place,accounts({column})",
    "/visits?select=place,accounts!inner(id)&accounts.{column}=gt.{value}",
    "/visits?select=place,accounts(id)&order=accounts({column})",
    "/visits?select=place,...accounts({column})",
    "/rpc/all_accounts?{column}=gt.{value}",
];

/// Those of them that merely select the column.
const SELECTIONS: [&str; 4] = [
    "/accounts?select={column}",
    "/accounts?select=x:{column}",
    "/visits?select=place,accounts({column})",
    "/visits?select=place,...accounts({column})",
];

async fn answers(client: &Client, column: &str, value: &str) -> Vec<(String, Seen)> {
    let mut found = Vec::new();
    for probe in PROBES {
        let path = format!("/rest/v1{}", probe.replace("{column}", column).replace("{value}", value));
        let answer = client.get(&path).await;
        // A mask may be selected, and nothing else of either.
        let expected = if column == "card" && SELECTIONS.contains(&probe) { 200..201 } else { 400..500 };
        assert!(expected.contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        let head = client.head(&path).await;
        assert!(expected.contains(&head.status), "HEAD {path}: {}", head.status);
        // The request's own text may come back; it tells nothing.
        let (status, text, headers) = seen(&answer);
        found.push((probe.to_owned(), (status, text.replace(value, "?"), headers)));
    }
    found
}

#[tokio::test]
async fn a_binary_search_learns_nothing_about_a_hidden_or_masked_column() {
    let app = TestApp::with_sql(ACCOUNTS).await;
    for client in [app.anon(), app.user(USER)] {
        for column in ["secret", "card"] {
            // Below and above the value, the value itself, and none of them.
            let reference = answers(&client, column, "aaaaaa").await;
            for guess in ["maroon", "nnnnnn", "411111", "zzzzzz"] {
                assert_eq!(answers(&client, column, guess).await, reference, "{column} {guess}");
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_answered_as_a_hidden_one_is() {
    let app = TestApp::with_sql(ACCOUNTS).await;
    let user = app.user(USER);

    let hidden = answers(&user, "secret", "aaaaaa").await;
    let none = answers(&user, "absent", "aaaaaa").await;

    let without_name = |answers: Vec<(String, Seen)>, name: &str| -> Vec<_> {
        answers
            .into_iter()
            .map(|(probe, (status, text, _))| (probe, status, text.replace(name, "?")))
            .collect()
    };
    assert_eq!(without_name(hidden, "secret"), without_name(none, "absent"));
}

#[tokio::test]
async fn an_error_of_a_write_names_no_protected_column_constraint_or_value() {
    let app = TestApp::with_sql(ACCOUNTS).await;
    let user = app.user(USER);

    for (what, body, code) in [
        ("a collision", serde_json::json!({"id": 9, "name": "Mal", "secret": "maroon"}), "23505"),
        ("a check", serde_json::json!({"id": 9, "name": "Mal", "secret": "forbidden"}), "23514"),
        ("no name", serde_json::json!({"id": 9, "secret": "x"}), "23502"),
    ] {
        let answer = user.post("/rest/v1/accounts", body).await;
        let json = answer.json();
        assert_eq!(json["code"], code, "{what}: {json}");
        for word in ["secret", "maroon", "accounts_", "Failing row", "olive"] {
            assert!(!answer.text().contains(word), "{what}: {json} names {word}");
        }
    }
    // Nor does the target of an upsert tell what is there.
    let upsert = user.clone().prefer("resolution=merge-duplicates");
    upsert
        .post(
            "/rest/v1/accounts?on_conflict=secret",
            serde_json::json!({"id": 9, "name": "Mal", "secret": "maroon"}),
        )
        .await
        .expect_error(403, "42501");
    assert_eq!(app.database.value("select name from accounts where secret = 'maroon'").await, "Jane");
}

#[tokio::test]
async fn an_embed_over_a_hidden_column_is_as_one_that_does_not_exist() {
    let app = TestApp::with_sql(ACCOUNTS).await;
    let user = app.user(USER);

    // The foreign key from visits.dye to accounts.secret would tell who has which.
    let by_key = user.get("/rest/v1/visits?select=id,accounts!dye(id)").await.expect_status(400);
    let by_nothing = user.get("/rest/v1/visits?select=id,accounts!nope(id)").await.expect_status(400);
    assert_eq!(by_key.text().replace("dye", "?"), by_nothing.text().replace("nope", "?"));
    // With it gone, the other one is not ambiguous.
    user.get("/rest/v1/visits?select=id,accounts(name)").await.expect_status(200);
    // A computed relationship takes the whole row.
    user.get("/rest/v1/accounts?select=id,visits_of(id)").await.expect_status(400);
    user.get("/rest/v1/accounts?select=id,initial&order=id&limit=1")
        .await
        .expect_json(&serde_json::json!([{"id": 1, "initial": "J"}]));
}
