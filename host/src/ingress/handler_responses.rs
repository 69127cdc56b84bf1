//! Admission and error responses for requests to handlers of every kind.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::Ingress;
use crate::outcome::{Cause, Failure};
use crate::plugin::{self, Admission, CONNECTION_HEADERS, Generation, Route};
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::threads::Panicked;

/// Waits for an invocation permit, up to the admission timeout.
pub(super) async fn admit(ingress: &Ingress, generation: &Generation) -> Result<Admission, Problem> {
    let admission = generation.limiter.admit(&ingress.capacity.permits);
    tokio::time::timeout(ingress.admission_timeout, admission).await.map_err(|_| {
        let (code, detail) = match generation.limiter.running() < generation.limiter.limit() {
            true => ("host-busy", "all invocation permits of the host are in use".to_owned()),
            false => ("plugin-busy", format!("all invocation permits of the plugin `{}` are in use", generation.name)),
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(1)
    })
}

pub(super) fn panic_problem(error: Panicked) -> Problem {
    tracing::error!(%error, "an invocation panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "handler-failed", "the handler did not finish")
}

/// The response for a failed handler. Details stay in the log.
pub(crate) fn failure_problem(
    generation: &Generation,
    route: &Route,
    request: &RequestId,
    failure: &Failure,
) -> Problem {
    let (plugin, digest, cause) = (&generation.name, generation.digest.short(), failure.cause.as_str());
    tracing::error!(%plugin, digest, %route, %request, cause, "request failed: {}", failure.reason);
    match failure.cause {
        Cause::Timeout => Problem::new(StatusCode::GATEWAY_TIMEOUT, "handler-timeout", "the handler ran out of time"),
        Cause::OutOfMemory => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "handler-out-of-memory", "the handler ran out of memory")
        }
        _ => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "handler-trapped", "the handler failed"),
    }
}

/// The maximum number of headers of a response. Clients accept about as many, and `HeaderMap` panics beyond 32,768.
const MAX_RESPONSE_HEADERS: usize = 256;
/// The maximum total size of a response's headers.
const MAX_RESPONSE_HEADER_BYTES: usize = 64 << 10;

/// Checks the number and size of a response's headers.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), String> {
    let sizes = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    within_bounds(headers.len(), sizes.sum())
}

fn within_bounds(count: usize, bytes: usize) -> Result<(), String> {
    if count > MAX_RESPONSE_HEADERS {
        return Err(format!("it has {count} headers; the limit is {MAX_RESPONSE_HEADERS}"));
    }
    if bytes > MAX_RESPONSE_HEADER_BYTES {
        return Err(format!("its headers have {bytes} bytes; the limit is {MAX_RESPONSE_HEADER_BYTES}"));
    }
    Ok(())
}

pub(crate) fn to_http(plugin: &str, answer: plugin::Response) -> Result<Response, Problem> {
    let malformed = |what: &str| {
        tracing::error!(plugin, "the handler's response is malformed: {what}");
        Problem::new(StatusCode::BAD_GATEWAY, "handler-response", "the handler's response is malformed")
    };
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| (200..=599).contains(&status.as_u16()));
    let bytes = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    within_bounds(answer.headers.len(), bytes).map_err(|reason| malformed(&reason))?;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status.ok_or_else(|| malformed("its status is not from 200 to 599"))?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).map_err(|_| malformed("a header name is invalid"))?;
        let value = HeaderValue::try_from(value).map_err(|_| malformed("a header's value has control characters"))?;
        if !CONNECTION_HEADERS.contains(&name) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}
