//! Connections as attackers, slow clients and load balancers make them: raw bytes over real sockets.

use std::pin::pin;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers `/slow` after a while, `/endless` without end, and anything else with its path; remembers what it saw.
#[derive(Clone, Default)]
struct Recorder {
    seen: Arc<Mutex<Vec<String>>>,
    endless: Arc<Mutex<Option<Arc<()>>>>,
}

impl App for Recorder {
    async fn answer(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        let path = request.uri().path().to_owned();
        self.seen.lock().unwrap().push(path.clone());
        if path == "/endless" {
            let held = Arc::new(());
            *self.endless.lock().unwrap() = Some(Arc::clone(&held));
            return Response::new(Body::from_stream(stream::repeat_with(move || {
                let _ = &held;
                Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 16 * 1024]))
            })));
        }
        if path == "/slow" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
        match body {
            Ok(_) => Response::new(Body::from(path)),
            Err(_) => Response::builder().status(400).body(Body::empty()).unwrap(),
        }
    }
}

struct Running {
    address: SocketAddr,
    app: Recorder,
    stop: Stop,
    serving: JoinHandle<usize>,
}

async fn start(options: ServerOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (app, stop) = (Recorder::default(), Stop::default());
    let serving = tokio::spawn(serve(listener, app.clone(), options, stop.clone()));
    Running { address, app, stop, serving }
}

/// Limits short enough for tests.
fn quick() -> ServerOptions {
    ServerOptions {
        header_read_timeout: Duration::from_millis(200),
        write_stall_timeout: Duration::from_millis(200),
        closing_notice: Duration::from_millis(50),
        stop_grace: Duration::from_secs(5),
        ..ServerOptions::default()
    }
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.unwrap()
}

/// Everything up to the end of the connection, which must come.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection was not closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer with a body of known length.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                return text;
            }
        }
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("no answer").unwrap();
        assert!(read > 0, "closed after {text:?}");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

async fn send(running: &Running, request: &[u8]) -> String {
    let mut stream = connect(running).await;
    let _ = stream.write_all(request).await;
    read_to_end(&mut stream).await
}

#[tokio::test]
async fn targets_with_quotes_and_angles_are_read_on_a_kept_connection_too() {
    let running = start(ServerOptions::default()).await;
    let mut stream = connect(&running).await;
    let long = (format!("/{}", ">".repeat(20_000)), format!("/{}", "%3E".repeat(20_000)));
    for (target, expected) in
        [("/a?b", "/a"), ("/j->>k\"", "/j-%3E%3Ek%22"), ("/<", "/%3C"), (&long.0, &long.1)]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(expected), "{target}: {answer}");
    }
}

#[tokio::test]
async fn requests_that_two_parsers_could_read_differently_are_refused() {
    let running = start(quick()).await;
    let post = "POST /first HTTP/1.1\r\nHost: a\r\n";
    let vectors: Vec<(&str, String)> = vec![
        ("two lengths", format!("{post}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd")),
        ("a list of lengths", format!("{post}Content-Length: 4, 5\r\n\r\nabcd")),
        ("a signed length", format!("{post}Content-Length: +4\r\n\r\nabcd")),
        ("a negative length", format!("{post}Content-Length: -4\r\n\r\nabcd")),
        ("a hexadecimal length", format!("{post}Content-Length: 0x4\r\n\r\nabcd")),
        ("an empty length", format!("{post}Content-Length: \r\n\r\nabcd")),
        ("a fractional length", format!("{post}Content-Length: 4.0\r\n\r\nabcd")),
        ("a length with a blank inside", format!("{post}Content-Length: 1 2\r\n\r\nabcd")),
        ("a length beyond 64 bits", format!("{post}Content-Length: 99999999999999999999\r\n\r\nabcd")),
        ("an underscored length", format!("{post}Content-Length: 1_0\r\n\r\nabcd")),
        ("another coding than chunked", format!("{post}Transfer-Encoding: gzip\r\n\r\nabcd")),
        ("chunked not last", format!("{post}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n")),
        ("chunked misspelt", format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
        ("chunked with a vertical tab", format!("{post}Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n")),
        ("identity", format!("{post}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n")),
        (
            "chunked in HTTP/1.0",
            "POST /first HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("a blank before the colon", format!("{post}Content-Length : 4\r\n\r\nabcd")),
        ("a tab before the colon", format!("{post}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n")),
        ("a folded header", format!("{post}X: a\r\n b\r\n\r\n")),
        ("a folded coding", format!("{post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n")),
        ("a header without a name", format!("{post}: value\r\n\r\n")),
        ("a header without a colon", format!("{post}Transfer-Encoding\r\n\r\n")),
        ("a first header that begins with a blank", "GET /first HTTP/1.1\r\n Host: a\r\n\r\n".to_owned()),
        ("a NUL in a header", format!("{post}X: a\0b\r\n\r\n")),
        ("a NUL in a name", format!("{post}X\0: a\r\n\r\n")),
        ("a bare CR in a header", format!("{post}X: a\rContent-Length: 4\r\n\r\n")),
        ("a bare CR at the end of a line", "GET /first HTTP/1.1\rHost: a\r\n\r\n".to_owned()),
        (
            "a chunk size that is no number",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nx\r\na\r\n0\r\n\r\n"),
        ),
        ("a signed chunk size", format!("{post}Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n")),
        (
            "a chunk size with a prefix",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n"),
        ),
        (
            "a chunk size beyond 64 bits",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\na"),
        ),
        (
            "a chunk longer than announced",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
        ),
        ("a chunk ended by a bare LF", format!("{post}Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n")),
        (
            "a bare LF in a chunk extension",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n1;x\ny\r\na\r\n0\r\n\r\n"),
        ),
        ("an empty chunk size", format!("{post}Transfer-Encoding: chunked\r\n\r\n\r\na\r\n0\r\n\r\n")),
        ("another version", "GET /first HTTP/1.2\r\nHost: a\r\n\r\n".to_owned()),
        ("no version", "GET /first\r\nHost: a\r\n\r\n".to_owned()),
        ("a blank in the target", "GET /first /second HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a control character in the target", "GET /fir\u{1}st HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a method of other characters", "G(ET /first HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
    ];
    assert!(vectors.len() >= 40);
    for (name, request) in vectors {
        let request = format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = send(&running, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") || answer.is_empty(), "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count().max(1), 1, "{name}: {answer}");
    }
    let seen = running.app.seen.lock().unwrap().clone();
    assert!(!seen.contains(&"/smuggled".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn with_both_length_and_chunks_the_chunks_count_and_the_connection_ends() {
    let running = start(quick()).await;
    for order in [
        "Content-Length: 45\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 45",
    ] {
        let request = format!(
            "POST /first HTTP/1.1\r\nHost: a\r\n{order}\r\n\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = send(&running, request.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(*running.app.seen.lock().unwrap(), ["/first", "/first"]);
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_with_their_own_status() {
    let running = start(quick()).await;
    let url =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "x".repeat(bytes));
    let lines = |count: usize| {
        let lines = (0..count).map(|number| format!("X-{number}: y\r\n")).collect::<Vec<_>>().concat();
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n")
    };
    let header = |bytes: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(bytes))
    };
    let table = [
        (url(60_000), "200"),
        (url(70_000), "414"),
        (lines(90), "200"),
        (lines(150), "431"),
        (header(100_000), "200"),
        (header(200_000), "431"),
    ];
    for (request, status) in table {
        let answer = send(&running, request.as_bytes()).await;
        let start = answer.get(..12).unwrap_or(&answer);
        assert_eq!(start, format!("HTTP/1.1 {status}"), "{} bytes", request.len());
    }
}

#[tokio::test]
async fn clients_that_do_not_get_on_are_cut_while_others_are_served() {
    let running = start(quick()).await;
    let beginnings: [&[u8]; 6] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP",
    ];
    let mut slow = Vec::new();
    for beginning in beginnings.iter().cycle().take(300) {
        let mut stream = connect(&running).await;
        stream.write_all(beginning).await.unwrap();
        slow.push((stream, *beginning));
    }

    let normal = send(&running, b"GET /normal HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;

    assert!(normal.ends_with("/normal"));
    for (mut stream, beginning) in slow {
        let rest = read_to_end(&mut stream).await;
        assert!(rest.len() < 300, "{:?}: {rest}", String::from_utf8_lossy(beginning));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_its_answer_let_go() {
    let running = start(quick()).await;
    let mut stream = connect(&running).await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();

    let deadline = Instant::now() + PATIENCE;
    loop {
        let held = running.app.endless.lock().unwrap().as_ref().map_or(0, Arc::strong_count);
        if held == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the answer is still held");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_refuses_what_is_new() {
    let running = start(quick()).await;
    let mut idle = connect(&running).await;
    idle.write_all(b"GET /idle HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut idle).await.ends_with("/idle"));
    let mut busy = connect(&running).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    while !running.app.seen.lock().unwrap().contains(&"/slow".to_owned()) {
        tokio::task::yield_now().await;
    }

    running.stop.soft.cancel();
    let answer = read_to_end(&mut busy).await;

    assert!(answer.ends_with("/slow"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(timeout(PATIENCE, running.serving).await.unwrap().unwrap(), 0);
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_hard_stop_cuts_at_once() {
    let running = start(quick()).await;
    let mut stream = connect(&running).await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut some = [0; 100];
    stream.read_exact(&mut some).await.unwrap();

    running.stop.soft.cancel();
    running.stop.hard.cancel();

    assert_eq!(timeout(PATIENCE, running.serving).await.unwrap().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_stop_loses_no_request() {
    let options = ServerOptions { closing_notice: Duration::from_secs(2), ..ServerOptions::default() };
    let running = start(options).await;
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let address = running.address;
            tokio::spawn(async move {
                let mut answered = 0;
                while let Ok(mut stream) = TcpStream::connect(address).await {
                    let mut is_new = true;
                    loop {
                        let sent = stream.write_all(b"GET /load HTTP/1.1\r\nHost: a\r\n\r\n").await;
                        // The kernel took it for a listener that was just closing: refused a little later.
                        if is_new && (sent.is_err() || stream.peek(&mut [0]).await.is_err()) {
                            return answered;
                        }
                        is_new = false;
                        sent.expect("request lost");
                        let answer = read_answer(&mut stream).await;
                        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("/load"), "{answer}");
                        answered += 1;
                        if answer.to_ascii_lowercase().contains("connection: close") {
                            break;
                        }
                    }
                }
                answered
            })
        })
        .collect();
    while running.app.seen.lock().unwrap().len() < 500 {
        tokio::task::yield_now().await;
    }

    running.stop.soft.cancel();

    let mut answered = 0;
    for client in clients {
        answered += timeout(PATIENCE, client).await.unwrap().expect("a request was lost");
    }
    assert_eq!(answered, running.app.seen.lock().unwrap().len());
    assert_eq!(running.serving.await.unwrap(), 0);
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let running = start(ServerOptions { max_connections: 1, ..ServerOptions::default() }).await;
    let mut first = connect(&running).await;
    first.write_all(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_answer(&mut first).await;
    let mut second = connect(&running).await;
    second.write_all(b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(100), second.read(&mut byte)).await.is_err());

    drop(first);

    assert!(read_answer(&mut second).await.ends_with("/second"));
}

#[tokio::test]
async fn when_descriptors_run_out_accepting_pauses() {
    let stop = Stop::default();
    let aborted = io::Error::from_raw_os_error(rustix::io::Errno::CONNABORTED.raw_os_error());
    let mut going_on = pin!(after_accept_error(&stop, &aborted));
    let is_over = |_| going_on.as_mut().now_or_never().is_some();
    assert!((0..2).any(is_over), "it lets others go first, and waits for nothing");
    let begun = Instant::now();
    after_accept_error(&stop, &io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())).await;
    assert!(begun.elapsed() >= EXHAUSTION_PAUSE);
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The kinds of the frames that come until the connection ends.
async fn frame_kinds(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection was not closed");
    let mut kinds = Vec::new();
    let mut rest = bytes.as_slice();
    while let [a, b, c, kind, ..] = rest {
        kinds.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    kinds
}

#[tokio::test]
async fn http2_is_served_and_streams_opened_only_to_be_reset_end_the_connection() {
    let running = start(quick()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}/two", running.address)).send().await.unwrap();
    assert_eq!((answer.version(), answer.text().await.unwrap().as_str()), (http::Version::HTTP_2, "/two"));

    let mut attacker = connect(&running).await;
    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    attack.extend(frame(4, 0, 0, &[]));
    for number in 0..5000_u32 {
        let stream = number * 2 + 1;
        // GET http /, then RST_STREAM with CANCEL.
        attack.extend(frame(1, 5, stream, &[0x82, 0x86, 0x84]));
        attack.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    let _ = attacker.write_all(&attack).await;

    let kinds = frame_kinds(&mut attacker).await;

    assert!(kinds.contains(&7), "no GOAWAY among {kinds:?}");
    assert!(running.app.seen.lock().unwrap().len() < 5000);
}

#[tokio::test]
async fn an_http2_head_without_end_is_not_collected() {
    let running = start(quick()).await;
    let mut attacker = connect(&running).await;
    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    attack.extend(frame(4, 0, 0, &[]));
    attack.extend(frame(1, 1, 1, &[0x82, 0x86, 0x84]));
    for _ in 0..2000 {
        // CONTINUATION frames of one literal header each, none of them the last.
        let mut header = vec![0x00, 0x01, b'x', 0x7f, 0xe9, 0x06];
        header.extend(vec![b'y'; 1000]);
        attack.extend(frame(9, 0, 1, &header));
    }
    let _ = timeout(PATIENCE, attacker.write_all(&attack)).await.expect("the server goes on reading");

    let kinds = frame_kinds(&mut attacker).await;

    assert!(kinds.contains(&7), "no GOAWAY among {kinds:?}");
}
