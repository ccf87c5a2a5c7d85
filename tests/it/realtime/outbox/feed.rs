//! What comes, and in which order.

use goforward::realtime::changes::StepLimit;
use sqlx::PgConnection;

use super::{Outbox, THINGS, image, next, nothing_before_the_end, run, started, told};

#[tokio::test]
async fn whoever_wrote_last_after_another_had_committed_comes_after_it() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let (mut first, mut second) = (outbox.owner().await, outbox.owner().await);

    run(&mut second, "begin; insert into things values (1)").await;
    run(
        &mut first,
        "begin; insert into things values (2); update things set text = 'x' where id = 2; commit",
    )
    .await;
    run(&mut second, "insert into things values (3); commit").await;

    assert_eq!(told(&mut feed, 4).await, "I2 U2 | I1 I3");
}

#[tokio::test]
async fn an_open_transaction_holds_up_nobody_and_comes_once_when_it_ends() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let (mut open, mut other) = (outbox.owner().await, outbox.owner().await);

    run(&mut open, "begin; insert into things values (1)").await;
    for statement in ["insert into things values (2)", "insert into things values (3)"] {
        run(&mut other, statement).await;
        assert!(told(&mut feed, 1).await.starts_with('I'));
    }
    run(&mut open, "commit").await;

    assert_eq!(told(&mut feed, 1).await, "I1");
    nothing_before_the_end(&outbox, &mut feed).await;
}

#[tokio::test]
async fn what_was_rolled_back_never_shows() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let mut owner = outbox.owner().await;

    run(&mut owner, "begin; insert into things values (1); rollback").await;
    run(
        &mut owner,
        "begin; insert into things values (2); savepoint s; insert into things values (3); rollback to s;
         insert into things values (4); commit",
    )
    .await;

    assert_eq!(told(&mut feed, 2).await, "I2 I4");
    nothing_before_the_end(&outbox, &mut feed).await;
}

#[tokio::test]
async fn both_images_come_whole_with_what_postgresql_computes() {
    let outbox = Outbox::new(
        "create table things (id int primary key, text text, upper text generated always as (upper(text)) stored);
         alter publication supabase_realtime add table things",
    )
    .await;
    let mut feed = outbox.feed().await;
    let mut owner = outbox.owner().await;

    run(&mut owner, "insert into things values (1, 'a')").await;
    next(&mut feed).await;
    run(&mut owner, "update things set text = 'b'").await;
    let batch = next(&mut feed).await;
    let change = &batch.transactions[0].changes[0];
    let old: serde_json::Value = serde_json::from_str(change.old.as_ref().unwrap().raw().get()).unwrap();
    assert_eq!(old, serde_json::json!({"id": 1, "text": "a", "upper": "A"}));
    assert_eq!(image(change).unwrap(), serde_json::json!({"id": 1, "text": "b", "upper": "B"}));
    let oid = outbox.database.value("select 'things'::regclass::oid::text").await;
    assert_eq!(change.relation.to_string(), oid);

    run(&mut owner, "delete from things").await;
    let batch = next(&mut feed).await;
    assert!(batch.transactions[0].changes[0].new.is_none());
}

#[tokio::test]
async fn partitions_are_told_as_their_root_and_emptying_once() {
    let outbox = Outbox::new(
        "create table things (id int primary key, text text) partition by range (id);
         create table low partition of things for values from (0) to (10);
         create table high partition of things for values from (10) to (1000);
         alter publication supabase_realtime add table things",
    )
    .await;
    let mut feed = outbox.feed().await;
    let mut owner = outbox.owner().await;

    run(
        &mut owner,
        "begin; insert into things values (1), (11); insert into low values (2); truncate things; commit",
    )
    .await;

    let batch = next(&mut feed).await;
    let root = outbox.database.value("select 'things'::regclass::oid::text").await;
    let changes = &batch.transactions[0].changes;
    assert!(changes.iter().all(|change| change.relation.to_string() == root), "{changes:?}");
    let words: Vec<String> = changes.iter().map(super::word).collect();
    assert_eq!(words, ["I1", "I11", "I2", "T"]);
    run(&mut owner, "truncate high").await;
    assert_eq!(told(&mut feed, 1).await, "T");
}

#[tokio::test]
async fn what_a_trigger_changes_further_comes_after_what_set_it_off() {
    let outbox = Outbox::new(
        "create table things (id int primary key, text text);
         create function again() returns trigger language plpgsql as
             $$ begin update things set text = 'again' where id = new.id; return null; end $$;
         create trigger again after insert on things for each row execute function again();
         alter publication supabase_realtime add table things",
    )
    .await;
    let mut feed = outbox.feed().await;

    outbox.database.run("insert into things values (1)").await;

    assert_eq!(told(&mut feed, 2).await, "I1 U1");
}

#[tokio::test]
async fn a_transaction_of_any_size_comes_in_bounded_steps_and_in_order() {
    let outbox = Outbox::new(THINGS).await;
    let steps = StepLimit { rows: 10, bytes: 100_000 };
    let mut feed = started(outbox.new_feed().with_limit(steps)).await;
    let mut owner = outbox.owner().await;

    run(&mut owner, "insert into things select generate_series(1, 900)").await;
    let mut ids = Vec::new();
    while ids.len() < 900 {
        let batch = next(&mut feed).await;
        assert_eq!(batch.transactions.len(), 1);
        assert!(batch.transactions[0].changes.len() <= 10);
        ids.extend(
            batch.transactions[0].changes.iter().map(|change| image(change).unwrap()["id"].as_i64().unwrap()),
        );
    }
    assert!(ids.iter().copied().eq(1..=900));

    // Not one of these fits twice into a step.
    run(&mut owner, "update things set text = (select string_agg(md5(n::text), '') from generate_series(1, 2500) as n) where id <= 5").await;
    for id in 1..=5 {
        assert_eq!(told(&mut feed, 1).await, format!("U{id}"));
    }
    // Many small ones come together, but no more than fit.
    for id in 2001..2026 {
        insert(&mut owner, id).await;
    }
    let mut count = 0;
    while count < 25 {
        let batch = next(&mut feed).await;
        assert!(batch.transactions.len() <= 10);
        count += batch.transactions.len();
    }
    nothing_before_the_end(&outbox, &mut feed).await;
}

async fn insert(connection: &mut PgConnection, id: i32) {
    sqlx::query("insert into things values ($1)").bind(id).execute(connection).await.unwrap();
}

#[tokio::test]
async fn messages_of_sql_come_once_and_no_others() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let mut owner = outbox.owner().await;
    let select = "select realtime.send('{\"a\": 1}', 'greeting', 'room', true)";

    run(&mut owner, select).await;
    let batch = next(&mut feed).await;
    let message = image(&batch.transactions[0].changes[0]).unwrap();
    assert_eq!(message["topic"], "room");
    assert_eq!(message["event"], "greeting");
    assert_eq!(message["private"], true);
    assert_eq!(message["payload"]["id"], message["id"], "clients find the id in the payload too");

    run(&mut owner, "select realtime.send_binary('\\x0102', 'bytes', 'room', false)").await;
    let batch = next(&mut feed).await;
    assert_eq!(image(&batch.transactions[0].changes[0]).unwrap()["binary_payload"], "\\x0102");

    // A question of policies, what a server has delivered itself, what retention removes, what a replica applies.
    run(&mut owner, "begin; select realtime.send('{}', 'e', 'room'); rollback").await;
    run(
        &mut owner,
        "begin; set local goforward.delivered = 'on'; select realtime.send('{}', 'e', 'room'); commit",
    )
    .await;
    outbox
        .database
        .run_as_superuser(
            "delete from realtime.messages;
             set session_replication_role = replica; select realtime.send('{}', 'e', 'room')",
        )
        .await;
    nothing_before_the_end(&outbox, &mut feed).await;
}

#[tokio::test]
async fn changes_of_rows_are_sent_by_triggers_of_applications() {
    let outbox = Outbox::new(
        "create table notes (id int primary key, text text);
         create function tell() returns trigger security definer language plpgsql as $$ begin
             perform realtime.broadcast_changes('notes:' || coalesce(new.id, old.id), tg_op, tg_op, tg_table_name,
                                                tg_table_schema, new, old);
             return null;
         end $$;
         create trigger tell after insert or update or delete on notes for each row execute function tell()",
    )
    .await;
    let mut feed = outbox.feed().await;

    outbox.database.run("insert into notes values (1, 'a'); delete from notes").await;

    let mut messages = Vec::new();
    while messages.len() < 2 {
        let batch = next(&mut feed).await;
        messages.extend(batch.transactions.iter().flat_map(|one| &one.changes).filter_map(image));
    }
    assert_eq!(messages[0]["topic"], "notes:1");
    assert_eq!(messages[0]["payload"]["record"], serde_json::json!({"id": 1, "text": "a"}));
    assert_eq!(messages[0]["payload"]["old_record"], serde_json::Value::Null);
    assert_eq!(messages[1]["payload"]["operation"], "DELETE");
    assert_eq!(messages[1]["payload"]["old_record"], serde_json::json!({"id": 1, "text": "a"}));
    assert_eq!(messages[1]["payload"]["table"], "notes");
}
