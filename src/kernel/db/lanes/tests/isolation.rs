//! The promise that everything stands on: a group sees its own caller's settings, whatever happened before it.

use super::*;

/// A small reproducible sequence of numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

const SHOW: &str = "select concat_ws('|', current_user, coalesce(current_setting('request.jwt.claims', true), ''), \
    coalesce(current_setting('request.path', true), ''), current_setting('statement_timeout'), current_setting('search_path'), \
    current_setting('transaction_read_only'), (select count(*) from who))";

fn claims(caller: u64, turn: u64) -> (String, String) {
    (format!("{{\"sub\":\"{caller}\"}}"), format!("/{caller}/{turn}"))
}

fn dress(mut group: Group, caller: u64, turn: u64) -> Group {
    let (claims, path) = claims(caller, turn);
    group
        .set("role", format!("caller_{}", caller % 10))
        .set("search_path", if caller.is_multiple_of(2) { "public" } else { "other, public" })
        .set("request.jwt.claims", claims)
        .set("statement_timeout", if turn.is_multiple_of(7) { "20ms" } else { "5s" });
    // Not every caller sets this one, so a leak from another would show.
    if turn.is_multiple_of(3) {
        group.set("request.path", path);
    }
    group
}

fn expected(caller: u64, turn: u64, is_read: bool) -> String {
    let (claims, path) = claims(caller, turn);
    let path = if turn.is_multiple_of(3) { path } else { String::new() };
    let timeout = if turn.is_multiple_of(7) { "20ms" } else { "5s" };
    let search_path = if caller.is_multiple_of(2) { "public" } else { "other, public" };
    let read_only = if is_read { "on" } else { "off" };
    // The policy shows each role its own row only.
    format!("caller_{}|{claims}|{path}|{timeout}|{search_path}|{read_only}|1", caller % 10)
}

/// With a 20 ms limit on a busy machine the look itself may be cancelled.
fn was_cut(error: &DbError, turn: u64) -> bool {
    matches!(error, DbError::Sql(error) if error.code == "57014") && turn.is_multiple_of(7)
}

/// What caller `caller` does at `turn`; gives whether it was an ordinary look.
async fn act(lanes: &Lanes, caller: u64, turn: u64, dice: &mut Dice) -> bool {
    let run = |group: Group| lanes.run(dress(group, caller, turn));
    match dice.roll(12) {
        0 => {
            // Cancelled by its caller: the future is dropped while the query sleeps.
            let sleep = run(write("select pg_sleep(0.3)"));
            let _ = tokio::time::timeout(Duration::from_millis(dice.roll(15)), sleep).await;
        }
        1 => assert!(run(write("select 1/0")).await.is_err()),
        2 => {
            let wrong = Group { before: Some("select raise_it()".into()), ..read(SHOW) };
            assert!(run(wrong).await.is_err());
        }
        3 => {
            // A large answer that is dropped after its first piece.
            if let Ok(mut reply) = run(read("select repeat('x', 2000000)")).await {
                let _ = reply.next_row().await;
            }
        }
        4 => {
            let mut late = write("select pg_sleep(0.1)");
            late.settings.clear();
            let mut late = dress(late, caller, turn);
            late.set("statement_timeout", "10ms");
            assert!(lanes.run(late).await.is_err());
        }
        5 => match run(deciding(write(SHOW))).await {
            Ok(mut reply) if dice.roll(2) == 0 => reply.commit(),
            Ok(_) => {}
            Err(error) => assert!(was_cut(&error, turn), "{error:?}"),
        },
        6 => assert!(run(write("select broken syntax from")).await.is_err()),
        7 => {
            let slow = run(read("select pg_sleep(0.03)"));
            let _ = tokio::time::timeout(Duration::from_millis(dice.roll(40)), slow).await;
        }
        8 => {
            match run(write(SHOW)).await {
                Ok(reply) => assert_eq!(cell(reply).await.unwrap(), expected(caller, turn, false)),
                Err(error) => assert!(was_cut(&error, turn), "{error:?}"),
            }
            return true;
        }
        _ => {
            match run(read(SHOW)).await {
                Ok(reply) => assert_eq!(cell(reply).await.unwrap(), expected(caller, turn, true)),
                Err(error) => assert!(was_cut(&error, turn), "{error:?}"),
            }
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_interleaved_groups_of_a_hundred_callers_never_see_each_other() {
    let target = Cluster::shared().database().await;
    let owner = Running::start(target.clone(), small());
    for role in 0..10 {
        owner
            .execute(&format!(
                "do $$ begin if to_regrole('caller_{role}') is null then create role caller_{role}; end if; \
                 grant caller_{role} to authenticator; grant create on schema public to caller_{role}; end $$"
            ))
            .await;
    }
    owner.execute("create schema other").await;
    owner.execute("grant usage on schema other to public").await;
    owner.execute("create table who (name text)").await;
    owner.execute("insert into who select 'caller_' || n from generate_series(0, 9) n").await;
    owner.execute("alter table who enable row level security").await;
    owner.execute("create policy own on who using (name = current_user)").await;
    owner.execute("grant select on who to public").await;
    owner
        .execute("create function raise_it() returns int language plpgsql as $$ begin raise 'no'; end $$")
        .await;
    owner.stop().await;

    let mut target = target;
    "authenticator".clone_into(&mut target.user);
    let config = LaneConfig { max_connections: 20, shared_connections: 4, ..LaneConfig::default() };
    let lanes = Running::start(target, config);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..100 {
        let lanes = lanes.lanes.clone();
        callers.spawn(async move {
            let mut dice = Dice(0x9e37_79b9 + caller * 7919);
            let mut looks = 0;
            for turn in 0..100 {
                looks += u32::from(act(&lanes, caller, turn, &mut dice).await);
            }
            looks
        });
    }
    let mut looks = 0;
    while let Some(result) = callers.join_next().await {
        looks += result.unwrap();
    }
    assert!(looks > 3000, "{looks} looks");
    let (shared, exclusive) = lanes.state();
    assert!(shared.connections + exclusive.connections <= 20);
    lanes.stop().await;
}

#[tokio::test]
async fn a_function_that_leaves_session_state_is_cleaned_up_after() {
    let lanes = Running::fresh(LaneConfig { max_connections: 1, ..small() }).await;
    lanes
        .execute(
            "create function leave() returns void language plpgsql as $$ begin \
             perform set_config('statement_timeout', '1h', false), set_config('app.tenant', 'theirs', false), \
             set_config('role', 'md5_user', false); create temp table items (id int); \
             perform pg_advisory_lock(1); end $$",
        )
        .await;
    let mut call = write("select leave()");
    call.resets_session = true;
    for _ in 0..3 {
        lanes.run(call.clone()).await.unwrap().finish().await.unwrap();
        let left = lanes
            .cell(
                "select concat_ws('|', current_user, current_setting('statement_timeout'), \
                 current_setting('app.tenant', true), to_regclass('items'), (select count(*) from pg_locks \
                 where locktype = 'advisory' and pid = pg_backend_pid()))",
            )
            .await
            .unwrap();
        assert_eq!(left, "postgres|0||0");
    }
}

#[tokio::test]
async fn what_a_query_changes_for_itself_does_not_reach_the_next() {
    let lanes = Running::fresh(LaneConfig { max_connections: 1, ..small() }).await;
    let mut sly =
        write("select set_config('role', 'postgres', true), set_config('request.jwt.claims', 'all', true)");
    sly.set("role", "md5_user");
    lanes.run(sly).await.unwrap().finish().await.unwrap();
    let mut next = write("select concat_ws('|', current_user, current_setting('request.jwt.claims', true))");
    next.set("role", "scram_user").set("request.jwt.claims", "mine");
    assert_eq!(cell(lanes.run(next).await.unwrap()).await.unwrap(), "scram_user|mine");
}
