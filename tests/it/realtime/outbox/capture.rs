//! Which tables are captured: those of the publication, a moment after it says so.

use std::time::{Duration, Instant};

use goforward::catalog::model::QualifiedName;
use goforward::kernel::db::login::Login;
use goforward::realtime::store::capture::{self, follow};
use goforward::realtime::store::publication;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use super::{Outbox, THINGS, run};
use crate::harness::eventually;

const TRIGGERS: &str =
    "select coalesce(string_agg(tgrelid::regclass || ' ' || tgtype, ', ' order by tgrelid, tgtype), '')
    from pg_trigger where tgfoid = 'realtime.capture()'::regprocedure and tgparentid = 0
    and tgrelid <> 'realtime.messages'::regclass";
/// Row triggers for insert, delete and update; and for truncate.
const WHOLE: &str = "things 29, things 32";

async fn without_event_triggers(outbox: &Outbox) {
    outbox.database.run_as_superuser("drop event trigger if exists goforward_publication_changed").await;
}

#[tokio::test]
async fn capture_follows_the_publication_without_superuser() {
    let outbox = Outbox::new("create table things (id int primary key, text text)").await;
    without_event_triggers(&outbox).await;
    let stop = CancellationToken::new();
    let owner: PgConnectOptions = outbox.database.url().parse().unwrap();
    let following = tokio::spawn(follow(Login::from(owner), stop.clone()));

    for (statement, triggers) in [
        ("alter publication supabase_realtime add table things", WHOLE),
        ("alter publication supabase_realtime drop table things", ""),
    ] {
        outbox.database.run(statement).await;
        eventually("capture to follow", async || outbox.database.value(TRIGGERS).await == triggers).await;
    }
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test]
async fn where_event_triggers_can_be_had_it_follows_in_the_same_transaction() {
    let outbox = Outbox::new("create table things (id int primary key, text text)").await;
    if outbox.database.value("select count(*)::text from pg_event_trigger").await == "0" {
        return; // an owner without superuser
    }
    let mut feed = outbox.feed().await;

    outbox
        .database
        .run("begin; alter publication supabase_realtime add table things; insert into things values (1); commit")
        .await;

    assert_eq!(super::told(&mut feed, 1).await, "I1");
}

#[tokio::test]
async fn a_table_in_use_is_left_for_later_and_nobody_waits_for_it() {
    let outbox =
        Outbox::new("create table things (id int primary key); create table free (id int primary key)").await;
    let (mut user, mut owner) = (outbox.owner().await, outbox.owner().await);
    run(&mut user, "begin; insert into things values (1)").await;

    // Neither the statement that publishes fails, nor is the other table left out.
    outbox.database.run("alter publication supabase_realtime add table things, free").await;
    let begun = Instant::now();
    let uncaptured = capture::sync(&mut owner).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(!uncaptured.is_empty() && uncaptured.iter().all(|one| one.table == "things"), "{uncaptured:?}");
    assert!(uncaptured[0].problem.contains("lock timeout"), "{uncaptured:?}");
    assert!(outbox.database.value(TRIGGERS).await.contains("free 29"));

    run(&mut user, "commit").await;
    assert_eq!(capture::sync(&mut owner).await.unwrap(), []);
    assert!(outbox.database.value(TRIGGERS).await.contains(WHOLE));
}

#[tokio::test]
async fn a_publication_may_name_kinds_of_changes_partitions_and_no_table_of_ours() {
    let outbox = Outbox::new(
        "create table things (id int primary key) partition by range (id);
         create table part partition of things for values from (0) to (10);
         create table plain (id int primary key); create unlogged table quick (id int primary key)",
    )
    .await;
    let mut owner = outbox.owner().await;

    run(&mut owner, "alter publication supabase_realtime add table things, plain; alter publication supabase_realtime set (publish = 'insert, truncate')").await;
    assert_eq!(capture::sync(&mut owner).await.unwrap(), []);
    assert_eq!(outbox.database.value(TRIGGERS).await, "things 5, things 32, part 32, plain 5, plain 32");

    run(&mut owner, "alter publication supabase_realtime set (publish = 'insert, update, delete, truncate')")
        .await;
    assert_eq!(capture::sync(&mut owner).await.unwrap(), []);
    assert_eq!(outbox.database.value(TRIGGERS).await, "things 29, things 32, part 32, plain 29, plain 32");

    outbox
        .database
        .run_as_superuser(
            "drop publication supabase_realtime; create publication supabase_realtime for all tables",
        )
        .await;
    assert_eq!(capture::sync(&mut owner).await.unwrap(), []);
    assert_eq!(outbox.database.value(TRIGGERS).await, "things 29, things 32, part 32, plain 29, plain 32");

    outbox.database.run_as_superuser("drop publication supabase_realtime").await;
    assert_eq!(capture::sync(&mut owner).await.unwrap(), []);
    assert_eq!(outbox.database.value(TRIGGERS).await, "");
}

#[tokio::test]
async fn a_captured_table_that_becomes_a_partition_is_not_told_twice() {
    let outbox = Outbox::new(
        "create table things (id int primary key) partition by range (id);
         create table part (id int primary key);
         alter publication supabase_realtime add table things, part",
    )
    .await;
    without_event_triggers(&outbox).await;
    let mut feed = outbox.feed().await;
    let mut owner = outbox.owner().await;

    run(&mut owner, "alter table things attach partition part for values from (0) to (1000)").await;
    run(&mut owner, "insert into things values (1)").await;
    assert_eq!(super::told(&mut feed, 1).await, "I1");
    assert_eq!(capture::sync(&mut owner).await.unwrap(), []);
    run(&mut owner, "insert into part values (2)").await;
    assert_eq!(super::told(&mut feed, 1).await, "I2");
    super::nothing_before_the_end(&outbox, &mut feed).await;
}

#[tokio::test]
async fn our_own_functions_publish_and_withdraw() {
    let outbox = Outbox::new("create table \"Odd \"\"name\" (id int primary key)").await;
    let mut owner = outbox.owner().await;

    let odd = QualifiedName::new("public", "Odd \"name");
    publication::publish(&mut owner, &odd).await.unwrap();
    assert!(outbox.database.value(TRIGGERS).await.contains("29"));
    publication::withdraw(&mut owner, &odd).await.unwrap();
    assert_eq!(outbox.database.value(TRIGGERS).await, "");
}

#[tokio::test]
async fn what_is_captured_is_for_the_server_alone() {
    let outbox = Outbox::new(THINGS).await;
    // Without superuser service_role may be a member of the owner.
    for role in ["anon", "authenticated"] {
        for statement in [
            "select * from realtime.changes",
            "insert into realtime.changes (relation, slot, kind) values (1, 1, 'I')",
            "select realtime.sync_capture()",
            "select nextval('realtime.slot')",
            "insert into realtime.readers values (gen_random_uuid(), true)",
        ] {
            let caller = crate::harness::Caller::role_only(role);
            let refused = outbox.database.as_caller(&caller, statement, true).await;
            assert_eq!(refused, Err("42501".to_owned()), "{role}: {statement}");
        }
    }
}
