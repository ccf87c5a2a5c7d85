//! A clamd on a real socket: it speaks `INSTREAM`, finds the test file of EICAR, has a limit, and can be down or keep its
//! answers to itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// As many bytes as it takes.
pub const LIMIT: usize = 3_000_000;

/// What every scanner calls a virus. In two parts, so that none finds it here.
pub fn eicar() -> String {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

struct Inner {
    /// One for each answer that it gives.
    answers: Semaphore,
    is_down: AtomicBool,
    scanned: AtomicUsize,
    refused: AtomicUsize,
}

pub struct Clamd {
    pub url: String,
    inner: Arc<Inner>,
    serving: JoinHandle<()>,
}

impl Clamd {
    /// One that answers as often as it is allowed to.
    pub async fn start(answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            answers: Semaphore::new(answers),
            is_down: AtomicBool::new(false),
            scanned: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&inner)));
        Self { url, inner, serving }
    }

    /// Lets it give so many more answers.
    pub fn allow(&self, answers: usize) {
        self.inner.answers.add_permits(answers);
    }

    /// Whether it hangs up on everybody.
    pub fn down(&self, is_down: bool) {
        self.inner.is_down.store(is_down, Ordering::SeqCst);
    }

    /// How many streams it has read to their end.
    pub fn scanned(&self) -> usize {
        self.inner.scanned.load(Ordering::SeqCst)
    }

    /// On how many it has hung up.
    pub fn refused(&self) -> usize {
        self.inner.refused.load(Ordering::SeqCst)
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if inner.is_down.load(Ordering::SeqCst) {
            inner.refused.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let inner = Arc::clone(&inner);
        connections.spawn(async move { scan(stream, &inner).await });
    }
}

async fn scan(mut stream: TcpStream, inner: &Inner) -> std::io::Result<()> {
    let mut command = [0; 10];
    stream.read_exact(&mut command[..6]).await?;
    if command.starts_with(b"zPING\0") {
        return stream.write_all(b"PONG\0").await;
    }
    stream.read_exact(&mut command[6..]).await?;
    assert_eq!(&command, b"zINSTREAM\0");
    let mut bytes = Vec::new();
    loop {
        let length = stream.read_u32().await? as usize;
        if length == 0 {
            break;
        }
        if bytes.len() + length > LIMIT {
            return stream.write_all(b"INSTREAM size limit exceeded. ERROR\0").await;
        }
        let start = bytes.len();
        bytes.resize(start + length, 0);
        stream.read_exact(&mut bytes[start..]).await?;
    }
    inner.scanned.fetch_add(1, Ordering::SeqCst);
    inner.answers.acquire().await.unwrap().forget();
    let needle = eicar();
    let is_infected = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    let answer: &[u8] = if is_infected { b"stream: Eicar-Test-Signature FOUND\0" } else { b"stream: OK\0" };
    stream.write_all(answer).await
}
