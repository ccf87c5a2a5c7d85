//! What goes in, in which order and how often it comes out, and what stays.

use std::collections::BTreeSet;

use goforward::kernel::db::jobs::enqueue;
use goforward::kernel::jobs::{JobOutcome, NewJob};
use sqlx::Connection as _;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_do_every_job_once() {
    let board = Board::new().await;
    for _ in 0..200 {
        board.enqueue(&job()).await;
    }
    let handler = Handler::that(JobOutcome::Done);
    let workers = [board.start(handler.clone()), board.start(handler.clone())];
    for _ in 0..200 {
        board.enqueue(&job()).await;
    }

    eventually("all jobs are done", async || {
        board.bell.ring();
        board.count("queued").await == "0" && board.count("running").await == "0"
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }

    let begun = handler.begun();
    let different: BTreeSet<i64> = begun.iter().map(|(id, _)| *id).collect();
    assert_eq!((begun.len(), different.len()), (400, 400));
    assert!(begun.iter().all(|(_, attempt)| *attempt == 1));
}

#[tokio::test]
async fn a_job_is_made_by_its_transaction_or_not_at_all() {
    let board = Board::new().await;
    let mut connection = board.pool.acquire().await.unwrap();

    let mut transaction = connection.begin().await.unwrap();
    enqueue(&mut transaction, &job(), 0).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let id = enqueue(&mut transaction, &job(), 0).await.unwrap().unwrap();
    let handler = Handler::that(JobOutcome::Done);
    let worker = board.start(handler.clone());
    transaction.commit().await.unwrap();

    board.becomes(id, "done 1").await;
    assert_eq!(handler.begun(), [(id, 1)]);
    worker.stop().await;
}

#[tokio::test]
async fn an_unfinished_job_keeps_others_with_its_key_away() {
    let board = Board::new().await;
    let only = NewJob { dedupe_key: Some("only".to_owned()), ..job() };

    let first = board.enqueue(&only).await.unwrap();
    assert_eq!(board.enqueue(&only).await, None, "it is queued");
    let stuck = Handler::stuck();
    let worker = board.start_impatient(stuck.clone());
    stuck.has_begun(&[(first, 1)]).await;
    assert_eq!(board.enqueue(&only).await, None, "it is running");
    worker.stop().await;

    let worker = board.start(Handler::that(JobOutcome::Done));
    board.becomes(first, "done 2").await;
    let second = board.enqueue(&only).await.unwrap();
    board.becomes(second, "done 1").await;
    worker.stop().await;
}

#[tokio::test]
async fn jobs_without_a_handler_are_left_to_other_nodes() {
    let board = Board::new().await;
    let worker = board.start(Handler::that(JobOutcome::Done));

    let other = board.enqueue(&NewJob::new("other.work", json!({}))).await.unwrap();
    let mine = board.enqueue(&job()).await.unwrap();

    board.becomes(mine, "done 1").await;
    assert_eq!(board.state(other).await, "queued 0");
    worker.stop().await;
}

#[tokio::test]
async fn a_done_job_keeps_no_payload_and_a_dead_one_does() {
    let board = Board::new().await;
    let worker = board.start(Handler::new(|job| {
        let is_first = job.payload["first"] == true;
        let outcome =
            if is_first { JobOutcome::Done } else { JobOutcome::Dead("no such\0 mailbox".to_owned()) };
        Box::pin(std::future::ready(outcome))
    }));

    let done = board.enqueue(&NewJob::new(KIND, json!({"first": true}))).await.unwrap();
    let dead = board.enqueue(&NewJob::new(KIND, json!({"first": false}))).await.unwrap();

    board.becomes(done, "done 1").await;
    board.becomes(dead, "dead 1 no such mailbox").await;
    let payload =
        async |id| board.database.value(&format!("select payload from goforward.jobs where id = {id}")).await;
    assert_eq!(
        (payload(done).await, payload(dead).await),
        ("{}".to_owned(), r#"{"first": false}"#.to_owned())
    );
    worker.stop().await;
}

#[tokio::test]
async fn finished_jobs_are_removed_in_time_and_in_batches() {
    let board = Board::new().await;
    board
        .database
        .run_as_superuser(&format!(
            "insert into goforward.jobs (kind, state, max_attempts, finished_at)
             select '{KIND}', state, 1, to_timestamp({START}) - age
             from (values ('done', interval '2 days', 2500), ('done', interval '1 hour', 2),
                          ('dead', interval '2 days', 3), ('dead', interval '31 days', 5)) as old (state, age, number),
                  generate_series(1, number);
             create table batches (size bigint);
             create function note_batch() returns trigger language plpgsql as $$
                 begin insert into batches select count(*) from gone; return null; end $$;
             create trigger note_batch after delete on goforward.jobs referencing old table as gone
                 for each statement execute function note_batch()"
        ))
        .await;
    let worker = board.start(Handler::that(JobOutcome::Done));

    // The service's own job comes by its schedule.
    board.knows("jobs.clean_up").await;
    board.advance(Duration::from_mins(10));

    eventually("old jobs are gone", async || {
        board.bell.ring();
        board.database.value("select count(*) from goforward.jobs where kind = 'test.work'").await == "5"
    })
    .await;
    assert_eq!(board.count("dead").await, "3");
    assert_eq!(board.database.value("select max(size) from batches").await, "1000");
    worker.stop().await;
}
