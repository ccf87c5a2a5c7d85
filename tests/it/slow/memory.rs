//! Memory does not grow with results: slow readers of large answers cost little, and small reads go on meanwhile.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Database, Options, PATIENCE, TestApp, resident_mib};

const READERS: usize = 8;

#[tokio::test]
async fn slow_readers_of_large_results_cost_little_memory() {
    let database = Database::create().await;
    // 50 MB here and 200 MB in the benches: this build is not optimised.
    database
        .run(
            "create table wide as select n, repeat('x', 100000) as text from generate_series(1, 500) n;
             create table small as select 1 as id;
             alter table wide enable row level security; create policy p on wide using (true);
             alter table small enable row level security; create policy p on small using (true)",
        )
        .await;
    let app = TestApp::on(database, Options::default().set("database.max_connections", "33")).await;
    let key = app.server.keys().anon_key;
    let mut streams = Vec::new();
    for _ in 0..READERS {
        let mut stream = TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap();
        let request =
            format!("GET /rest/v1/wide HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        streams.push(stream);
    }

    let (client, mut most) = (app.anon(), 0);
    for _ in 0..100 {
        for stream in &mut streams {
            let mut some = [0; 16 * 1024];
            let _read = stream.read(&mut some).await.unwrap();
        }
        let small = tokio::time::timeout(PATIENCE, client.get("/rest/v1/small")).await;
        small.expect("slow readers are not waited for").expect_status(200);
        most = most.max(resident_mib(app.server.pid()));
    }

    assert!(most < 150, "{most} MiB");
    let mut whole = Vec::new();
    streams[0].read_to_end(&mut whole).await.unwrap();
    assert!(whole.ends_with(b"\"}]"), "the slow reader gets all of it in the end");
}

#[tokio::test]
async fn an_idle_server_is_small() {
    let app = TestApp::start().await;

    let idle = resident_mib(app.server.pid());

    assert!(idle < 100, "{idle} MiB"); // 50 MiB is the aim of a release build
}
