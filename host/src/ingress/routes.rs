//! A request for a plugin's route: invoke, commit, answer.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::Ingress;
use super::events::Wait;
use super::reply::{put_reply, without_reply};
use crate::bus::{CommitError, Reply};
use crate::event::IdSeed;
use crate::observer::{Observed, Published};
use crate::outcome::{Cause, Effects, Failure};
use crate::plugin::{self, Admission, Answered, CONNECTION_HEADERS, Found, Generation, RERUN_LIMIT, Route};
use crate::problem::Problem;
use crate::reply::ReplyTo;
use crate::server::percent_decode;
use crate::telemetry;
use crate::threads::Panicked;

pub(super) async fn handle(State(ingress): State<Arc<Ingress>>, request: Request<Body>) -> Response {
    let started = Instant::now();
    let found = ingress.registry.snapshot().find(request.method().as_str(), request.uri().path());
    let (generation, route, params) = match found {
        Found::Plugin { generation, route, params } => (generation, route, params),
        Found::Absent(plugin) => {
            let detail = format!("the plugin `{plugin}` is not there at the moment");
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "plugin-absent", detail)
                .retry_after(5)
                .into_response();
        }
        Found::OtherMethods(methods) => return Problem::method_not_allowed(&methods).into_response(),
        Found::Nothing => return Problem::not_found("no plugin has a route for this path").into_response(),
    };
    let plugin = Arc::clone(&generation.name);
    if ingress.bus.is_drained(&plugin) {
        let detail = format!("the plugin `{plugin}` is drained");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "plugin-drained", detail).retry_after(5).into_response();
    }
    let asked = ingress.observer.watches().then(|| format!("{} {}", request.method(), request.uri().path()));
    let response = match generation.is_service() {
        // Boxed, since it is the larger one, and the other one's requests would carry its size.
        true => Box::pin(super::services::answer(&ingress, generation, route, request)).await,
        false => answer(&ingress, generation, route, params, request).await,
    };
    let mut response = response.unwrap_or_else(Problem::into_response);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    ingress.metrics.answered(&plugin, status, took);
    if let Some(request) = asked {
        let Published(published) = response.extensions_mut().remove().unwrap_or_default();
        ingress.observer.note(|| Observed::Request { request, status, took, published });
    }
    response
}

async fn answer(
    ingress: &Ingress,
    generation: Arc<Generation>,
    route: Arc<Route>,
    params: Vec<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let request = Arc::new(read_request(ingress, route, params, request).await?);
    let ids = IdSeed::unique();
    let mut again = None;
    for _ in 0..RERUN_LIMIT {
        let (response, mut effects, reply_to) = match invoke(ingress, &generation, &request, &ids).await? {
            Answered::Commit(response, effects, reply_to) => (response, effects, reply_to),
            Answered::Discard(response) => return to_http(&generation.name, response),
            Answered::Failed(failure) => return Err(failed(&generation, &request.route, &failure)),
        };
        // What cannot be sent must not be committed either.
        let mut response = to_http(&generation.name, response)?;
        let reply_to = reply_to.filter(|_| response.status().is_success());
        // Before the commit, after which the reply may come at any time.
        let expected = reply_to.as_ref().map(|reply_to| expect(ingress, &mut effects, reply_to)).transpose()?;
        let published = ingress.observer.watches().then(|| Published::by(&effects));
        match ingress.bus.commit(&generation.name, *effects).await {
            Ok(()) => {
                if let (Some(expected), Some(reply_to)) = (expected, reply_to) {
                    let ReplyTo { id, pattern, timeout } = reply_to;
                    let wait = Wait { id: &id, pattern: &pattern, timeout, end: &ingress.replies_end };
                    response = match wait.until(expected).await {
                        Ok(reply) => put_reply(response, &reply.event)?,
                        Err(problem) => without_reply(response, problem),
                    };
                }
                if let Some(published) = published {
                    response.extensions_mut().insert(published);
                }
                return Ok(response);
            }
            // The next ones wait for each other, so that each has a chance.
            Err(CommitError::Conflict(_)) if again.is_none() => {
                telemetry::request_conflict(&generation.name);
                again = Some(Arc::clone(&generation.room.again).lock_owned().await);
            }
            Err(CommitError::Conflict(_)) => telemetry::request_conflict(&generation.name),
            Err(error) => return Err(error.into()),
        }
    }
    Err(CommitError::Conflict("what the handler reads".to_owned()).into())
}

/// Begins to wait for the reply to an event that is about to be committed.
fn expect(ingress: &Ingress, effects: &mut Effects, reply_to: &ReplyTo) -> Result<Reply, Problem> {
    let event = super::reply::asked(effects, reply_to)?;
    Ok(ingress.bus.expect_reply(event, reply_to.pattern.clone())?)
}

async fn read_request(
    ingress: &Ingress,
    route: Arc<Route>,
    params: Vec<(String, String)>,
    request: Request<Body>,
) -> Result<plugin::Request, Problem> {
    let params = decoded(params)?;
    let (Parts { uri, headers, .. }, body) = request.into_parts();
    let body = ingress.intake.read(&headers, body).await?;
    Ok(plugin::Request { route, uri, params, headers, body })
}

/// A route's parameters, each percent-decoded once.
pub(crate) fn decoded(params: Vec<(String, String)>) -> Result<Vec<(String, String)>, Problem> {
    params.into_iter().map(|(name, value)| Ok((name, decode(&value)?))).collect()
}

/// A parameter, percent-decoded once. One that would be a way out of a path is nobody's.
fn decode(value: &str) -> Result<String, Problem> {
    let decoded = percent_decode(value);
    let malformed = "the path has escapes that are not percent-encoded UTF-8";
    let decoded = decoded.ok_or_else(|| Problem::bad_request("invalid-path", malformed))?;
    let leads_out = decoded.contains('\0') || decoded.split('/').any(|segment| segment == "..");
    if leads_out { Err(Problem::not_found("no plugin has a route for this path")) } else { Ok(decoded) }
}

async fn invoke(
    ingress: &Ingress,
    generation: &Arc<Generation>,
    request: &Arc<plugin::Request>,
    ids: &IdSeed,
) -> Result<Answered, Problem> {
    let Admission { turn, places } = admitted(ingress, generation).await?;
    let state = ingress.bus.state(&generation.name);
    let (generation, request, ids) = (Arc::clone(generation), Arc::clone(request), *ids);
    let invocation = move || {
        let answered = generation.handle_request(&request, ids, state);
        // Held until the thread is free, also if the client has gone.
        drop(places);
        answered
    };
    ingress.capacity.threads.run(turn, invocation).await.map_err(unfinished)
}

/// Waits until another request may run, though not for long.
pub(super) async fn admitted(ingress: &Ingress, generation: &Generation) -> Result<Admission, Problem> {
    let admitted = generation.room.admit(&ingress.capacity.places);
    tokio::time::timeout(ingress.patience, admitted).await.map_err(|_| {
        let (code, detail) = match generation.room.running() < generation.room.size() {
            true => ("host-busy", "all plugins together have as many requests as the host can take".to_owned()),
            false => ("plugin-busy", format!("the plugin `{}` has as many requests as it can take", generation.name)),
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(1)
    })
}

pub(super) fn unfinished(error: Panicked) -> Problem {
    tracing::error!(%error, "an invocation ended the thread that ran it");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "handler-failed", "the handler did not come to its end")
}

/// What a client is told of a handler that ended badly. What it may know of the inside stays in the log.
pub(crate) fn failed(generation: &Generation, route: &Route, failure: &Failure) -> Problem {
    let (plugin, digest, cause) = (&generation.name, generation.digest.short(), failure.cause.as_str());
    tracing::error!(%plugin, digest, %route, cause, "request failed: {}", failure.reason);
    match failure.cause {
        Cause::Timeout => Problem::new(StatusCode::GATEWAY_TIMEOUT, "handler-timeout", "the handler ran out of time"),
        Cause::OutOfMemory => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "handler-out-of-memory", "the handler ran out of memory")
        }
        _ => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "handler-trapped", "the handler failed"),
    }
}

/// The most headers of a response. What a client takes is about as much, and a map of headers ends with 32,768.
const MAX_RESPONSE_HEADERS: usize = 256;
/// The most bytes of a response's headers.
const MAX_RESPONSE_HEADER_BYTES: usize = 64 << 10;

/// Checks how much a response's headers are.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), String> {
    let sizes = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    within_bounds(headers.len(), sizes.sum())
}

fn within_bounds(count: usize, bytes: usize) -> Result<(), String> {
    if count > MAX_RESPONSE_HEADERS {
        return Err(format!("it has {count} headers, and {MAX_RESPONSE_HEADERS} are allowed"));
    }
    if bytes > MAX_RESPONSE_HEADER_BYTES {
        return Err(format!("its headers have {bytes} bytes, and {MAX_RESPONSE_HEADER_BYTES} are allowed"));
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
        let name = HeaderName::try_from(name).map_err(|_| malformed("a header's name is none"))?;
        let value = HeaderValue::try_from(value).map_err(|_| malformed("a header's value has control characters"))?;
        if !CONNECTION_HEADERS.contains(&name) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}
