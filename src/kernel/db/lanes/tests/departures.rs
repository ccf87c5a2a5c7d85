//! Callers who leave, read slowly, or come in crowds.

use super::*;

/// How many queries of this database the server is running, besides this one.
async fn active(lanes: &Running) -> String {
    lanes
        .cell(
            "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' \
             and pid <> pg_backend_pid()",
        )
        .await
        .unwrap()
}

#[tokio::test]
async fn a_query_ends_when_its_caller_leaves_and_its_connection_lives_on() {
    let lanes = Running::fresh(LaneConfig { max_connections: 2, ..small() }).await;
    let pid = lanes.cell("select pg_backend_pid()").await.unwrap();
    let call = lanes.run(write("select pg_sleep(60)"));
    assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
    until("the query is cancelled", || async { active(&lanes).await == "0" }).await;
    until("the connection is idle", || async { lanes.state().1.in_flight == 0 }).await;
    let mut pids = vec![lanes.cell("select pg_backend_pid()").await.unwrap()];
    let other = lanes.run(deciding(write("select pg_backend_pid()"))).await.unwrap();
    pids.push(lanes.cell("select pg_backend_pid()").await.unwrap());
    drop(other);
    assert!(pids.contains(&pid), "the cancelled connection is used again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_never_hits_another_query() {
    let lanes = Running::fresh(LaneConfig { max_connections: 2, shared_connections: 0, ..small() }).await;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8u64 {
        let lanes = lanes.lanes.clone();
        callers.spawn(async move {
            for turn in 0..60 {
                if (caller + turn) % 2 == 0 {
                    let call = lanes.run(write("select pg_sleep(0.05)"));
                    let _ = tokio::time::timeout(Duration::from_millis(turn % 30), call).await;
                } else {
                    // Long enough to be hit by a cancel that comes late.
                    lanes.run(write("select pg_sleep(0.002)")).await.unwrap().finish().await.unwrap();
                }
            }
        });
    }
    while let Some(result) = callers.join_next().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn whoever_gets_no_connection_in_time_is_told_and_whoever_comes_too_late_is_refused() {
    let config = LaneConfig {
        max_connections: 1,
        queue_limit: 1,
        acquire_timeout: Duration::from_millis(50),
        ..small()
    };
    let lanes = Running::fresh(config).await;
    // Opening the connection may take longer than those who come later wait for it.
    let mut holding = deciding(write("select 1"));
    holding.acquire_timeout = Some(Duration::from_secs(10));
    let holder = lanes.run(holding).await.unwrap();
    let (first, second) = tokio::join!(lanes.run(write("select 1")), lanes.run(write("select 1")));
    assert_eq!(first.unwrap_err(), DbError::PoolTimeout);
    assert_eq!(second.unwrap_err(), DbError::QueueFull);
    drop(holder);
    let mut patient = write("select 5");
    patient.acquire_timeout = Some(Duration::from_secs(10));
    assert_eq!(cell(lanes.run(patient).await.unwrap()).await.unwrap(), "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_at_once_exhaust_nothing() {
    let lanes = Running::fresh(LaneConfig { max_connections: 5, ..LaneConfig::default() }).await;
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let lanes = lanes.lanes.clone();
        callers.spawn(async move {
            let mut group = write("select $1");
            group.query.params = vec![text(&number.to_string())];
            group.acquire_timeout = Some(Duration::from_mins(1));
            assert_eq!(cell(lanes.run(group).await.unwrap()).await.unwrap(), number.to_string());
        });
    }
    while let Some(result) = callers.join_next().await {
        result.unwrap();
    }
    assert!(lanes.state().1.connections <= 5);
}

/// This process's resident memory in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_stream_with_flat_memory() {
    let lanes = Running::fresh(small()).await;
    let group = read("select repeat('0123456789abcdef', 12500000)");
    let mut reply = lanes.run(group).await.unwrap();
    assert_eq!(reply.next_row().await.unwrap().unwrap().last_len, Some(200_000_000));
    let before = resident();
    let (mut length, mut peak) = (0, 0);
    while let Some(piece) = reply.chunk().await.unwrap() {
        length += piece.len();
        peak = peak.max(resident());
    }
    assert_eq!(length, 200_000_000);
    reply.finish().await.unwrap();
    // Other tests run in the same process, so this is a coarse bound.
    assert!(peak.saturating_sub(before) < 60_000_000, "{peak} after {before}");
}

#[tokio::test]
async fn a_reader_who_sleeps_too_long_loses_the_answer_and_nothing_else() {
    let config = LaneConfig { max_connections: 1, reader_timeout: Duration::from_millis(50), ..small() };
    let lanes = Running::fresh(config).await;
    let mut reply = lanes.run(read("select repeat('x', 20000000)")).await.unwrap();
    reply.next_row().await.unwrap();
    assert_eq!(lanes.cell("select 'next'").await.unwrap(), "next");
    let end = loop {
        match reply.chunk().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(end.unwrap_err(), DbError::ClientGone);
}

#[tokio::test]
async fn a_deciding_caller_who_never_decides_is_rolled_back() {
    let config = LaneConfig { max_connections: 1, reader_timeout: Duration::from_millis(50), ..small() };
    let lanes = Running::fresh(config).await;
    lanes.execute("create table t (id int)").await;
    let undecided = lanes.run(deciding(write("insert into t values (1)"))).await.unwrap();
    assert_eq!(lanes.cell("select count(*) from t").await.unwrap(), "0");
    drop(undecided);
}

#[tokio::test]
async fn lanes_finish_what_runs_before_they_end() {
    let lanes = Running::fresh(small()).await;
    let running = {
        let lanes = lanes.lanes.clone();
        tokio::spawn(async move {
            cell(lanes.run(write("select pg_sleep(0.2)::text || 'done'")).await.unwrap()).await
        })
    };
    until("it runs", || async { lanes.state().1.in_flight == 1 }).await;
    let after = lanes.lanes.clone();
    lanes.stop().await;
    assert_eq!(running.await.unwrap().unwrap(), "done");
    assert!(matches!(after.run(write("select 1")).await, Err(DbError::Unavailable(_))));
}

#[tokio::test]
async fn connections_that_are_not_needed_are_closed_except_the_last() {
    let config = LaneConfig { idle_timeout: Duration::from_millis(50), ..small() };
    let lanes = Running::fresh(config).await;
    let held = tokio::join!(lanes.run(deciding(write("select 1"))), lanes.run(deciding(write("select 1"))));
    assert_eq!(lanes.state().1.connections, 2);
    drop(held);
    until("one is closed", || async { lanes.state().1.connections == 1 }).await;
}
