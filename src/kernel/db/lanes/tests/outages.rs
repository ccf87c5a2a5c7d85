//! A server that dies, hangs, comes back, or has no place for us.

use super::*;

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_requests_are_refused_at_once_and_the_lanes_come_back_by_themselves() {
    let cluster = std::sync::Arc::new(blocking(Cluster::start).await);
    let lanes = Running::start(cluster.target("postgres"), small());
    assert_eq!(lanes.cell("select 1").await.unwrap(), "1");
    assert!(*lanes.is_up().borrow());
    let running = {
        let lanes = lanes.lanes.clone();
        tokio::spawn(async move { lanes.run(write("select pg_sleep(60)")).await })
    };
    until("it runs", || async { lanes.state().1.in_flight == 1 }).await;
    let server = std::sync::Arc::clone(&cluster);
    blocking(move || server.signal("-KILL")).await;
    match running.await.unwrap() {
        Err(DbError::Unavailable(unavailable)) => assert!(unavailable.maybe_committed),
        other => panic!("{other:?}"),
    }
    let mut up = lanes.is_up();
    up.wait_for(|up| !up).await.unwrap();
    let started = Instant::now();
    let refused = lanes.run(read("select 1")).await.unwrap_err();
    assert!(matches!(refused, DbError::Unavailable(_)), "{refused:?}");
    assert!(refused.is_retryable());
    assert!(started.elapsed() < Duration::from_secs(10));
    let server = std::sync::Arc::clone(&cluster);
    blocking(move || server.launch()).await;
    let back = Instant::now();
    until("it works again", || async { lanes.run(read("select 1")).await.is_ok() }).await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    assert!(*lanes.is_up().borrow());
    lanes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_a_hanging_server_time_out_and_it_is_used_again_when_it_wakes() {
    let cluster = std::sync::Arc::new(blocking(Cluster::start).await);
    let lanes = Running::start(cluster.target("postgres"), small());
    prove(&lanes, &read("select 1")).await;
    let server = std::sync::Arc::clone(&cluster);
    blocking(move || server.signal("-STOP")).await;
    for group in [read("select 1"), write("select 1")] {
        let group = Group { answer_timeout: Some(Duration::from_millis(300)), ..group };
        let started = Instant::now();
        let error = lanes.run(group).await.unwrap_err();
        // A proven read finds no shared connection yet, and none can be opened.
        assert!(matches!(error, DbError::Timeout | DbError::PoolTimeout), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    let mut up = lanes.is_up();
    tokio::time::timeout(Duration::from_secs(30), up.wait_for(|up| !up)).await.expect("noticed").unwrap();
    let server = std::sync::Arc::clone(&cluster);
    blocking(move || server.signal("-CONT")).await;
    until("it works again", || async { lanes.run(read("select 1")).await.is_ok() }).await;
    lanes.stop().await;
}

#[tokio::test]
async fn a_read_whose_connection_is_ended_runs_again_and_a_write_says_that_it_may_have_happened() {
    let lanes = Running::fresh(small()).await;
    lanes.execute("create table kills (n int)").await;
    // Ends its own connection the first time and not the second: the sequence survives.
    lanes.execute("create sequence tries").await;
    lanes
        .execute(
            "create function die_once() returns int language plpgsql as $$ begin \
             if nextval('tries') = 1 then perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); end if; \
             return 7; end $$",
        )
        .await;
    // A read-only transaction may not call nextval, so the sequence stands in for any read by a write's twin.
    let write_error = lanes.run(write("select die_once()")).await.unwrap_err();
    assert!(matches!(write_error, DbError::Unavailable(lost) if lost.maybe_committed));
    let sleeping = lanes.run(read("select pg_sleep(3)::text || 'slept'"));
    let killer = async {
        until("it sleeps", || async {
            lanes
                .cell(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() \
                     and query like '%slept%' and state = 'active' and pid <> pg_backend_pid()",
                )
                .await
                .unwrap()
                == "1"
        })
        .await;
    };
    let (slept, ()) = tokio::join!(sleeping, killer);
    assert_eq!(cell(slept.unwrap()).await.unwrap(), "slept");
}

#[tokio::test]
async fn a_write_on_a_connection_that_was_closed_while_idle_runs_on_another() {
    let lanes = Running::fresh(small()).await;
    lanes.execute("create table t (id int)").await;
    for _ in 0..20 {
        let pid = lanes.cell("select pg_backend_pid()").await.unwrap();
        Cluster::shared().psql("postgres", &format!("select pg_terminate_backend({pid})"));
        lanes.execute("insert into t values (1)").await;
    }
    assert_eq!(lanes.cell("select count(*) from t").await.unwrap(), "20");
}

#[tokio::test]
async fn a_server_without_places_makes_us_unavailable_and_not_broken() {
    let mut target = Cluster::shared().database().await;
    Cluster::shared()
        .psql("postgres", &format!("create role {0}_login login connection limit 0", target.dbname));
    let login = format!("{}_login", target.dbname);
    target.user.clone_from(&login);
    let lanes = Running::start(target, small());
    assert!(matches!(lanes.run(read("select 1")).await, Err(DbError::Unavailable(_))));
    Cluster::shared().psql("postgres", &format!("alter role {login} connection limit 10"));
    until("there is a place", || async { lanes.run(read("select 1")).await.is_ok() }).await;
}

#[tokio::test]
async fn a_wrong_host_or_database_or_password_is_unavailable() {
    let target = Cluster::shared().database().await;
    let mut no_database = target.clone();
    "nothing_here".clone_into(&mut no_database.dbname);
    let mut no_server = target.clone();
    no_server.hosts[0].port = 1;
    for target in [no_database, no_server] {
        let lanes = Running::start(target, small());
        let started = Instant::now();
        assert!(matches!(lanes.run(write("select 1")).await, Err(DbError::Unavailable(_))));
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(!*lanes.is_up().borrow());
    }
}
