//! Somebody who is called by the server, and what they were told: a scanner behind an address, a CDN.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// One call.
#[derive(Clone)]
pub struct Call {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Rule = Box<dyn Fn(&Call, usize) -> (StatusCode, String) + Send + Sync>;

struct Inner {
    calls: Mutex<Vec<Call>>,
    rule: Rule,
}

pub struct Receiver {
    pub url: String,
    inner: Arc<Inner>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// Answers as the rule says, which is told how many calls there were before.
    pub async fn start(rule: impl Fn(&Call, usize) -> (StatusCode, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/call", listener.local_addr().unwrap());
        let inner = Arc::new(Inner { calls: Mutex::default(), rule: Box::new(rule) });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        Self { url, inner, serving: tokio::spawn(serve(listener, router)) }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.inner.calls.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request<Body>) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    let call = Call { headers: parts.headers, body: to_bytes(body, 64 << 20).await.unwrap() };
    let mut calls = inner.calls.lock().unwrap();
    let answer = (inner.rule)(&call, calls.len());
    calls.push(call);
    answer
}

async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
