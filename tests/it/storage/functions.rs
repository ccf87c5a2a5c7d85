//! The functions by which SQL lists objects (contract section 11), under the caller's policies.

use super::{start, upload};
use crate::harness::{Caller, TestApp};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

/// The names of what somebody gets of a function, joined by spaces.
async fn names(app: &TestApp, id: &str, call: &str) -> String {
    let sql = format!(
        "select coalesce(string_agg(name || left('/', (id is null)::int), ' '), '-') from storage.{call}"
    );
    app.database.as_caller(&Caller::user(id), &sql, false).await.unwrap()
}

#[tokio::test]
async fn h18_functions_list_what_policies_show_and_take_prefixes_by_the_letter() {
    let app = start().await;
    for name in ["x/B.txt", "x/a/1", "x/a/2", "x/b/1", "x/b_.txt", "x/bz.txt", "y.txt"] {
        upload(&app.user(ALICE), &format!("private/{name}"), name).await.expect_status(200);
    }
    // The longer the name, the older the object.
    app.database
        .run("update storage.objects set created_at = now() - interval '1 hour' * length(name)")
        .await;

    for (call, expected) in [
        ("search('x/', 'private', 100, 2)", "B.txt a/ b/ b_.txt bz.txt"),
        ("search('x/', 'private', 100, 2, 0, 'B')", "B.txt b/ b_.txt bz.txt"),
        ("search('x/', 'private', 100, 2, 0, 'b_')", "b_.txt"),
        ("search('x/', 'private', 100, 2, 0, '%')", "-"),
        ("search('%', 'private', 100, 1)", "-"),
        ("search('x/', 'private', 2, 2, 1, '', 'name', 'desc')", "b_.txt b/"),
        ("search('x/', 'private', 100, 2, 0, '', 'created_at', 'asc')", "a/ b/ b_.txt bz.txt B.txt"),
        ("search('', 'private')", "x/ y.txt"),
        ("search('x/', 'public', 100, 2)", "-"),
        ("search_v2('x/', 'private', 3, 2)", "x/B.txt x/a// x/b//"),
        ("search_v2('x/', 'private', 100, 2, 'x/a/')", "x/b// x/b_.txt x/bz.txt"),
        ("search_v2('x/b_', 'private', 100, 2)", "x/b_.txt"),
        ("search_v2('x/', 'private', 2, 2, 'x/b_.txt', 'desc')", "x/b// x/a//"),
        ("search_v2('x/', 'private', 4, 2, '', 'asc', 'created_at')", "x/a// x/b// x/b_.txt x/bz.txt"),
        ("list_objects_with_delimiter('private', 'x/', '/')", "x/B.txt x/a// x/b// x/b_.txt x/bz.txt"),
        ("list_objects_with_delimiter('private', 'x/', '/', 2, '', 'x/a/')", "x/b// x/b_.txt"),
        ("list_objects_with_delimiter('private', 'x/', '/', 2, 'x/a/1')", "x/a// x/b//"),
        ("list_objects_with_delimiter('private', 'x/', '', 3)", "x/B.txt x/a/1 x/a/2"),
        ("list_objects_with_delimiter('private', 'x/', '/', 2, '', '', 'desc')", "x/bz.txt x/b_.txt"),
        ("list_objects_with_delimiter('private', 'x_', '/')", "-"),
    ] {
        assert_eq!(names(&app, ALICE, call).await, expected, "{call}");
        assert_eq!(names(&app, BOB, call).await, "-", "{call}");
    }
    let sizes = "select sum(size)::text from storage.get_size_by_bucket()";
    assert_eq!(app.database.as_caller(&Caller::user(ALICE), sizes, false).await.unwrap(), "43");
    assert_eq!(app.database.as_caller(&Caller::user(BOB), sizes, false).await.unwrap(), "");
}
