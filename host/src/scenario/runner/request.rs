//! Requests of a scenario. They are routed, committed and answered as by the ingress, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::{Runner, json_or_text, limit_timeout, run_on_thread};
use crate::bus::{EventLog as _, PendingReply, PluginState as _};
use crate::event::{Event, IdSeed, is_json};
use crate::ingress::{handler_responses, reply, routes};
use crate::outcome::{Effects, StateView};
use crate::plugin::{Generation, Request, RequestResult, Route, RouteMatch};
use crate::problem::Problem;
use crate::reply::ReplyTo;
use crate::request_id::RequestId;
use crate::scenario::{ScenarioError, internal_error};

type Params = Vec<(String, String)>;

/// A request of a scenario is malformed.
pub(super) fn invalid_request(error: impl std::fmt::Display) -> ScenarioError {
    ScenarioError::Malformed(format!("the request: {error}"))
}

fn parse_headers(script: &[(String, String)]) -> Result<HeaderMap, ScenarioError> {
    let mut headers = HeaderMap::new();
    for (name, value) in script {
        let name: HeaderName = name.parse().map_err(invalid_request)?;
        headers.append(name, value.parse().map_err(invalid_request)?);
    }
    Ok(headers)
}

impl Runner {
    pub(super) async fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<(), ScenarioError> {
        let uri: Uri = target.parse().map_err(invalid_request)?;
        let answer = match self.find_route(method, &uri) {
            Ok((generation, route, params)) => {
                let (headers, body) = (parse_headers(headers)?, Bytes::copy_from_slice(body));
                let id = RequestId::unique();
                let request = Request { id, route, uri, params, headers, body, trace: None };
                match generation.is_service() {
                    true => self.serve_http(&generation, &request).await?,
                    false => self.call_route(&generation, &request).await?,
                }
            }
            Err(problem) => Err(problem),
        };
        self.step.response = Some(response_to_json(answer.unwrap_or_else(IntoResponse::into_response)).await?);
        Ok(())
    }

    /// Finds the plugin and the route of a request, with the parameters of its path.
    fn find_route(&self, method: &str, uri: &Uri) -> Result<(Arc<Generation>, Arc<Route>, Params), Problem> {
        let (generation, route, params) = match self.registry.snapshot().find(method, uri.path()) {
            RouteMatch::Plugin { generation, route, params } => (generation, route, params),
            RouteMatch::OtherMethods(methods) => return Err(Problem::method_not_allowed(&methods)),
            RouteMatch::Absent(_) | RouteMatch::Nothing => {
                return Err(Problem::not_found("no plugin has a route for this path"));
            }
        };
        Ok((generation, route, routes::decoded(params)?))
    }

    async fn call_route(
        &mut self,
        generation: &Arc<Generation>,
        request: &Request,
    ) -> Result<Result<axum::response::Response, Problem>, ScenarioError> {
        let state = self.request_state(&generation.name);
        let ((answered, _), lines) = run_on_thread(|| generation.handle_request(request, IdSeed::unique(), state));
        self.record_invocation(&generation.name, &lines);
        let (response, mut effects, reply_to) = match answered {
            RequestResult::Commit(response, effects, reply_to) => (response, effects, reply_to),
            RequestResult::Discard(response, _) => return Ok(handler_responses::to_http(&generation.name, response)),
            RequestResult::Failed(failure) => {
                let (cause, reason) = (failure.cause.as_str(), &failure.reason);
                self.record_line(&generation.name, format!("error request failed ({cause}): {reason}"));
                return Ok(Err(handler_responses::failure_problem(generation, &request.route, &request.id, &failure)));
            }
        };
        let response = match handler_responses::to_http(&generation.name, response) {
            Ok(response) => response,
            Err(problem) => return Ok(Err(problem)),
        };
        let reply_to = reply_to.filter(|_| response.status().is_success());
        let expected = match reply_to.map(|reply_to| self.expect_reply(&mut effects, reply_to)).transpose()? {
            Some(Err(problem)) => return Ok(Err(problem)),
            Some(Ok(expected)) => Some(expected),
            None => None,
        };
        if let Err(error) = self.bus.commit(&generation.name, *effects).await {
            return Ok(Err(error.into()));
        }
        self.has_effects = true;
        let Some((expected, timeout)) = expected else { return Ok(Ok(response)) };
        Ok(match self.await_reply(expected, timeout).await? {
            Some(event) => reply::put_reply(response, &event),
            None => {
                let late = Problem::new(StatusCode::GATEWAY_TIMEOUT, "no-reply", "no reply came in time");
                Ok(reply::without_reply(response, late))
            }
        })
    }

    /// The state of a plugin for the request of the current step.
    pub(super) fn request_state(&self, plugin: &str) -> Box<dyn StateView> {
        self.draws.record(&format!("step {}", self.step_number), plugin, self.bus.state(plugin))
    }

    /// Starts to wait for a reply. The commit that causes the reply follows.
    fn expect_reply(
        &self,
        effects: &mut Effects,
        reply_to: ReplyTo,
    ) -> Result<Result<(PendingReply, Duration), Problem>, ScenarioError> {
        let event = match reply::start_reply_tree(effects, &reply_to) {
            Ok(event) => event,
            Err(problem) => return Ok(Err(problem)),
        };
        let expected = self.bus.expect_reply(event, reply_to.pattern).map_err(internal_error)?;
        Ok(Ok((expected, limit_timeout(reply_to.timeout))))
    }

    /// Runs deliveries until the reply arrives or times out.
    async fn await_reply(
        &mut self,
        expected: PendingReply,
        timeout: Duration,
    ) -> Result<Option<Arc<Event>>, ScenarioError> {
        let mut reply = std::pin::pin!(expected.wait());
        let until = self.clock.now().after(timeout);
        self.run_until_idle().await?;
        loop {
            // A reply only arrives with a delivery, so it is ready now or not at all.
            let come = tokio::select! {
                biased;
                logged = &mut reply => logged,
                () = std::future::ready(()) => None,
            };
            if let Some(logged) = come {
                return Ok(Some(logged.event));
            }
            let now = self.clock.now();
            if now >= until {
                return Ok(None);
            }
            let next = self.bus.next_due().filter(|due| *due > now).map_or(until, |due| due.min(until));
            self.advance_to(next).await?;
        }
    }
}

/// A response as scenarios compare it.
async fn response_to_json(response: axum::response::Response) -> Result<Value, ScenarioError> {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(internal_error)?;
    let headers: Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let json = headers.get("content-type").and_then(Value::as_str).is_some_and(is_json);
    let mut shown = json!({ "status": parts.status.as_u16(), "headers": headers });
    let member = if json { "json" } else { "body" };
    shown[member] = if json { json_or_text(&body) } else { String::from_utf8_lossy(&body).into() };
    Ok(shown)
}
