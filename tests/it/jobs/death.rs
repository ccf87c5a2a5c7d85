//! Workers that die, hang, panic or come too late.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::*;

#[tokio::test]
async fn a_job_whose_worker_died_is_taken_over_when_its_lease_ends() {
    let board = Board::new().await;
    let stuck = Handler::stuck();
    let doomed = board.start(stuck.clone());
    let id = board.enqueue(&job()).await.unwrap();
    stuck.has_begun(&[(id, 1)]).await;
    doomed.kill(&board).await;

    let handler = Handler::that(JobOutcome::Done);
    let worker = board.start(handler.clone());
    let later = board.enqueue(&job()).await.unwrap();
    board.becomes(later, "done 1").await;
    assert_eq!(board.state(id).await, "running 1", "the lease still holds");
    board.advance(Duration::from_secs(61));

    board.becomes(id, "done 2").await;
    assert_eq!(handler.begun(), [(later, 1), (id, 2)]);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_kills_every_worker_dies_in_the_end() {
    let board = Board::new().await;
    let id = board.enqueue(&NewJob { max_attempts: 2, ..job() }).await.unwrap();
    for attempt in 1..=2 {
        let deadly = Handler::stuck();
        let worker = board.start(deadly.clone());
        board.advance(Duration::from_secs(61));
        deadly.has_begun(&[(id, attempt)]).await;
        worker.kill(&board).await;
    }

    let handler = Handler::that(JobOutcome::Done);
    let worker = board.start(handler.clone());
    board.advance(Duration::from_secs(61));

    board.becomes(id, "dead 2 the worker stopped without a word").await;
    assert_eq!(handler.begun(), []);
    worker.stop().await;
}

#[tokio::test]
async fn a_long_job_keeps_its_lease() {
    let board = Board::new().await;
    let finish = Arc::new(Notify::new());
    let wait = Arc::clone(&finish);
    let handler = Handler::new(move |_| {
        let wait = Arc::clone(&wait);
        Box::pin(async move {
            wait.notified().await;
            JobOutcome::Done
        })
    });
    let settings = JobSettings { lease: Duration::from_millis(300), ..JobSettings::default() };
    let worker = Worker::start(board.jobs(settings).handler(handler.clone()));
    let id = board.enqueue(&job()).await.unwrap();
    handler.has_begun(&[(id, 1)]).await;

    for step in 1..=3 {
        board.advance(Duration::from_millis(200));
        let wanted = format!("{}", START * 1000 + step * 200 + 300);
        let sql = "select (extract(epoch from locked_until) * 1000)::bigint from goforward.jobs";
        eventually("the lease is renewed", async || {
            board.database.value(&format!("{sql} where id = {id}")).await == wanted
        })
        .await;
    }
    finish.notify_one();

    board.becomes(id, "done 1").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_lost_its_job_changes_nothing_any_more() {
    let board = Board::new().await;
    let (finish, has_ended) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let shared = (Arc::clone(&finish), Arc::clone(&has_ended));
    let slow = Handler::new(move |_| {
        let (finish, has_ended) = shared.clone();
        Box::pin(async move {
            finish.notified().await;
            has_ended.store(true, Ordering::SeqCst);
            JobOutcome::Dead("too late".to_owned())
        })
    });
    // It renews its lease after 20 minutes of real time, which is never here, and has no hand free for another attempt.
    let lease = Duration::from_hours(1);
    let settings = JobSettings { lease, concurrency: 1, ..JobSettings::default() };
    let late = Worker::start(board.jobs(settings).handler(slow.clone()));
    let id = board.enqueue(&job()).await.unwrap();
    slow.has_begun(&[(id, 1)]).await;
    let stuck = Handler::stuck();
    let other = board.start(stuck.clone());
    board.advance(Duration::from_hours(2));
    let held = "running 2 the worker stopped without a word";
    board.becomes(id, held).await;
    assert_eq!(stuck.begun(), [(id, 2)]);

    finish.notify_one();
    eventually("the late one has ended", async || has_ended.load(Ordering::SeqCst)).await;
    late.stop().await;

    assert_eq!(board.state(id).await, held);
    other.kill(&board).await;
}

#[tokio::test]
async fn a_stopped_worker_finishes_what_runs_and_gives_back_what_does_not_end() {
    let board = Board::new().await;
    let (finish, ends) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
    let shared = (Arc::clone(&finish), Arc::clone(&ends));
    let handler = Handler::new(move |_| {
        let (finish, ends) = shared.clone();
        Box::pin(async move {
            if !ends.swap(false, Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            finish.notified().await;
            JobOutcome::Done
        })
    });
    let settings = JobSettings { patience: Duration::from_secs(2), ..JobSettings::default() };
    let worker = Worker::start(board.jobs(settings).handler(handler.clone()));
    let ending = board.enqueue(&job()).await.unwrap();
    handler.has_begun(&[(ending, 1)]).await;
    let hanging = board.enqueue(&job()).await.unwrap();
    handler.has_begun(&[(ending, 1), (hanging, 1)]).await;

    finish.notify_one();
    worker.stop().await;

    assert_eq!(board.state(ending).await, "done 1");
    assert_eq!(board.state(hanging).await, "queued 1 the server was stopped");
}

#[tokio::test]
async fn handlers_that_panic_or_take_too_long_have_failed() {
    let board = Board::new().await;
    let panics = Handler::new(|_| panic!("a bug"));
    let worker = board.start(panics);
    let id = board.enqueue(&job()).await.unwrap();
    board.becomes(id, "queued 1 the handler panicked").await;
    worker.stop().await;

    let worker = board.start(Handler::stuck().within(Duration::from_millis(50)));
    board.advance(Duration::from_secs(5));
    board.becomes(id, "queued 2 not done within 50ms").await;
    worker.stop().await;
}
