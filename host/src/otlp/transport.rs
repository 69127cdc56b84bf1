//! Sends one request of the protocol, and repeats it while that may help.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use prost::Message;
use tokio::time::{Instant, sleep, timeout};

use super::config::EndpointConfig;
use crate::networks::GrantedNetworks;
use crate::outbound::{self, Body, Client};

/// The first and the longest pause between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest response that is read.
const RESPONSE_BYTES: usize = 64 << 10;

/// A collector's endpoint for one signal.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    client: Client,
    config: EndpointConfig,
}

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// Another attempt may succeed, perhaps after a time that the endpoint names.
    Temporary(String, Option<Duration>),
    /// Another attempt would fail in the same way.
    Permanent(String),
}

/// What a collector accepted: all records, or all but a number that it rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) rejected: u64,
    pub(super) reason: String,
}

impl Endpoint {
    /// # Errors
    /// If the certificates cannot be read or used.
    pub(super) fn new(config: EndpointConfig) -> std::io::Result<Self> {
        let certificate = config.certificate.as_deref().map(std::fs::read).transpose()?;
        Ok(Self { client: Client::unrestricted(certificate.as_deref())?, config })
    }

    /// Sends a request, and repeats it within a time. `partial` reads what the collector rejected from its response.
    ///
    /// # Errors
    /// Why it was not accepted.
    pub(super) async fn send(
        &self,
        message: Vec<u8>,
        within: Duration,
        partial: fn(&[u8]) -> Accepted,
    ) -> Result<Accepted, String> {
        let deadline = Instant::now() + within;
        let message = hyper::body::Bytes::from(message);
        let mut pause = FIRST_PAUSE;
        loop {
            let limit = self.config.timeout.min(deadline.saturating_duration_since(Instant::now()));
            let refusal = match timeout(limit, self.send_once(message.clone(), partial)).await {
                Ok(Ok(accepted)) => return Ok(accepted),
                Ok(Err(refusal)) => refusal,
                Err(_) => Refusal::Temporary("it did not answer in time".to_owned(), None),
            };
            let (reason, after) = match refusal {
                Refusal::Permanent(reason) => return Err(reason),
                Refusal::Temporary(reason, after) => (reason, after),
            };
            let wait = after.unwrap_or(pause);
            if Instant::now() + wait >= deadline {
                return Err(reason);
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn send_once(
        &self,
        message: hyper::body::Bytes,
        partial: fn(&[u8]) -> Accepted,
    ) -> Result<Accepted, Refusal> {
        let mut request = Request::post(self.config.url.clone())
            .body(outbound::body(message))
            .map_err(|error| Refusal::Permanent(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.extend(self.config.headers.clone());
        let response = self.client.send(request, &GrantedNetworks::default(), None).await;
        let response = response.map_err(|error| Refusal::Temporary(error.to_string(), None))?;
        let refusal = refusal(&response);
        // The connection is reused if the body was read.
        let body = read(response.into_body()).await;
        refusal.map_or_else(|| Ok(partial(&body)), Err)
    }
}

/// The body of a response; empty if it is too long or cannot be read, because the status says what was accepted.
async fn read(mut body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(part)) if bytes.len() + part.len() <= RESPONSE_BYTES => bytes.extend_from_slice(&part),
            // Trailers.
            Ok(Err(_)) => {}
            Ok(Ok(_)) | Err(_) => return Vec::new(),
        }
    }
    bytes
}

/// The reason why a response refuses the request, if any (OTLP 1.x, "OTLP/HTTP Response").
fn refusal(response: &Response<Body>) -> Option<Refusal> {
    let status = response.status();
    let reason = || format!("it answered {status}");
    match status.as_u16() {
        200..=299 => None,
        429 | 502..=504 => Some(Refusal::Temporary(reason(), retry_after(response.headers()))),
        _ => Some(Refusal::Permanent(reason())),
    }
}

/// The time that `Retry-After` names, in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// What was rejected according to a response, read by one of the response types of the protocol.
pub(super) fn accepted<M: Message + Default>(
    body: &[u8],
    rejected: impl FnOnce(M) -> Option<(i64, String)>,
) -> Accepted {
    let (rejected, reason) = M::decode(body).ok().and_then(rejected).unwrap_or_default();
    Accepted { rejected: u64::try_from(rejected).unwrap_or(0), reason }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn the_status_decides_whether_another_attempt_may_help() {
        for (status, header, expected) in [
            (200, None, None),
            (202, None, None),
            (429, Some("3"), Some(Some(3))),
            (503, None, Some(None)),
            (502, Some("soon"), Some(None)),
            (504, None, Some(None)),
        ] {
            let mut response = Response::new(outbound::body(""));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().extend(header.map(|value| (RETRY_AFTER, HeaderValue::from_static(value))));
            let wait = match refusal(&response) {
                None => None,
                Some(Refusal::Temporary(_, wait)) => Some(wait.map(|wait| wait.as_secs())),
                Some(Refusal::Permanent(reason)) => panic!("{status}: {reason}"),
            };
            assert_eq!(wait, expected, "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            let mut response = Response::new(outbound::body(""));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            assert!(matches!(refusal(&response), Some(Refusal::Permanent(_))), "{status}");
        }
    }
}
