//! What one group does: settings, the query, its end, and every way to fail.

use super::*;
use crate::kernel::db::wire::{Isolation, Stage};

#[tokio::test]
async fn a_row_comes_as_text_cells_and_a_raw_last_cell() {
    let lanes = Running::fresh(small()).await;
    let mut group = read("select 7, null, true, '\\x00ff10'::bytea where $1 = 'a''b' and $2::int = 5");
    group.query.columns = 4;
    group.query.params = vec![text("a'b"), text("5")];
    let mut reply = lanes.run(group).await.unwrap();
    let head = reply.next_row().await.unwrap().unwrap();
    let cells: Vec<_> = head.cells.iter().map(Option::as_deref).collect();
    assert_eq!(cells, [Some(&b"7"[..]), None, Some(&b"t"[..])]);
    assert_eq!(head.last_len, Some(3));
    assert_eq!(reply.columns()[3].type_oid, 17);
    assert_eq!(reply.chunk().await.unwrap().as_deref(), Some(&[0, 0xff, 0x10][..]));
    assert_eq!(reply.chunk().await.unwrap(), None);
    assert_eq!(reply.next_row().await.unwrap(), None);
    assert_eq!(reply.finish().await.unwrap().rows, 1);
}

#[tokio::test]
async fn many_rows_come_in_order_and_a_row_half_read_is_skipped() {
    let lanes = Running::fresh(small()).await;
    let mut group = read("select n, repeat('x', n % 300000) from generate_series(0, 600000, 50000) n");
    group.query.columns = 2;
    let mut reply = lanes.run(group).await.unwrap();
    let mut count = 0;
    while let Some(head) = reply.next_row().await.unwrap() {
        assert_eq!(head.cells[0].as_deref().unwrap(), (count * 50_000).to_string().as_bytes());
        assert_eq!(head.last_len, Some(count * 50_000 % 300_000));
        if count % 2 == 1 {
            reply.chunk().await.unwrap();
        } else {
            let mut length = 0;
            while let Some(piece) = reply.chunk().await.unwrap() {
                assert!(piece.len() <= 64 * 1024);
                length += piece.len();
            }
            assert_eq!(length, head.last_len.unwrap() as usize);
        }
        count += 1;
    }
    assert_eq!(count, 13);
    assert_eq!(reply.finish().await.unwrap().rows, 13);
}

#[tokio::test]
async fn settings_hold_for_the_group_and_no_longer() {
    let lanes = Running::fresh(LaneConfig { max_connections: 1, ..small() }).await;
    let show = "select concat_ws('|', current_user, current_setting('request.x', true), current_setting('search_path'))";
    let mut group = write(show);
    group.set("role", "scram_user").set("request.x", "it's \"quoted\"; \\").set("search_path", "pg_catalog");
    assert_eq!(
        cell(lanes.run(group).await.unwrap()).await.unwrap(),
        "scram_user|it's \"quoted\"; \\|pg_catalog"
    );
    assert_eq!(lanes.cell(show).await.unwrap(), "postgres||\"$user\", public");
}

#[tokio::test]
async fn a_failure_names_the_statement_of_the_group_and_leaves_the_connection_usable() {
    let lanes = Running::fresh(LaneConfig { max_connections: 1, ..small() }).await;
    lanes.execute("create table t (id int primary key deferrable initially deferred)").await;
    let mut bad_setting = write("select 1");
    bad_setting.set("role", "nobody_like_that");
    let mut bad_before = write("select 1");
    bad_before.before = Some("select 1/0".into());
    let bad_query = write("select * from missing");
    let bad_end = write("insert into t values (1), (1)");
    let mut bad_syntax = write("selec 1");
    bad_syntax.isolation = Some(Isolation::Serializable);
    let cases = [
        (bad_setting, Stage::Settings, "22023"),
        (bad_before, Stage::Before, "22012"),
        (bad_query, Stage::Query, "42P01"),
        (bad_end, Stage::End, "23505"),
        (bad_syntax, Stage::Query, "42601"),
    ];
    for finish in [Finish::Commit, Finish::Rollback, Finish::Decide] {
        for (group, stage, code) in cases.clone() {
            let group = Group { finish, ..group };
            let error = if finish == Finish::Decide && stage == Stage::End {
                let mut reply = lanes.run(group).await.unwrap();
                reply.commit();
                match reply.finish().await.unwrap_err() {
                    DbError::Sql(error) => *error,
                    other => panic!("{other:?}"),
                }
            } else {
                lanes.sql_error(group).await
            };
            assert_eq!((error.code.as_str(), error.stage), (code, stage), "{finish:?}");
            assert_eq!(lanes.cell("select count(*) from t").await.unwrap(), "0");
        }
    }
    assert_eq!(lanes.state().1.connections, 1, "no failure cost the connection");
    assert_eq!(
        lanes.cell("select count(*) from pg_stat_activity where datname = current_database()").await.unwrap(),
        "1"
    );
}

#[tokio::test]
async fn the_pre_request_call_runs_after_the_settings_and_before_the_query() {
    let lanes = Running::fresh(small()).await;
    let mut group = write("select current_setting('request.x')");
    group.set("request.x", "a");
    group.before = Some("select set_config('request.x', current_setting('request.x') || 'b', true)".into());
    for _ in 0..2 {
        assert_eq!(cell(lanes.run(group.clone()).await.unwrap()).await.unwrap(), "ab");
    }
}

#[tokio::test]
async fn reads_cannot_write() {
    let lanes = Running::fresh(small()).await;
    lanes.execute("create table t (id int)").await;
    let error = lanes.sql_error(read("insert into t values (1)")).await;
    assert_eq!(error.code, "25006");
}

#[tokio::test]
async fn an_isolation_level_holds_for_its_group() {
    let lanes = Running::fresh(LaneConfig { max_connections: 1, ..small() }).await;
    let show = "select current_setting('transaction_isolation')";
    for (isolation, name) in
        [(Isolation::RepeatableRead, "repeatable read"), (Isolation::Serializable, "serializable")]
    {
        let group = Group { isolation: Some(isolation), ..read(show) };
        assert_eq!(cell(lanes.run(group).await.unwrap()).await.unwrap(), name);
    }
    assert_eq!(lanes.cell(show).await.unwrap(), "read committed");
}

#[tokio::test]
async fn a_dry_run_checks_deferred_constraints_and_changes_nothing() {
    let lanes = Running::fresh(small()).await;
    lanes.execute("create table t (id int primary key deferrable initially deferred)").await;
    let dry = |sql: &str| Group { finish: Finish::Rollback, ..write(sql) };
    let mut reply = lanes.run(dry("insert into t values (1) returning id")).await.unwrap();
    assert!(reply.next_row().await.unwrap().is_some());
    reply.finish().await.unwrap();
    assert_eq!(lanes.sql_error(dry("insert into t values (1), (1)")).await.code, "23505");
    assert_eq!(lanes.cell("select count(*) from t").await.unwrap(), "0");
}

#[tokio::test]
async fn a_deciding_group_ends_as_its_caller_says() {
    let lanes = Running::fresh(small()).await;
    lanes.execute("create table t (id int primary key deferrable initially deferred)").await;
    let insert = |sql: &str| deciding(write(sql));
    let mut committed = lanes.run(insert("insert into t values (1) returning id")).await.unwrap();
    assert!(committed.next_row().await.unwrap().is_some());
    assert_eq!(committed.next_row().await.unwrap().map(|head| head.last_len), None);
    committed.commit();
    assert_eq!(committed.finish().await.unwrap().rows, 1);

    drop(lanes.run(insert("insert into t values (3)")).await.unwrap());
    lanes.run(insert("insert into t values (4)")).await.unwrap().finish().await.unwrap();

    let mut checked = lanes.run(insert("insert into t values (5), (5)")).await.unwrap();
    checked.rollback_checked();
    assert!(matches!(checked.finish().await, Err(DbError::Sql(error)) if error.code == "23505"));

    assert_eq!(lanes.cell("select string_agg(id::text, ',') from t").await.unwrap(), "1");
}

#[tokio::test]
async fn a_deciding_group_with_a_large_answer_can_be_decided_at_its_head() {
    let lanes = Running::fresh(small()).await;
    lanes.execute("create table t (id int)").await;
    let mut group = deciding(write(
        "with new as (insert into t values (1) returning id) select 'head', repeat('x', 3000000) from new",
    ));
    group.query.columns = 2;
    let mut reply = lanes.run(group).await.unwrap();
    let head = reply.next_row().await.unwrap().unwrap();
    assert_eq!(head.cells[0].as_deref(), Some(&b"head"[..]));
    reply.commit();
    reply.buffered(100_000).await.unwrap();
    assert_eq!(lanes.cell("select count(*) from t").await.unwrap(), "1", "it is committed before it is read");
    let mut length = 0;
    while let Some(piece) = reply.chunk().await.unwrap() {
        length += piece.len();
    }
    assert_eq!(length, 3_000_000);
    assert_eq!(reply.next_row().await.unwrap(), None);
    assert_eq!(reply.finish().await.unwrap().rows, 1);
}

#[tokio::test]
async fn a_buffered_answer_reports_a_failing_commit_before_anything_is_read() {
    let lanes = Running::fresh(small()).await;
    lanes.execute("create table t (id int primary key deferrable initially deferred, body text)").await;
    let group =
        write("insert into t select 1, repeat('x', 400000) from generate_series(1, 2) returning body");
    let mut reply = lanes.run(group).await.unwrap();
    assert!(matches!(reply.buffered(10_000).await, Err(DbError::Sql(error)) if error.code == "23505"));
}

#[tokio::test]
async fn text_that_holds_two_statements_is_refused() {
    let lanes = Running::fresh(small()).await;
    assert_eq!(lanes.sql_error(write("select 1; select 2")).await.code, "42601");
}

#[tokio::test]
async fn a_statement_that_no_longer_fits_is_prepared_anew_without_a_word() {
    let lanes = Running::fresh(LaneConfig { max_connections: 1, ..small() }).await;
    lanes.execute("create table t (a int)").await;
    lanes.execute("insert into t values (1)").await;
    let all = || write("select * from t");
    assert_eq!(cell(lanes.run(all()).await.unwrap()).await.unwrap(), "1");
    lanes.execute("alter table t alter a type text using 'changed'").await;
    assert_eq!(cell(lanes.run(all()).await.unwrap()).await.unwrap(), "changed");
    let insert = || write("insert into t values ('new') returning *");
    lanes.run(insert()).await.unwrap().finish().await.unwrap();
    lanes.execute("alter table t add b int default 9").await;
    assert_eq!(cell(lanes.run(insert()).await.unwrap()).await.unwrap(), "9");
    lanes.execute("deallocate all").await;
    assert_eq!(cell(lanes.run(all()).await.unwrap()).await.unwrap(), "9");
    assert_eq!(lanes.cell("select count(*) from t").await.unwrap(), "3");
}

#[tokio::test]
async fn statements_stay_within_their_limit_and_are_forgotten_on_request() {
    let lanes = Running::fresh(LaneConfig { max_connections: 1, ..small() }).await;
    for number in 0..300 {
        // What comes a second time is kept.
        lanes.execute(&format!("select {number}")).await;
        lanes.execute(&format!("select {number}")).await;
    }
    let mut count = write("select count(*) from pg_prepared_statements");
    count.query.prepared = false;
    let kept = |text: String| text.parse::<u32>().unwrap();
    let known = kept(cell(lanes.run(count.clone()).await.unwrap()).await.unwrap());
    assert!((200..=257).contains(&known), "{known}");
    lanes.forget_statements();
    assert_eq!(kept(cell(lanes.run(count).await.unwrap()).await.unwrap()), 0);
}

#[tokio::test]
async fn nothing_stays_prepared_behind_a_transaction_pooler() {
    let lanes =
        Running::fresh(LaneConfig { max_connections: 1, prepared_statements: false, ..small() }).await;
    let mut group = write("select count(*) from pg_prepared_statements");
    group.set("role", "postgres");
    for _ in 0..3 {
        assert_eq!(cell(lanes.run(group.clone()).await.unwrap()).await.unwrap(), "0");
    }
}

#[tokio::test]
async fn a_statement_that_expects_rows_for_another_number_of_columns_fails_cleanly() {
    let lanes = Running::fresh(small()).await;
    let mut group = write("select 1, 2");
    group.query.columns = 3;
    assert_eq!(lanes.sql_error(group).await.code, "08P01");
    assert_eq!(lanes.cell("select 1").await.unwrap(), "1");
}
