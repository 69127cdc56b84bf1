//! Clients that keep a server busy over HTTP/1.1 and time its answers. They share cores with the server,
//! and so do as little as they can: requests are bytes that are made before, and answers are read no
//! further than their status and length.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Makes the bytes of a request from its number, which no other request of the program has: an event that is
/// published again is not stored again.
pub(crate) type Requests = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// What clients do.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) requests: Requests,
    /// How many requests there are in a second, whatever the answers do; none sends the next one when the
    /// last is answered.
    pub(crate) per_second: Option<f64>,
    /// How long they go on.
    pub(crate) time: Duration,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered {
    /// Answers with a status of success.
    pub(crate) succeeded: u64,
    /// Answers with another status.
    pub(crate) refused: u64,
    /// How long it took.
    pub(crate) took: Duration,
    /// How long each success took: with a rate from when it was to be sent, so that a server that is late
    /// once pays for all that wait. Sorted.
    latencies: Vec<Duration>,
}

impl Answered {
    /// Successes in a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.succeeded as f64 / self.took.as_secs_f64()
    }

    /// The latency that a share of the successes did not pass, in microseconds.
    pub(crate) fn latency_us(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the list")]
        let index = (last as f64 * share).round() as usize;
        self.latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// A POST.
pub(crate) fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    post_with(path, content_type, &[], body)
}

/// A POST with further headers.
pub(crate) fn post_with(path: &str, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

impl Load {
    /// Runs it on one thread, to its end.
    pub(crate) fn run(&self) -> Answered {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(self.clone().run_all())
    }

    async fn run_all(self) -> Answered {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let first = RUNS.fetch_add(1, Ordering::Relaxed) << 32;
        let next = Arc::new(AtomicU64::new(0));
        let mut streams = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let stream = TcpStream::connect(self.address).await.expect("the server listens");
            stream.set_nodelay(true).expect("an option of a socket");
            streams.push(stream);
        }
        let started = Instant::now();
        let clients: Vec<_> = streams
            .into_iter()
            .map(|stream| tokio::spawn(client(self.clone(), stream, started, first, Arc::clone(&next))))
            .collect();
        let mut all = Answered::default();
        for client in clients {
            let one = client.await.expect("a client does not fail");
            all.succeeded += one.succeeded;
            all.refused += one.refused;
            all.latencies.extend(one.latencies);
        }
        all.took = started.elapsed();
        all.latencies.sort_unstable();
        all
    }
}

async fn client(load: Load, mut stream: TcpStream, started: Instant, first: u64, next: Arc<AtomicU64>) -> Answered {
    let mut answered = Answered::default();
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = match load.per_second {
            Some(rate) => started + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        };
        if due.duration_since(started) >= load.time {
            return answered;
        }
        if load.per_second.is_some() && due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        stream.write_all(&(load.requests)(first + number)).await.expect("the server reads");
        let status = answer(&mut stream, &mut buffer).await;
        if (200..300).contains(&status) {
            answered.succeeded += 1;
            answered.latencies.push(due.elapsed());
        } else {
            answered.refused += 1;
        }
    }
}

/// Reads one answer and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> u16 {
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("the server answers");
        assert!(read > 0, "the server has closed the connection: {}", String::from_utf8_lossy(buffer));
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(head)) = response.parse(buffer) else { continue };
        let status = response.code.expect("a complete answer has one");
        let header = |name: &str| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let complete = match header("content-length") {
            Some(length) => {
                let length = std::str::from_utf8(length.value).ok().and_then(|text| text.parse::<usize>().ok());
                buffer.len() >= head + length.expect("a length is a number")
            }
            None if header("transfer-encoding").is_some() => buffer.ends_with(b"0\r\n\r\n"),
            None => true,
        };
        if complete {
            return status;
        }
    }
}
