//! One connection: its requests, its shutdown, and the responses to requests that the HTTP parser refuses. It begins
//! with HTTP/1.1, unless its client has chosen HTTP/2.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection, Parts};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;

use super::http2::Http2;
use super::preface::{PREFACE, PrefaceReader};
use super::protocol::Protocol;
use super::public_listener::PublicListener;
use super::refusal::{self, stopping};
use super::refusal_filter::RefusalFilter;
use super::stream::ByteStream;
use super::timer::ConnectionTimer;
use super::{HttpLimits, MAX_HEADERS, MIN_HEADER_BYTES};
use crate::problem::Problem;

/// The bytes of a connection, with a limit on the time of writing.
type Timed = Pin<Box<TimeoutWriter<Box<dyn ByteStream>>>>;
type Stream = RefusalFilter<PrefaceReader<Timed>>;
type RouterService = TowerToHyperService<Router>;

/// The state of the server that its connections share.
pub(super) struct Server {
    pub(super) router: Router,
    /// What a public listener does with each request.
    pub(super) public: Option<PublicListener>,
    pub(super) limits: HttpLimits,
    pub(super) stop: CancellationToken,
    pub(super) http2: Http2,
}

/// Serves a connection until it ends, or until the server stops and the current requests are answered.
pub(super) async fn serve(stream: Box<dyn ByteStream>, protocol: Protocol, server: Server) {
    // hyper limits reads only. Without a write timeout, a client that never reads would keep its connection open.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(server.limits.write_timeout));
    let stream = Box::pin(stream);
    match protocol {
        Protocol::Http2 => server.http2.serve(stream, (server.router, server.public), server.limits, server.stop).await,
        // Boxed, because the future is large.
        Protocol::Unknown => Box::pin(serve_http1(stream, server)).await,
    }
}

/// Serves HTTP/1.1, and HTTP/2 if the client begins with its preface.
async fn serve_http1(stream: Timed, server: Server) {
    let limits = server.limits;
    let holding = Arc::new(AtomicBool::new(false));
    let stream = RefusalFilter::new(PrefaceReader::new(stream), Arc::clone(&holding));
    let timer = ConnectionTimer::default();
    let requests = Requests::new(server.router.clone(), server.public.clone());
    let (busy, is_first) = (Arc::clone(&requests.busy), Arc::clone(&requests.is_first));
    let mut progress = Progress { busy, holding, timer: timer.clone(), stopped: None };
    let mut connection = Builder::new()
        .timer(timer)
        .header_read_timeout(limits.header_timeout)
        // A client may close its sending half after the request and still get the response.
        .half_close(true)
        .max_headers(MAX_HEADERS)
        .max_buf_size(buffer_bytes(limits))
        .serve_connection(TokioIo::new(stream), requests);
    let ended = progress.run(&mut connection, server.stop.clone()).await;
    let Parts { io, read_buf, .. } = connection.into_parts();
    let mut stream = io.into_inner();
    if let Err(error) = &ended {
        if is_first.load(Ordering::Relaxed) && error.is_parse() && read_buf.starts_with(PREFACE) {
            let stream = stream.into_inner().0.resume(&read_buf);
            return server.http2.serve(stream, (server.router, server.public), limits, server.stop).await;
        }
        tracing::debug!(%error, "a connection ended early");
        let Some(problem) = refuse(error, stream.held(), &read_buf, limits, progress.stopped.is_some()) else { return };
        stream.replace(refusal::message(&problem));
    }
    // An idle client has nothing to read, so the shutdown does not wait for it.
    let lingers = !stream.at_end() && progress.stopped != Some(Phase::Idle);
    refusal::close(stream.into_inner(), lingers).await;
}

/// The state of a connection when the server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Busy,
}

/// The state of a running connection.
struct Progress {
    busy: Arc<AtomicBool>,
    holding: Arc<AtomicBool>,
    timer: ConnectionTimer,
    stopped: Option<Phase>,
}

impl Progress {
    async fn run(
        &mut self,
        connection: &mut Connection<TokioIo<Stream>, Requests>,
        stop: CancellationToken,
    ) -> hyper::Result<()> {
        let mut stop = pin!(stop.cancelled());
        poll_fn(|context| {
            if self.stopped.is_none() && stop.as_mut().poll(context).is_ready() {
                self.stopped = Some(if self.busy.load(Ordering::Relaxed) { Phase::Busy } else { Phase::Idle });
                Pin::new(&mut *connection).graceful_shutdown();
                self.timer.shorten(super::STOP_GRACE_PERIOD);
            }
            loop {
                let polled = Pin::new(&mut *connection).poll(context);
                // The connection continues, so the held head was a handler's response. Poll again to send it.
                if polled.is_ready() || !self.holding.swap(false, Ordering::Relaxed) {
                    return polled;
                }
            }
        })
        .await
    }
}

/// The problem for a request head that cannot be parsed; none if the client sent nothing.
fn refuse(error: &hyper::Error, held: &[u8], unread: &[u8], limits: HttpLimits, stopped: bool) -> Option<Problem> {
    let status = if error.is_parse() { held.get(9..12) } else { None };
    Some(match status {
        Some(b"414") => refusal::target_too_long(limits),
        // The buffer holds nothing but the request line.
        Some(b"431") if unread.len() >= buffer_bytes(limits) && !unread.contains(&b'\n') => {
            refusal::target_too_long(limits)
        }
        Some(b"431") if is_head_too_large(unread, limits) => refusal::head_too_large(limits),
        // The head is complete, but its Content-Length overflows.
        Some(b"431") => refusal::body_too_large(limits),
        _ if is_other_version(unread) && error.is_parse() => refusal::other_version(),
        Some(_) => refusal::malformed(error),
        None if unread.is_empty() => return None,
        None if error.is_timeout() && stopped => stopping("the request had not arrived"),
        None if error.is_timeout() => refusal::head_too_slow(limits),
        None if error.is_incomplete_message() => {
            Problem::bad_request("request-incomplete", "the connection ended within the request head")
        }
        None => return None,
    })
}

fn buffer_bytes(limits: HttpLimits) -> usize {
    limits.max_header_bytes.max(MIN_HEADER_BYTES)
}

/// Whether the unread bytes are a head with too many bytes or fields.
fn is_head_too_large(unread: &[u8], limits: HttpLimits) -> bool {
    unread.len() >= buffer_bytes(limits) || unread.iter().filter(|byte| **byte == b'\n').count() > MAX_HEADERS
}

/// Whether the request line names an HTTP version other than 1.0 and 1.1, as the HTTP/2 preface does. It is refused
/// after the first request.
fn is_other_version(unread: &[u8]) -> bool {
    let line = unread.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let version = line.rsplit(|byte| *byte == b' ').next().and_then(|word| word.strip_prefix(b"HTTP/"));
    version.is_some_and(|version| {
        version.first().is_some_and(u8::is_ascii_digit) && version != b"1.1" && version != b"1.0"
    })
}

/// The router, with flags that tell whether requests are running and have arrived.
struct Requests {
    inner: RouterService,
    public: Option<PublicListener>,
    busy: Arc<AtomicBool>,
    /// Whether no request has arrived yet.
    is_first: Arc<AtomicBool>,
}

impl Requests {
    fn new(router: Router, public: Option<PublicListener>) -> Self {
        let is_first = Arc::new(AtomicBool::new(true));
        Self { inner: TowerToHyperService::new(router), public, busy: Arc::default(), is_first }
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = InProgress<<RouterService as Service<Request<Incoming>>>::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(public) = &self.public {
            public.prepare(&mut request);
        }
        self.busy.store(true, Ordering::Relaxed);
        self.is_first.store(false, Ordering::Relaxed);
        InProgress { inner: self.inner.call(request), busy: Arc::clone(&self.busy) }
    }
}

struct InProgress<F> {
    inner: F,
    busy: Arc<AtomicBool>,
}

impl<F: Future + Unpin> Future for InProgress<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let polled = Pin::new(&mut self.inner).poll(context);
        if polled.is_ready() {
            self.busy.store(false, Ordering::Relaxed);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9112, section 2.3, and the preface of RFC 9113, section 3.4.
    #[test]
    fn other_versions_are_told_from_what_is_malformed() {
        for other in
            ["GET / HTTP/2.0\r\n", "GET / HTTP/1.2\r\n", "GET / HTTP/0.9\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
        {
            assert!(is_other_version(other.as_bytes()), "{other:?}");
        }
        for same in
            ["", "GET /\r\n", "GET / HTTP/1.1\r\n", "GET / HTTP/1.0\r\n", "GET / HTTP/x\r\n", "GET / http/2\r\n"]
        {
            assert!(!is_other_version(same.as_bytes()), "{same:?}");
        }
    }
}
