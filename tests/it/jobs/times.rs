//! When jobs are done: later, again, and regularly.

use goforward::kernel::jobs::Schedule;

use super::*;

#[tokio::test]
async fn a_job_is_not_done_before_its_time() {
    let board = Board::new().await;
    let worker = board.start(Handler::that(JobOutcome::Done));
    let tomorrow = NewJob { run_at: Some((START + 86_400) * 1000), ..job() };

    let later = board.enqueue(&tomorrow).await.unwrap();
    let now = board.enqueue(&job()).await.unwrap();
    board.becomes(now, "done 1").await;
    assert_eq!(board.state(later).await, "queued 0");
    board.advance(Duration::from_hours(24));

    board.becomes(later, "done 1").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_failed_job_waits_longer_each_time_and_dies_after_its_last_attempt() {
    let board = Board::new().await;
    let worker = board.start(Handler::that(JobOutcome::Retry("no answer".to_owned())));
    let id = board.enqueue(&NewJob { max_attempts: 4, ..job() }).await.unwrap();

    for (attempt, longest) in [(1, 5), (2, 10), (3, 20)] {
        board.becomes(id, &format!("queued {attempt} no answer")).await;
        let wait = board
            .database
            .value(&format!(
                "select round(extract(epoch from run_at) * 1000)::bigint - {} from goforward.jobs where id = {id}",
                board.clock.unix_millis()
            ))
            .await;
        let wait: i64 = wait.parse().unwrap();
        assert!((longest * 500..=longest * 1000).contains(&wait), "{wait} ms after attempt {attempt}");
        board.advance(Duration::from_secs(20));
    }

    board.becomes(id, "dead 4 no answer").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_schedule_gives_one_job_a_time_over_all_nodes_and_none_for_times_gone_by() {
    const HOURLY: Schedule = Schedule { name: "test.hourly", kind: KIND, every: Duration::from_hours(1) };
    let board = Board::new().await;
    let handler = Handler::that(JobOutcome::Done);
    let node = || Worker::start(board.jobs(JobSettings::default()).schedule(HOURLY).handler(handler.clone()));
    let nodes = [node(), node()];
    board.knows(HOURLY.name).await;
    let marker = board.enqueue(&job()).await.unwrap();
    board.becomes(marker, "done 1").await;
    assert_eq!(handler.begun().len(), 1, "nothing is due yet but the marker");

    for hour in 1..=3 {
        board.advance(Duration::from_hours(1));
        eventually("one more job is done", async || {
            board.bell.ring();
            handler.begun().len() == 1 + hour
        })
        .await;
    }
    for node in nodes {
        node.stop().await;
    }

    board.advance(Duration::from_hours(10));
    let nodes = [node(), node()];
    eventually("the missed times give one job", async || {
        board.bell.ring();
        handler.begun().len() == 5
    })
    .await;
    let marker = board.enqueue(&job()).await.unwrap();
    board.becomes(marker, "done 1").await;
    for node in nodes {
        node.stop().await;
    }
    assert_eq!(handler.begun().len(), 6, "and the marker");
}
