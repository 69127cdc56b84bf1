//! Responses that no handler writes: for requests that cannot be parsed, and for connections beyond the limit.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio_util::either::Either;

use super::listener::Socket;
use super::protocol::Protocol;
use super::{HttpLimits, MAX_HEADERS, Tls};
use crate::clock::Clock;
use crate::problem::Problem;

/// How long a client may take to read a refusal and close the connection.
const LINGER: Duration = Duration::from_secs(1);
/// How long a refused client may take to begin its request.
const FIRST_BYTES_TIME: Duration = Duration::from_millis(250);
/// How many further bytes are read from a refused client.
const LINGER_BYTES: usize = 256 << 10;
/// The number of connections being refused at a time. Beyond it, a connection is closed without waiting for the client.
const SLOTS: usize = 32;

/// Writes a problem as the last response of a connection.
pub(super) fn message(problem: &Problem) -> Vec<u8> {
    use std::io::Write as _;
    let (status, body) = (problem.status(), problem.to_json());
    let mut message = Vec::with_capacity(256 + body.len());
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(Clock::System.now().0));
    let reason = status.canonical_reason().unwrap_or("Error");
    let _ = write!(
        message,
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n",
        status.as_u16(),
        body.len()
    );
    for (name, value) in problem.headers() {
        message.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let _ = write!(message, "connection: close\r\ndate: {date}\r\n\r\n");
    message.extend(body);
    message
}

/// Writes the last bytes of a connection and closes it. The system would reset the connection if the client were still
/// sending, and the client might then lose the response (RFC 9112, section 9.6). So the rest of the request is read for
/// a while.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>((mut stream, last): (S, Vec<u8>), lingers: bool) {
    let closed = async {
        stream.write_all(&last).await?;
        stream.shutdown().await?;
        let mut left = if lingers { LINGER_BYTES } else { 0 };
        let mut buffer = [0; 4_096];
        while left > 0 {
            let read = stream.read(&mut buffer).await?;
            left = if read == 0 { 0 } else { left.saturating_sub(read) };
        }
        std::io::Result::Ok(())
    };
    // The client may be gone or too slow; either way the connection is over.
    drop(tokio::time::timeout(LINGER, closed).await);
}

/// Refuses an HTTP/2 connection: empty SETTINGS, and GOAWAY with `ENHANCE_YOUR_CALM` before the first stream (RFC
/// 9113, sections 6.5, 6.8 and 7).
const REFUSED: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

/// The beginning of an HTTP/2 connection (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Refuses connections: a bounded number at a time, each for a bounded time.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    slots: Arc<Semaphore>,
    tls: Option<Tls>,
}

impl Refusals {
    /// For connections of a listener with or without TLS.
    pub(super) fn new(tls: Option<Tls>) -> Self {
        Self { slots: Arc::new(Semaphore::new(SLOTS)), tls }
    }

    /// Refuses a connection beyond the limit.
    pub(super) fn refuse(&self, stream: Socket, limits: HttpLimits) {
        if let Err(stream) = self.answer(stream, too_many_connections(limits)) {
            refuse_at_once(stream, self.tls.is_some(), &too_many_connections(limits));
        }
    }

    /// Answers a connection with a problem and closes it.
    ///
    /// # Errors
    /// The connection, if too many are being answered.
    pub(super) fn answer(&self, stream: Socket, problem: Problem) -> Result<(), Socket> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return Err(stream) };
        let tls = self.tls.clone();
        tokio::spawn(async move {
            match (tls, stream) {
                (None, stream) | (_, stream @ Either::Right(_)) => {
                    refuse_request(stream, &problem, Protocol::Unknown).await
                }
                (Some(tls), Either::Left(stream)) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(LINGER, tls.accept(stream)).await {
                        let protocol = Protocol::of(&stream);
                        refuse_request(stream, &problem, protocol).await;
                    }
                }
            }
            drop(slot);
        });
        Ok(())
    }
}

/// Waits for the beginning of a request, responds with a problem, and closes the connection. Many clients treat a
/// response that arrives before their request as an error of the connection.
async fn refuse_request<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, problem: &Problem, negotiated: Protocol) {
    let mut first = [0; 4_096];
    let read = tokio::time::timeout(FIRST_BYTES_TIME, stream.read(&mut first)).await;
    let has_preface = matches!(read, Ok(Ok(length)) if first[..length].starts_with(HTTP2_PREFACE));
    let is_http2 = negotiated == Protocol::Http2 || has_preface;
    close((stream, if is_http2 { REFUSED.to_vec() } else { message(problem) }), true).await;
}

/// Refuses a connection and frees its descriptor at once. Writes only the bytes that the system accepts without
/// waiting, and none where TLS would need a handshake.
pub(super) fn refuse_at_once(stream: Socket, is_tls: bool, problem: &Problem) {
    // Written through the standard library's non-blocking socket, since the runtime does not know yet whether it is
    // writable.
    let last = if is_tls { Vec::new() } else { message(problem) };
    match stream {
        Either::Left(stream) => {
            let Ok(mut stream) = stream.into_std() else { return };
            exchange(&mut stream, &last);
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        Either::Right(stream) => {
            let Ok(mut stream) = stream.into_std() else { return };
            exchange(&mut stream, &last);
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }
}

/// Reads what has arrived, because unread bytes would turn the close into a reset, and writes the last bytes.
fn exchange(stream: &mut (impl std::io::Read + std::io::Write), last: &[u8]) {
    let _ = stream.read(&mut [0; 16_384]);
    let _ = stream.write(last);
}

pub(super) fn too_many_connections(limits: HttpLimits) -> Problem {
    let detail = format!(
        "the host has {} open connections, which is its limit; close idle connections, or try again later",
        limits.max_connections
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", detail).retry_after(1)
}

/// All streams of the server's connections are in use.
pub(super) fn too_many_requests(limits: HttpLimits) -> Problem {
    let detail = format!(
        "the host has {} open HTTP/2 requests, which is the limit `http.max_connections`; try again later",
        limits.max_connections
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", detail).retry_after(1)
}

/// The server stops before a request or reply has arrived.
pub(super) fn stopping(what: &str) -> Problem {
    let detail = format!("the host is stopping, and {what}; the request had no effect, so send it again");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).retry_after(1)
}

/// Closes the connection after this response.
pub(super) fn last(problem: Problem) -> Problem {
    problem.header(CONNECTION, HeaderValue::from_static("close"))
}

pub(super) fn malformed(error: &hyper::Error) -> Problem {
    Problem::bad_request("malformed-request", format!("the request is not well-formed HTTP/1.1: {error}"))
}

pub(super) fn other_version() -> Problem {
    let detail = "the request line names a version other than HTTP/1.1 and HTTP/1.0; a connection with HTTP/2 begins with its preface";
    Problem::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "http-version", detail)
}

/// The request was sent without TLS to a listener with TLS.
pub(super) fn tls_required() -> Problem {
    Problem::bad_request("tls-required", "this port speaks TLS; use https://")
}

pub(super) fn target_too_long(limits: HttpLimits) -> Problem {
    let detail =
        format!("the request target is too long; the request head is limited to {} bytes", limits.max_header_bytes);
    Problem::new(StatusCode::URI_TOO_LONG, "target-too-long", detail)
}

pub(super) fn head_too_large(limits: HttpLimits) -> Problem {
    let detail = format!(
        "the request head is too large; it is limited to {MAX_HEADERS} fields and {} bytes",
        limits.max_header_bytes
    );
    Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", detail)
}

pub(super) fn body_too_large(limits: HttpLimits) -> Problem {
    let detail = format!("the body is larger than {} bytes", limits.max_body_bytes);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

pub(super) fn head_too_slow(limits: HttpLimits) -> Problem {
    let timeout = humantime::format_duration(limits.header_timeout);
    let detail = format!("the request head did not arrive within {timeout}");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "head-too-slow", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_whole_response() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "full", "there is no room").retry_after(2);
        let text = String::from_utf8(message(&problem)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        for line in ["content-type: application/problem+json", "retry-after: 2", "connection: close"] {
            assert!(head.lines().any(|found| found == line), "{line}: {head}");
        }
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["code"], "full");
    }
}
