//! An HTTP/1.1 server with limits on connections, headers, bodies and time, which drains at the end.
//! Ingress and admin interface both stand on it.

mod guard;
mod timer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::problem::Problem;
use timer::ConnectionTimer;

/// Limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The largest head of a request, in bytes.
    pub max_header_bytes: usize,
    /// How long a client may take to send the head of a request, also while a connection is idle.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub header_timeout: Duration,
    /// How long a client may take to send a body.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub body_timeout: Duration,
    /// How long a client may take none of what it is sent.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub write_timeout: Duration,
    /// How many connections are open at a time; further ones wait.
    pub max_connections: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_header_bytes: 32 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_connections: 4_096,
        }
    }
}

/// How many headers a request may have.
const MAX_HEADERS: usize = 100;
/// The smallest buffer that hyper accepts.
const MIN_HEADER_BYTES: usize = 8_192;

/// Serves until it is cancelled; then lets the requests that run come to their end.
pub async fn serve(listener: TcpListener, router: Router, limits: HttpLimits, cancelled: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let max_header_bytes = limits.max_header_bytes;
    let router = router
        .layer(middleware::from_fn(move |request: Request, next: Next| guard::guard(max_header_bytes, request, next)));
    let connections = TaskTracker::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = cancelled.cancelled() => break,
            next = next => next,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: connections must end before it gets better.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Answers are small and complete: waiting to fill a packet would only delay them.
        drop(stream.set_nodelay(true));
        // One that reads nothing would keep its connection for good otherwise: hyper has a limit for what it reads alone.
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(limits.write_timeout));
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(ConnectionTimer::default())
            .header_read_timeout(limits.header_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(limits.max_header_bytes.max(MIN_HEADER_BYTES))
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let cancelled = cancelled.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = cancelled.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Binds a listener.
///
/// # Errors
/// What is wrong with the address, and what to do.
pub async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "the address {address} is in use by another process; stop that one or choose another with {flag}"
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}; choose another address with {flag}"),
    })
}

/// Reads a request's body within the limits.
///
/// # Errors
/// A problem with 413 if it is too large, 408 if it is too slow, 415 if it is compressed, 400 if it breaks
/// off.
pub async fn read_body(headers: &HeaderMap, body: Body, limits: HttpLimits) -> Result<Bytes, Problem> {
    // RFC 9110, section 8.4.1: names of codings compare without case.
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if !encodings.all(|encoding| encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        let detail = "compressed bodies are not taken; send it without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", detail));
    }
    collect_body(body, limits).await
}

/// Reads a request's body of any coding within the limits.
///
/// # Errors
/// A problem with 413 if it is too large, 408 if it is too slow, 400 if it breaks off.
pub async fn collect_body(body: Body, limits: HttpLimits) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    check_length(&body, limits)?;
    let body = Limited::new(body, limits.max_body_bytes);
    // Boxed, since most of what waits for it would carry its size and never need it.
    let collected = Box::pin(tokio::time::timeout(limits.body_timeout, body.collect()));
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(error)) => Err(Problem::bad_request("body-unreadable", format!("the body cannot be read: {error}"))),
        Err(_) => {
            let detail = format!("the body did not arrive within {}", humantime::format_duration(limits.body_timeout));
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail))
        }
    }
}

/// Refuses a body that says beforehand that it is too large: whoever waits for `100 Continue` is told not to send it
/// (RFC 9110, section 10.1.1).
///
/// # Errors
/// A problem with 413.
pub fn check_length(body: &Body, limits: HttpLimits) -> Result<(), Problem> {
    if body.size_hint().lower() > limits.max_body_bytes as u64 { Err(too_large(limits)) } else { Ok(()) }
}

fn too_large(limits: HttpLimits) -> Problem {
    let detail = format!("the body is larger than {} bytes", limits.max_body_bytes);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}
