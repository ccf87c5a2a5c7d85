//! The hook that is told of users once they are made.

use serde_json::json;

use super::{PASSWORD, client, options, sign_up, speaking};
use crate::harness::{TestApp, eventually};

const HOOK: &str = "pg-functions://postgres/public/told";

#[tokio::test]
async fn the_hook_is_told_of_every_new_user_once_and_cannot_undo_it() {
    let app = TestApp::with(options().set("auth.hooks.after_user_created.uri", HOOK)).await;
    app.database
        .run(
            "create table public.news (at bigint generated always as identity, event jsonb);
             create function public.told(event jsonb) returns jsonb language sql security definer as $$
                insert into public.news (event) values (event);
                select '{\"error\": {\"http_code\": 403, \"message\": \"no\"}}'::jsonb
             $$;
             grant execute on function public.told to public",
        )
        .await;

    let ada = sign_up(&app, "ada@example.com").await.expect_status(200).json();
    sign_up(&app, "ada@example.com").await.expect_status(200);
    let made = json!({"email": "bob@example.com", "password": PASSWORD});
    speaking(app.service()).post("/auth/v1/admin/users", made).await.expect_status(200);
    client(&app).post("/auth/v1/signup", json!({})).await.expect_status(200);

    let news = "select string_agg(concat_ws(' ', event #>> '{metadata,name}', event #>> '{user,email}',
            event #>> '{user,is_anonymous}', coalesce(event #>> '{metadata,ip_address}', 'nowhere')), ', '
            order by event #>> '{user,is_anonymous}', event #>> '{user,email}')
        from public.news";
    let expected = "after-user-created ada@example.com false 127.0.0.1, \
        after-user-created bob@example.com false nowhere, after-user-created  true 127.0.0.1";
    eventually("all are told of", async || app.database.value(news).await == expected).await;
    let id =
        "select event #>> '{user,id}' from public.news where event #>> '{user,email}' = 'ada@example.com'";
    assert_eq!(app.database.value(id).await, ada["id"].as_str().unwrap());
    assert_eq!(app.database.value("select count(*) from auth.users").await, "3");
}

#[tokio::test]
async fn a_hook_that_fails_is_told_again_and_nobody_waits_for_it() {
    let app = TestApp::with(options().set("auth.hooks.after_user_created.uri", HOOK)).await;

    sign_up(&app, "ada@example.com").await.expect_status(200);

    let job = async |shown: &str| {
        let sql = format!("select {shown} from goforward.jobs where kind = 'auth.after_user_created'");
        app.database.value(&sql).await
    };
    eventually("a try has failed", async || job("state || ' ' || (attempts > 0)").await == "queued true")
        .await;
    app.database
        .run(
            "create function public.told(event jsonb) returns jsonb language sql as $$ select '{}'::jsonb $$;
             grant execute on function public.told to public",
        )
        .await;
    eventually("it is told", async || job("state || ' ' || (attempts > 1)").await == "done true").await;
}
