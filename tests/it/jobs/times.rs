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

/// Rows of `goforward.cron_schedules`, as an operator writes them.
async fn scheduled(board: &Board, name: &str, expression: &str) {
    let payload = r#"{"from": "cron"}"#;
    board
        .database
        .run(&format!(
            "insert into goforward.cron_schedules (name, expression, kind, payload)
             values ('{name}', '{expression}', '{KIND}', '{payload}')"
        ))
        .await;
}

/// Waits until a node has set when it is due next; minutes from the start of the test.
async fn due_in(board: &Board, name: &str, minutes: i64) {
    let sql = format!(
        "select extract(epoch from next_run_at)::bigint from goforward.cron_schedules where name = '{name}'"
    );
    let expected = (START + minutes * 60).to_string();
    eventually("the next time is set", async || {
        board.bell.ring();
        board.database.value(&sql).await == expected
    })
    .await;
}

/// Waits until so many jobs of a schedule are done: while one is not, the next due time makes none.
async fn done(board: &Board, key: &str, count: usize) {
    let sql = format!("select count(*) from goforward.jobs where dedupe_key = '{key}' and state = 'done'");
    eventually("its job is done", async || {
        board.bell.ring();
        board.database.value(&sql).await == count.to_string()
    })
    .await;
}

#[tokio::test]
async fn gf_job_05_a_cron_schedule_gives_one_job_a_due_time_over_all_nodes_and_one_for_all_that_were_missed()
{
    let board = Board::new().await;
    scheduled(&board, "nightly", "*/15 * * * *").await;
    let handler = Handler::that(JobOutcome::Done);
    let node = || Worker::start(board.jobs(JobSettings::default()).handler(handler.clone()));
    let nodes = [node(), node(), node()];
    due_in(&board, "nightly", 15).await;
    assert_eq!(handler.begun().len(), 0, "a new schedule waits for its first time");

    for (round, next) in [(1, 30), (2, 45), (3, 60)] {
        board.advance(Duration::from_mins(15));
        due_in(&board, "nightly", next).await;
        done(&board, "cron nightly", round).await;
    }
    for node in nodes {
        node.stop().await;
    }
    board.advance(Duration::from_hours(10));
    let nodes = [node(), node(), node()];
    due_in(&board, "nightly", 45 + 600 + 15).await;
    done(&board, "cron nightly", 4).await;
    let marker = board.enqueue(&job()).await.unwrap();
    board.becomes(marker, "done 1").await;
    for node in nodes {
        node.stop().await;
    }

    assert_eq!(handler.begun().len(), 5, "one for the forty times that were missed, and the marker");
}

#[tokio::test]
async fn a_cron_schedule_that_is_switched_off_changed_or_wrong_does_as_it_says() {
    let board = Board::new().await;
    scheduled(&board, "hourly", "0 * * * *").await;
    scheduled(&board, "wrong", "61 * * * *").await;
    scheduled(&board, "never", "0 0 31 2 *").await;
    let handler = Handler::that(JobOutcome::Done);
    let worker = Worker::start(board.jobs(JobSettings::default()).handler(handler.clone()));
    due_in(&board, "hourly", 60).await;
    let told =
        "select string_agg(name || ': ' || last_error, '; ' order by name) from goforward.cron_schedules";
    eventually("wrong ones are told of", async || {
        let told = board.database.value(told).await;
        told.contains("never: the expression is never due") && told.contains("wrong: not a cron expression")
    })
    .await;

    board.database.run("update goforward.cron_schedules set enabled = false where name = 'hourly'").await;
    board
        .database
        .run("update goforward.cron_schedules set expression = '*/30 * * * *' where name = 'wrong'")
        .await;
    due_in(&board, "wrong", 30).await;
    board.advance(Duration::from_hours(2));
    due_in(&board, "wrong", 150).await;
    done(&board, "cron wrong", 1).await;
    board.database.run("update goforward.cron_schedules set enabled = true where name = 'hourly'").await;
    due_in(&board, "hourly", 180).await;
    let marker = board.enqueue(&job()).await.unwrap();
    board.becomes(marker, "done 1").await;

    assert_eq!(handler.begun().len(), 2, "what was due while it was switched off is not made up for");
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
        done(&board, "schedule test.hourly", hour).await;
    }
    for node in nodes {
        node.stop().await;
    }

    board.advance(Duration::from_hours(10));
    let nodes = [node(), node()];
    done(&board, "schedule test.hourly", 4).await;
    let marker = board.enqueue(&job()).await.unwrap();
    board.becomes(marker, "done 1").await;
    for node in nodes {
        node.stop().await;
    }
    assert_eq!(handler.begun().len(), 6, "one for the ten times that were missed, and the markers");
}
