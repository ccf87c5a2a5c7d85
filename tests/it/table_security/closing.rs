//! What must not open a table: names that change, rules that cannot be read, ways around.

use serde_json::{Value, json};

use super::{ACCOUNTS, USER};
use crate::harness::{TestApp, eventually};

#[tokio::test]
async fn a_quoted_star_is_no_way_to_the_whole_row() {
    let app = TestApp::with_sql(ACCOUNTS).await;
    let user = app.user(USER);

    for path in [
        "/accounts?select=id,x:%22*%22->>card",
        "/accounts?select=x:%22*%22->>secret",
        "/accounts?select=%22*%22::text",
        "/accounts?%22*%22->>card=like.4111*",
        "/accounts?or=(%22*%22->>card.eq.x,id.eq.1)",
        "/accounts?order=%22*%22->>card",
        "/accounts?order=%22*%22",
        "/accounts?select=x:%22*%22->>card.max()",
        "/visits?select=accounts(x:%22*%22->>card)",
        "/rpc/all_accounts?select=x:%22*%22->>secret",
        "/renamed?select=x:%22*%22->>colour",
    ] {
        let answer = user.get(&format!("/rest/v1{path}")).await;
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        answer.expect_nowhere("4111").expect_nowhere("maroon");
    }
    user.patch("/rest/v1/accounts?%22*%22->>card=like.4111*", json!({"name": "x"}))
        .await
        .expect_error(403, "42501");
    // Counting rows looks at no column, and a star that is only selected stands for the columns that may be seen.
    assert_eq!(
        user.get("/rest/v1/accounts?select=%22*%22&id=eq.1").await.expect_status(200).json()[0].get("secret"),
        None
    );
}

#[tokio::test]
async fn a_column_or_table_with_another_name_is_closed_and_not_open() {
    let app = TestApp::with_sql(ACCOUNTS).await;
    let user = app.user(USER);

    app.database.run("alter table accounts rename column secret to colour").await;
    let closed = async || user.get("/rest/v1/accounts?select=id").await.status == 403;
    eventually("the table to be closed", closed).await;
    user.get("/rest/v1/accounts?select=colour").await.expect_status(403).expect_nowhere("maroon");
    app.database.run("alter table accounts rename column colour to secret").await;
    let open = async || user.get("/rest/v1/accounts?select=id").await.status == 200;
    eventually("the table to be open again", open).await;

    app.database.run("alter table accounts rename to people").await;
    let known = async || user.get("/rest/v1/people?select=id").await.status != 404;
    eventually("the new name to be known", known).await;
    user.get("/rest/v1/people?select=secret").await.expect_status(403).expect_nowhere("maroon");
    app.database.run("update goforward.table_security set table_name = 'people'").await;
    let open = async || user.get("/rest/v1/people?select=id").await.status == 200;
    eventually("the rules under the new name to be in force", open).await;
    user.get("/rest/v1/people?select=secret").await.expect_status(403);
}

#[tokio::test]
async fn rules_do_not_end_by_being_filtered_away_or_by_losing_their_table() {
    let app = TestApp::with_sql(ACCOUNTS).await;
    let user = app.user(USER);
    for (harm, mended) in [
        (
            "alter table goforward.table_security enable row level security",
            "alter table goforward.table_security disable row level security",
        ),
        (
            "alter table goforward.table_security rename to lost",
            "alter table goforward.lost rename to table_security",
        ),
    ] {
        app.database.run(harm).await;
        let closed = async || user.get("/rest/v1/accounts?select=id").await.status == 403;
        eventually("every table to be closed", closed).await;
        user.get("/rest/v1/accounts?select=secret").await.expect_nowhere("maroon");
        app.service().get("/rest/v1/accounts?select=id").await.expect_status(200);

        app.database.run(mended).await;
        let open = async || user.get("/rest/v1/accounts?select=id").await.status == 200;
        eventually("the rules to be read again", open).await;
    }
}

#[tokio::test]
async fn conditions_on_rows_hold_through_every_view_or_close_it() {
    let app = TestApp::with_sql(
        "create table teams (id int primary key, name text);
         create table people (id int primary key, name text);
         create table links (team_id int references teams (id), person_id int references people (id), primary key (team_id, person_id));
         insert into teams values (1, 'red'), (2, 'blue');
         insert into people values (1, 'Jane'), (2, 'Joe');
         insert into links values (1, 1), (2, 2);
         alter table teams enable row level security; create policy all_ on teams using (true);
         alter table people enable row level security; create policy all_ on people using (true);
         create view membership as select team_id, person_id from links;
         create view over_membership as select * from membership;
         insert into goforward.table_security (schema_name, table_name, custom_filters)
         values ('public', 'membership', '{\"mine\": \"team_id = 1\"}');
         insert into goforward.table_security (schema_name, table_name) values ('public', 'links');",
    )
    .await;
    let user = app.user(USER);

    user.get("/rest/v1/membership").await.expect_json(&json!([{"team_id": 1, "person_id": 1}]));
    user.get("/rest/v1/over_membership").await.expect_status(403).expect_nowhere("person_id\":2");
    let through = user.get("/rest/v1/teams?select=id,people!membership(name)").await;
    assert!(matches!(through.status, 300 | 400 | 403), "{} {}", through.status, through.text());
    through.expect_nowhere("Joe");
    let rows: Value = user.get("/rest/v1/membership?select=team_id").await.json();
    assert_eq!(rows, json!([{"team_id": 1}]));
}

#[tokio::test]
async fn graphql_is_closed_while_there_are_rules_that_it_does_not_know() {
    let app = TestApp::with_sql(
        "create function graphql_public.graphql(\"operationName\" text default null, query text default null, variables jsonb default null, extensions jsonb default null)
           returns jsonb language sql as $$ select '{\"data\": null}'::jsonb $$;
         create table t (id int);",
    )
    .await;
    let ask = async || app.user(USER).post("/graphql/v1", json!({"query": "{ t }"})).await;
    ask().await.expect_status(200);

    app.database
        .run("insert into goforward.table_security (schema_name, table_name) values ('public', 't')")
        .await;

    let closed = async || ask().await.status == 403;
    eventually("GraphQL to be closed", closed).await;
    app.service().post("/graphql/v1", json!({"query": "{ t }"})).await.expect_status(200);
}
