//! Throughput of the lanes alone, beside pgbench running the same statements under one Sync.
//!
//! Run by hand: `cargo test --release --lib lanes_against_pgbench -- --ignored --nocapture`.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const SQL: &str =
    "select count(*), null, coalesce(json_agg(r), '[]')::text from (select * from items where id = $1) r";
const RUN: Duration = Duration::from_secs(4);

fn request(number: u64) -> Group {
    let mut group = Group::new(query(SQL, 3), Access::Read { shape: 1 });
    group.query.params = vec![text(&(number % 10_000 + 1).to_string())];
    group
        .set("role", "bench_role")
        .set("search_path", "public, extensions")
        .set(
            "request.jwt.claims",
            r#"{"sub":"8e6f1f64-5c7c-4a1c-9d0a-1f4e8d3b2a10","role":"bench_role","exp":1999999999}"#,
        )
        .set("request.method", "GET")
        .set("request.path", "/items")
        .set("request.headers", r#"{"host":"localhost","accept":"application/json"}"#)
        .set("request.cookies", "{}");
    group
}

async fn ours(lanes: &Lanes, clients: u64) -> f64 {
    let count = std::sync::Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (lanes, count) = (lanes.clone(), std::sync::Arc::clone(&count));
        tasks.spawn(async move {
            let mut number = client * 997;
            while started.elapsed() < RUN {
                let mut reply = lanes.run(request(number)).await.unwrap();
                reply.next_row().await.unwrap().unwrap();
                reply.chunk().await.unwrap().unwrap();
                reply.finish().await.unwrap();
                number += 1;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = count.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    rate
}

fn pgbench(target: &Target, clients: u32) -> f64 {
    let group = request(0);
    let pairs: Vec<_> = group
        .settings
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8(value.to_vec()).unwrap()))
        .chain([
            ("transaction_read_only".to_owned(), "on".to_owned()),
            ("lock_timeout".to_owned(), "15ms".to_owned()),
        ])
        .map(|(name, value)| format!("set_config('{name}', '{value}', true)"))
        .collect();
    let script = format!(
        "\\set id random(1, 10000)\n\\startpipeline\nselect {};\n{};\n\\endpipeline\n",
        pairs.join(", "),
        SQL.replace("$1", ":id")
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let folder = Cluster::shared().folder.to_str().unwrap().to_owned();
    let output = Command::new(cluster::bin() + "/pgbench")
        .args(["-n", "-M", "prepared", "-T", "4", "-j", "2", "-c", &clients.to_string()])
        .args(["-h", &folder, "-p", &Cluster::shared().port.to_string(), "-U", "authenticator"])
        .args(["-f", file.path().to_str().unwrap(), &target.dbname])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("tps")).unwrap_or_else(|| {
        panic!("{text} {}", String::from_utf8_lossy(&output.stderr));
    });
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn lanes_against_pgbench() {
    let mut target = Cluster::shared().database().await;
    let owner = Running::start(target.clone(), small());
    for sql in [
        "do $$ begin if to_regrole('bench_role') is null then create role bench_role; end if; \
         grant bench_role to authenticator; end $$",
        "create table items (id int primary key, name text, price numeric, owner text default 'bench_role')",
        "insert into items select n, 'item ' || n, n * 1.5 from generate_series(1, 10000) n",
        "alter table items enable row level security",
        "create policy own on items using (owner = current_setting('request.jwt.claims', true)::json->>'role')",
        "grant select on items to bench_role",
        "analyze items",
    ] {
        owner.execute(sql).await;
    }
    "authenticator".clone_into(&mut target.user);
    let shared = Running::start(target.clone(), LaneConfig::default());
    let exclusive = Running::start(
        target.clone(),
        LaneConfig { shared_connections: 0, max_connections: 8, ..LaneConfig::default() },
    );
    for _ in 0..3 {
        for clients in [4, 8, 16] {
            let rate = tokio::task::block_in_place(|| pgbench(&target, clients));
            println!("pgbench, one Sync, {clients} clients: {rate:.0}/s");
        }
        for clients in [16, 32, 64] {
            println!("lanes, {clients} callers: {:.0}/s", ours(&shared, clients).await);
        }
        println!("exclusive lane only, 32 callers: {:.0}/s", ours(&exclusive, 32).await);
    }
    println!("{:?}", shared.state());
}
