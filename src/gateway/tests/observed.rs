//! What the operator sees: metrics and log lines.

use std::cell::RefCell;
use std::io;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Collects what this thread logs.
#[derive(Clone, Copy)]
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that the work logs, on this thread.
fn logged(work: impl Future<Output = ()>) -> Vec<serde_json::Value> {
    let subscriber = || tracing_subscriber::fmt().json().with_writer(|| Lines).finish();
    // With none installed, other tests' threads could switch the call sites off for all of the process.
    let _ = tracing::subscriber::set_global_default(subscriber());
    tracing::subscriber::with_default(subscriber(), || run(work));
    let text = String::from_utf8(LINES.take()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

#[test]
fn a_hundred_thousand_paths_make_no_new_series() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        run(async {
            let named = |_| async {
                let mut response = Response::new(Body::empty());
                response.extensions_mut().insert(RouteTemplate("/{table}"));
                response
            };
            let gateway =
                gateway(vec![echo("echo", "/echo"), Mount::handler("named", "/named", Arc::new(named))]);
            get_it(&gateway, "/echo/first", &[]).await;
            get_it(&gateway, "/named/first", &[]).await;
            get_it(&gateway, "/nowhere", &[]).await;
            let series = handle.render().lines().filter(|line| !line.starts_with('#')).count();
            for number in 0..100_000 {
                let place = ["echo", "named", "nowhere"][number % 3];
                get_it(&gateway, &format!("/{place}/{number}?q={number}"), &[]).await;
            }
            let text = handle.render();
            assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), series);
            assert!(text.contains(r#"route="/{table}""#), "{text}");
            assert!(text.contains(r#"goforward_http_requests_in_flight{service="echo"} 0"#), "{text}");
        });
    });
}

#[test]
fn no_secret_and_no_control_character_reaches_the_log() {
    let (identity, keys) = identity(KeyMode::Lenient);
    let all = [&keys.anon_key, &keys.service_role_key, &keys.publishable_key, &keys.secret_key];
    let lines = logged(async {
        let mounts = vec![echo("rest", "/rest").key_in_query(true), echo("auth", "/auth")];
        let gateway = gateway_with(GatewayOptions::default(), identity, mounts);
        for key in all.map(Secret::expose) {
            let bearer = format!("Bearer {key}");
            get_it(&gateway, &format!("/rest/a?apikey={key}&id=eq.1"), &[]).await;
            get_it(&gateway, &format!("/auth/a?apikey={key}"), &[("apikey", key)]).await;
            get_it(&gateway, &format!("/auth/a?x={key}"), &[("authorization", &bearer)]).await;
            get_it(&gateway, &format!("/nowhere?access_token={key}"), &[("apikey", key)]).await;
        }
        get_it(&gateway, "/rest/%0d%0aINJECTED", &[("user-agent", "evil\tagent\u{85}")]).await;
    });

    assert_eq!(lines.len(), 17);
    for line in &lines {
        assert_eq!(line["fields"]["kind"], "access");
        assert!(line["fields"]["duration_ms"].is_number());
        for key in all.map(Secret::expose) {
            // The secret part: a signature, or what follows `sb_secret_` (which may hold `_` itself).
            let secret = key.rsplit_once('.').map_or_else(|| key.splitn(3, '_').last(), |(_, it)| Some(it));
            assert!(!line.to_string().contains(secret.unwrap()), "{line}");
        }
    }
    let last = &lines[16]["fields"];
    assert_eq!(last["path"], "/rest/%0d%0aINJECTED");
    assert_eq!(last["user_agent"], "evil\\tagent\\u{85}");
    assert_eq!((&last["role"], &last["status"]), (&"anon".into(), &200.into()));
    assert_eq!(last["ip"], "198.51.100.9");
}

#[test]
fn an_answer_of_unknown_size_is_logged_at_its_end_with_its_bytes() {
    let lines = logged(async {
        let streamed = |_| async {
            let pieces = ["one", "two"].map(Ok::<_, io::Error>);
            Response::new(Body::from_stream(futures_util::stream::iter(pieces)))
        };
        let gateway = gateway(vec![Mount::handler("streamed", "/streamed", Arc::new(streamed))]);
        get_it(&gateway, "/streamed", &[]).await;
        let peer: SocketAddr = "198.51.100.9:4711".parse().unwrap();
        let left = gateway.handle(Request::get("/streamed").body(Body::empty()).unwrap(), peer).await;
        assert_eq!(left.status(), StatusCode::OK);
        drop(left);
    });

    let facts: Vec<_> =
        lines.iter().map(|line| (&line["fields"]["status"], &line["fields"]["bytes"])).collect();
    assert_eq!(facts, [(&200.into(), &6.into()), (&499.into(), &0.into())]);
}

#[test]
fn an_answer_of_announced_length_is_whole_with_its_last_byte() {
    let lines = logged(async {
        let streamed = |_| async {
            let pieces = ["one", "two"].map(Ok::<_, io::Error>);
            let mut response = Response::new(Body::from_stream(futures_util::stream::iter(pieces)));
            response.headers_mut().insert("content-length", http::HeaderValue::from_static("6"));
            response
        };
        let gateway = gateway(vec![Mount::handler("streamed", "/streamed", Arc::new(streamed))]);
        let peer: SocketAddr = "198.51.100.9:4711".parse().unwrap();
        for frames in [2, 1] {
            let answer = gateway.handle(Request::get("/streamed").body(Body::empty()).unwrap(), peer).await;
            let mut body = answer.into_body().into_data_stream();
            for _ in 0..frames {
                futures_util::StreamExt::next(&mut body).await.unwrap().unwrap();
            }
        }
    });

    let facts: Vec<_> =
        lines.iter().map(|line| (&line["fields"]["status"], &line["fields"]["bytes"])).collect();
    assert_eq!(facts, [(&200.into(), &6.into()), (&499.into(), &3.into())]);
}
