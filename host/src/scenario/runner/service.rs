//! Requests of a scenario to a component that exports `wasi:http`. The complete response is sent after the handler has
//! ended and its effects are committed.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::HOST;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

use super::Runner;
use super::request::invalid_request;
use crate::bus::EventLog as _;
use crate::event::IdSeed;
use crate::ingress::handler_responses;
use crate::plugin::{self, Exchange, Generation, ResponseHead};
use crate::problem::Problem;
use crate::scenario::{ScenarioError, internal_error, logs};

impl Runner {
    pub(super) async fn serve_http(
        &mut self,
        generation: &Arc<Generation>,
        request: &plugin::Request,
    ) -> Result<Result<axum::response::Response, Problem>, ScenarioError> {
        let route = &request.route;
        let (answer, head) = oneshot::channel();
        let exchange = Exchange { request: to_http_request(request)?, answer, trace: None };
        let (code, shown, state) = (Arc::clone(generation), Arc::clone(route), self.request_state(&generation.name));
        let id = request.id.clone();
        let running = tokio::task::spawn_blocking(move || {
            logs::capture(|| code.serve(&shown, id, exchange, IdSeed::unique(), state))
        });
        let (response, ran) = tokio::join!(read_response(head), running);
        let ((ended, _), lines) = ran.map_err(internal_error)?;
        self.record_invocation(&generation.name, &lines);
        let effects = match ended {
            Ok(effects) => effects,
            Err(failure) => {
                let (cause, reason) = (failure.cause.as_str(), &failure.reason);
                self.record_line(&generation.name, format!("error request failed ({cause}): {reason}"));
                return Ok(Err(handler_responses::failure_problem(generation, route, &request.id, &failure)));
            }
        };
        let response = match response {
            Ok(response) => response,
            Err(reason) => {
                self.record_line(&generation.name, format!("error the response is malformed: {reason}"));
                let detail = "the handler's response is malformed";
                return Ok(Err(Problem::new(StatusCode::BAD_GATEWAY, "handler-response", detail)));
            }
        };
        Ok(self.bus.commit(&generation.name, effects).await.map(|()| response).map_err(Into::into))
    }
}

/// The request in the form of HTTP.
fn to_http_request(request: &plugin::Request) -> Result<Request<Body>, ScenarioError> {
    let sent = Request::builder().method(request.route.method.as_str()).uri(request.uri.clone());
    let mut sent = sent.body(Body::from(request.body.clone())).map_err(invalid_request)?;
    *sent.headers_mut() = request.headers.clone();
    sent.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("scenario"));
    Ok(sent)
}

/// Waits for a response and all of its body. The handler may still run.
async fn read_response(head: oneshot::Receiver<ResponseHead>) -> Result<Response<Body>, String> {
    let head = head.await.map_err(|_| "the handler ended without a response".to_owned())?;
    let (parts, body) = head.response?.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(Response::from_parts(parts, Body::from(body)))
}
