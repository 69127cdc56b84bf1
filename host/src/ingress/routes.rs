//! Requests to plugins' routes: invoke, commit, respond.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::ORIGIN;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::Ingress;
use super::cors;
use super::events::ReplyWait;
use super::handler_responses::{admit, failure_problem, panic_problem, to_http};
use super::reply::{put_reply, without_reply};
use super::request_record::RequestRecord;
use crate::bus::{CommitError, PendingReply};
use crate::event::IdSeed;
use crate::observer::{Observation, PublishedCauseTrees};
use crate::outcome::Effects;
use crate::plugin::{self, Admission, Generation, RERUN_LIMIT, RequestResult, Route, RouteMatch};
use crate::problem::Problem;
use crate::reply::ReplyTo;
use crate::server::{AccessNote, percent_decode};
use crate::telemetry;

/// The response header with the id of the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn handle(State(ingress): State<Arc<Ingress>>, request: Request<Body>) -> Response {
    let snapshot = ingress.registry.snapshot();
    let (method, path) = (request.method(), request.uri().path());
    if let Some(response) = cors::preflight(&snapshot, method, path, request.headers()).await {
        return response;
    }
    let found = snapshot.find(request.method().as_str(), request.uri().path());
    drop(snapshot);
    let (generation, route, params) = match found {
        RouteMatch::Plugin { generation, route, params } => (generation, route, params),
        RouteMatch::Absent(plugin) => {
            let detail = format!("the plugin `{plugin}` is not loaded");
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "plugin-absent", detail)
                .retry_after(5)
                .into_response();
        }
        RouteMatch::OtherMethods(methods) => return Problem::method_not_allowed(&methods).into_response(),
        RouteMatch::Nothing => return Problem::not_found("no plugin has a route for this path").into_response(),
    };
    let settings = Arc::clone(&generation.settings);
    let Some(policy) = settings.cors_policy(&route) else {
        return answer(&ingress, generation, route, params, request).await;
    };
    let origin = request.headers().get(ORIGIN).cloned();
    let response = answer(&ingress, generation, route, params, request).await;
    cors::apply(policy, origin, response).await
}

/// The response of a route, or the problem in place of it.
async fn answer(
    ingress: &Arc<Ingress>,
    generation: Arc<Generation>,
    route: Arc<Route>,
    params: Vec<(String, String)>,
    request: Request<Body>,
) -> Response {
    let started = Instant::now();
    let plugin = Arc::clone(&generation.name);
    let note: Option<AccessNote> = request.extensions().get().cloned();
    note.iter().for_each(|note| note.set_plugin(&plugin));
    if ingress.bus.is_drained(&plugin) {
        let detail = format!("the plugin `{plugin}` is drained");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "plugin-drained", detail).retry_after(5).into_response();
    }
    let description = ingress.observer.is_active().then(|| format!("{} {}", request.method(), request.uri().path()));
    let record = RequestRecord::new(&ingress.recorder, &ingress.tracer, &generation, &route, &request);
    note.iter().for_each(|note| note.set_request_id(record.id().as_str()));
    let response = match generation.is_service() {
        // Boxed, because the other future is smaller and more frequent.
        true => Box::pin(super::wasi_http::respond(ingress, generation, route, &record, request)).await,
        false => respond(ingress, generation, route, params, &record, request).await,
    };
    let mut response = response.unwrap_or_else(|problem| {
        record.refused(&problem);
        problem.into_response()
    });
    record.answered(response.status());
    if let Ok(id) = HeaderValue::from_str(record.id().as_str()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let (status, took) = (response.status().as_u16(), started.elapsed());
    ingress.metrics.answered(&plugin, status, took, record.span());
    if let Some(request) = description {
        let PublishedCauseTrees(published) = response.extensions_mut().remove().unwrap_or_default();
        ingress.observer.record(|| Observation::Request { request, status, took, published });
    }
    response
}

async fn respond(
    ingress: &Ingress,
    generation: Arc<Generation>,
    route: Arc<Route>,
    params: Vec<(String, String)>,
    record: &RequestRecord,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let request = Arc::new(read_request(ingress, route, params, record, request).await?);
    let ids = IdSeed::unique();
    let (mut reruns, mut rerun_turn) = (0, None);
    loop {
        let (response, mut effects, reply_to) = match invoke(ingress, &generation, &request, &ids, record).await? {
            RequestResult::Commit(response, effects, reply_to) => (response, effects, reply_to),
            RequestResult::Discard(response, failure) => {
                failure.iter().for_each(|failure| record.failed(failure));
                return to_http(&generation.name, response);
            }
            RequestResult::Failed(failure) => {
                record.failed(&failure);
                return Err(failure_problem(&generation, &request.route, record.id(), &failure));
            }
        };
        // If the response cannot be sent, the effects must not be committed.
        let mut response = to_http(&generation.name, response)?;
        let reply_to = reply_to.filter(|_| response.status().is_success());
        // The wait starts before the commit, because the reply may come right after it.
        let expected = reply_to.as_ref().map(|reply_to| expect_reply(ingress, &mut effects, reply_to)).transpose()?;
        let published = ingress.observer.is_active().then(|| PublishedCauseTrees::by(&effects));
        record.will_commit(&effects);
        match ingress.bus.commit(&generation.name, *effects).await {
            Ok(()) => {
                record.committed();
                if let (Some(expected), Some(reply_to)) = (expected, reply_to) {
                    let ReplyTo { id, pattern, timeout } = reply_to;
                    let wait = ReplyWait { id: &id, pattern: &pattern, timeout, ended: &ingress.replies_ended };
                    response = match wait.run(expected).await {
                        Ok(reply) => put_reply(response, &reply.event)?,
                        Err(problem) => without_reply(response, problem),
                    };
                }
                if let Some(published) = published {
                    response.extensions_mut().insert(published);
                }
                return Ok(response);
            }
            Err(CommitError::Conflict(_)) if reruns < RERUN_LIMIT => {
                telemetry::request_conflict(&generation.name);
                reruns += 1;
                // A plugin's reruns take turns under a lock, so that they do not conflict with each other.
                if rerun_turn.is_none() {
                    rerun_turn = Some(Arc::clone(&generation.limiter.rerun_lock).lock_owned().await);
                }
            }
            Err(CommitError::Conflict(_)) => {
                return Err(CommitError::Conflict("the state that the handler reads".to_owned()).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts waiting for the reply to an event that is about to be committed.
fn expect_reply(ingress: &Ingress, effects: &mut Effects, reply_to: &ReplyTo) -> Result<PendingReply, Problem> {
    let event = super::reply::start_reply_tree(effects, reply_to)?;
    Ok(ingress.bus.expect_reply(event, reply_to.pattern.clone())?)
}

async fn read_request(
    ingress: &Ingress,
    route: Arc<Route>,
    params: Vec<(String, String)>,
    record: &RequestRecord,
    request: Request<Body>,
) -> Result<plugin::Request, Problem> {
    let params = decoded(params)?;
    let (Parts { uri, headers, .. }, body) = request.into_parts();
    let body = ingress.body_reader.read(&headers, body).await?;
    let (id, trace) = (record.id().clone(), record.trace());
    Ok(plugin::Request { id, route, uri, params, headers, body, trace })
}

/// The parameters of a route, each percent-decoded once.
pub(crate) fn decoded(params: Vec<(String, String)>) -> Result<Vec<(String, String)>, Problem> {
    params.into_iter().map(|(name, value)| Ok((name, decode(&value)?))).collect()
}

/// Percent-decodes a parameter once. A parameter that would escape its path segment matches no route.
fn decode(value: &str) -> Result<String, Problem> {
    let decoded = percent_decode(value);
    let malformed = "the path has escapes that are not percent-encoded UTF-8";
    let decoded = decoded.ok_or_else(|| Problem::bad_request("invalid-path", malformed))?;
    let escapes = decoded.contains('\0') || decoded.split('/').any(|segment| segment == "..");
    if escapes { Err(Problem::not_found("no plugin has a route for this path")) } else { Ok(decoded) }
}

async fn invoke(
    ingress: &Ingress,
    generation: &Arc<Generation>,
    request: &Arc<plugin::Request>,
    ids: &IdSeed,
    record: &RequestRecord,
) -> Result<RequestResult, Problem> {
    let asked = Instant::now();
    let Admission { ticket, permits } = admit(ingress, generation).await?;
    let state = ingress.bus.state(&generation.name);
    let (generation, request, ids) = (Arc::clone(generation), Arc::clone(request), *ids);
    let invocation = move || {
        let queued = asked.elapsed();
        let result = generation.handle_request(&request, ids, state);
        // Held until the thread is free, even if the client disconnects.
        drop(permits);
        (queued, result)
    };
    let (queued, (result, usage)) = ingress.capacity.threads.run(ticket, invocation).await.map_err(panic_problem)?;
    record.handler_ended(queued, usage);
    Ok(result)
}
