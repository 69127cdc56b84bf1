//! A connection that speaks HTTP/2, with limits on what its client may keep open.

mod activity;
mod streams;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use activity::{Activity, State};
use streams::Streams;

use super::public_listener::PublicListener;
use super::stream::ByteStream;
use super::{HttpLimits, STOP_GRACE_PERIOD};

/// The number of open streams of a connection.
const MAX_STREAMS: u32 = 100;
/// The number of streams that a client may reset before they are served, as in a rapid reset attack (CVE-2023-44487).
/// After more, the connection ends.
const MAX_PENDING_RESETS: usize = 20;
/// The number of streams that the host resets because the client breaks the protocol. After more, the connection ends.
const MAX_ERROR_RESETS: usize = 64;
/// How many bytes a client may send ahead on a stream, and on a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// How many bytes of a stream's response wait for the client.
const SEND_BUFFER: usize = 64 << 10;
/// How often a PING checks that the client is still connected.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// What connections of a server share.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    /// Permits for the streams of all connections, so that they do not multiply the limit of connections.
    pub(super) streams: Arc<Semaphore>,
    /// The tasks of the streams.
    pub(super) tasks: TaskTracker,
}

/// Runs streams as tasks of the server.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

impl Http2 {
    /// Serves a connection until it ends, or until the server stops and the open streams are answered.
    pub(super) async fn serve<S: ByteStream + 'static>(
        self,
        stream: S,
        (router, public): (Router, Option<PublicListener>),
        limits: HttpLimits,
        stop: CancellationToken,
    ) {
        let activity = Activity::default();
        let streams = Streams::new(router, public, activity.clone(), self.streams, limits);
        let connection = Builder::new(Tasks(self.tasks))
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_ERROR_RESETS)
            .max_header_list_size(header_list_bytes(limits))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(limits.write_timeout)
            .serve_connection(TokioIo::new(stream), streams);
        let mut connection = pin!(connection);
        let mut ticks = tokio::time::interval(tick(limits));
        let mut closing: Option<Instant> = None;
        loop {
            let must_close = tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "an HTTP/2 connection ended early");
                    }
                    return;
                }
                () = stop.cancelled(), if closing.is_none() => true,
                _ = ticks.tick() => match activity.state(limits) {
                    State::Busy => false,
                    State::Stalled => return,
                    // The client does not confirm the end, or does not read the last bytes.
                    State::Idle if closing.is_some_and(|since| since.elapsed() >= STOP_GRACE_PERIOD) => return,
                    State::Idle => closing.is_none() && activity.is_idle_for(limits.header_timeout),
                },
            };
            if must_close {
                closing = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The largest size of a request's header fields as RFC 9113, section 10.5.1 counts them, which is 32 bytes more for
/// each field. A head that is a little too large gets a response that says so; one that is much too large is refused by
/// the library.
fn header_list_bytes(limits: HttpLimits) -> u32 {
    u32::try_from(limits.max_header_bytes.saturating_mul(2)).unwrap_or(u32::MAX)
}

/// How often timeouts are checked.
fn tick(limits: HttpLimits) -> Duration {
    let shortest = limits.header_timeout.min(limits.write_timeout) / 4;
    shortest.clamp(Duration::from_millis(10), Duration::from_secs(1))
}
