//! The shared lane: who gets in, and that nobody there holds up the others.

use super::*;

fn keyed(lanes: &Running) -> Group {
    let _ = lanes;
    let mut group = read("select body from t where id = $1");
    group.query.params = vec![text("7")];
    group
}

async fn with_table(config: LaneConfig) -> Running {
    let lanes = Running::fresh(config).await;
    lanes.execute("create table t (id int primary key, body text)").await;
    lanes.execute("insert into t select n, 'body ' || n from generate_series(1, 100) n").await;
    lanes
}

#[tokio::test]
async fn a_proven_shape_runs_on_the_shared_lane() {
    let lanes = with_table(small()).await;
    let group = keyed(&lanes);
    until("the shape is proven", || async {
        lanes.run(group.clone()).await.unwrap().finish().await.unwrap();
        lanes.hub.shapes.is_proven(shape(&group))
    })
    .await;
    assert_eq!(lanes.state().0.connections, 0);
    assert_eq!(cell(lanes.run(group).await.unwrap()).await.unwrap(), "body 7");
    assert_eq!(lanes.state().0.connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_reads_at_once_each_get_their_own_answer() {
    let lanes = with_table(small()).await;
    prove(&lanes, &keyed(&lanes)).await;
    let mut reads = tokio::task::JoinSet::new();
    for number in 0..500 {
        let lanes = lanes.lanes.clone();
        let mut group = read("select body from t where id = $1");
        group.query.params = vec![text(&(number % 100 + 1).to_string())];
        reads.spawn(async move { (number, cell(lanes.run(group).await.unwrap()).await.unwrap()) });
    }
    while let Some(result) = reads.join_next().await {
        let (number, body) = result.unwrap();
        assert_eq!(body, format!("body {}", number % 100 + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_does_not_hold_up_the_reads_of_others() {
    let lanes = with_table(LaneConfig { reader_timeout: Duration::from_mins(5), ..small() }).await;
    lanes.execute("create table locked (id int)").await;
    lanes.execute("insert into locked values (1)").await;
    let blocked = read("select id from locked");
    let free = keyed(&lanes);
    prove(&lanes, &blocked).await;
    prove(&lanes, &free).await;
    let mut holder = lanes.run(deciding(write("lock table locked in access exclusive mode"))).await.unwrap();
    let waiting = {
        let lanes = lanes.lanes.clone();
        tokio::spawn(async move { cell(lanes.run(blocked).await.unwrap()).await.unwrap() })
    };
    let reads = async {
        for _ in 0..200 {
            lanes.run(free.clone()).await.unwrap().finish().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reads).await.expect("they wait for the lock");
    assert!(!waiting.is_finished());
    holder.commit();
    holder.finish().await.unwrap();
    assert_eq!(waiting.await.unwrap(), "1", "the read that waited for the lock got its answer, not an error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_behind_a_slow_head_are_answered_elsewhere() {
    let lanes = with_table(LaneConfig { max_connections: 4, shared_connections: 1, ..small() }).await;
    let free = keyed(&lanes);
    prove(&lanes, &free).await;
    // The shape is proven with a short sleep and then turns slow.
    let slow = |seconds: &str| {
        let mut group = read("select pg_sleep($1::float8)");
        group.query.params = vec![text(seconds)];
        group
    };
    prove(&lanes, &slow("0")).await;
    let head = {
        let lanes = lanes.lanes.clone();
        let group = slow("5");
        tokio::spawn(async move { lanes.run(group).await.unwrap().finish().await.unwrap() })
    };
    until("the slow read is in flight", || async { lanes.state().0.in_flight == 1 }).await;
    for _ in 0..20 {
        assert_eq!(cell(lanes.run(free.clone()).await.unwrap()).await.unwrap(), "body 7");
    }
    assert!(!head.is_finished());
    head.await.unwrap();
    assert!(!lanes.hub.shapes.is_proven(shape(&slow("0"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_on_the_shared_lane_streams_and_moves_the_others_away() {
    let lanes = with_table(LaneConfig { max_connections: 4, shared_connections: 1, ..small() }).await;
    let sized = |size: &str| {
        let mut group = read("select repeat('x', $1::int)");
        group.query.params = vec![text(size)];
        group
    };
    prove(&lanes, &sized("1")).await;
    let free = keyed(&lanes);
    prove(&lanes, &free).await;
    // Nobody reads this one yet.
    let mut large = lanes.run(sized("50000000")).await.unwrap();
    for _ in 0..20 {
        assert_eq!(cell(lanes.run(free.clone()).await.unwrap()).await.unwrap(), "body 7");
    }
    assert_eq!(large.next_row().await.unwrap().unwrap().last_len, Some(50_000_000));
    let mut length = 0;
    while let Some(piece) = large.chunk().await.unwrap() {
        length += piece.len();
    }
    assert_eq!(length, 50_000_000);
    large.finish().await.unwrap();
    until("the connection takes part again", || async { lanes.state().0.idle == 1 }).await;
}
