//! Calls HTTP handlers with requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Uri;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName};
use wasmtime::component::Accessor;
use wasmtime_wasi_http::p3::bindings::exports::wasi::http::handler as handler_0_3;

use super::call_failure::out_of_memory;
use super::error_response::failure_in;
use super::generation::{Code, Generation};
use super::linked::Instance;
use super::pairs;
use crate::event::{IdSeed, trace_of};
use crate::outcome::{Cause, Effects, Failure, StateView};
use crate::plugin::bindings::exports::sandbus::plugin::http_handler;
use crate::plugin::imports::wasi::{Exchange, ExchangeOutcome};
use crate::plugin::invocation::log::Trigger;
use crate::plugin::invocation::{InstanceData, guest_call};
use crate::plugin::manifest::descriptor::Route;
use crate::reply::ReplyTo;
use crate::request_id::RequestId;
use crate::span_context::SpanContext;
use crate::usage::Usage;

/// Headers that belong to a connection instead of a message (RFC 9110, section 7.6.1), or that the server sets itself.
pub(crate) const CONNECTION_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A request for a plugin's route.
#[derive(Clone, Debug)]
pub struct Request {
    /// The id that the host assigned.
    pub id: RequestId,
    /// The route that matched.
    pub route: Arc<Route>,
    /// The request target as it was sent.
    pub uri: Uri,
    /// The route's parameters.
    pub params: Vec<(String, String)>,
    /// All headers. The guest sees those that belong to the message and are UTF-8.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The place of the request in a trace, if it is traced.
    pub trace: Option<SpanContext>,
}

impl Request {
    fn shown_headers(&self) -> Vec<(&str, &str)> {
        let own = self.headers.iter().filter(|(name, _)| !CONNECTION_HEADERS.contains(name));
        own.filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?))).collect()
    }
}

/// A plugin's response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The result of an HTTP handler.
#[derive(Debug)]
pub enum RequestResult {
    /// A response that is sent once the effects are durable. If a reply was requested, the reply is sent instead.
    Commit(Response, Box<Effects>, Option<ReplyTo>),
    /// A response without effects, and the failure that it reports if its status is 500 or more.
    Discard(Response, Option<Failure>),
    /// The handler failed.
    Failed(Failure),
}

impl Generation {
    /// Handles a request, and returns what the handler used. Blocks while the handler runs.
    #[must_use]
    pub fn handle_request(&self, request: &Request, ids: IdSeed, state: Box<dyn StateView>) -> (RequestResult, Usage) {
        let linked = match &self.code {
            Code::Component(linked) if linked.handles_requests() => linked,
            Code::Component(_) | Code::Native(_) => {
                let reason = format!("plugin `{}` exports no HTTP handler", self.name);
                return (RequestResult::Failed(Failure { cause: Cause::NoHandler, reason }), Usage::default());
            }
        };
        let trigger = Trigger::Request { route: Arc::clone(&request.route), request: request.id.clone() };
        let inherited = inherited(&request.headers, request.trace);
        let invocation = self.new_invocation(&self.environment, state, ids, inherited, trigger, request.trace);
        let (timeout, mut instance) = (self.settings.limits.timeout, self.idle.take());
        let result = self.call(linked, invocation, timeout, &mut instance, Some(&self.limiter.latency), |instance| {
            let params = pairs(request.params.iter().map(|(name, value)| (name, value)));
            let request = http_handler::Request {
                method: &request.route.method,
                route: &request.route.path,
                path: request.uri.path(),
                params: &params,
                query: request.uri.query(),
                headers: &request.shown_headers(),
                body: &request.body,
            };
            let answer = instance.handle_request(linked, request)?;
            let data = instance.store.data();
            if status_of(&answer) >= 500 {
                data.log_dropped_error();
            }
            let reported = data.reported;
            let last_error = answer.is_err().then(|| data.take_last_error()).flatten();
            Ok((answer, reported, last_error))
        });
        self.keep_instance(instance);
        self.health.note(match &result.returned {
            Ok((answer, ..)) => status_of(answer) >= 500,
            Err(_) => true,
        });
        let answer = match result.returned {
            Ok((Ok(response), ..)) => {
                RequestResult::Commit(response_of(response), Box::new(result.effects), result.reply)
            }
            Ok((Err(_), Some(Cause::OutOfMemory), _)) => RequestResult::Failed(out_of_memory("")),
            Ok((Err(response), reported, last_error)) => {
                let response = response_of(response);
                let mut failure = failure_in(response.status, &response.body, reported, last_error);
                failure.iter_mut().for_each(|failure| self.settings.mask.apply(&mut failure.reason));
                RequestResult::Discard(response, failure)
            }
            Err(failure) => RequestResult::Failed(failure),
        };
        (answer, result.usage)
    }

    /// Whether requests go to a `wasi:http` handler, through [`Generation::serve`].
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(&self.code, Code::Component(linked) if linked.serves() && !linked.handles_requests())
    }

    /// Lets a `wasi:http` handler serve a request. Returns the effects, or why the handler failed, and what it used.
    /// Blocks while the handler runs, even after its response is complete.
    pub fn serve(
        &self,
        route: &Arc<Route>,
        id: RequestId,
        exchange: Exchange,
        ids: IdSeed,
        state: Box<dyn StateView>,
    ) -> (Result<Effects, Failure>, Usage) {
        let Code::Component(linked) = &self.code else {
            let reason = format!("plugin `{}` exports no HTTP handler", self.name);
            return (Err(Failure { cause: Cause::NoHandler, reason }), Usage::default());
        };
        let trigger = Trigger::Request { route: Arc::clone(route), request: id };
        let inherited = inherited(exchange.request.headers(), exchange.trace);
        let invocation = self.new_invocation(&self.environment, state, ids, inherited, trigger, exchange.trace);
        let (timeout, mut instance) = (self.settings.limits.timeout, self.idle.take());
        let outcome = Arc::new(ExchangeOutcome::default());
        let result = self.call(linked, invocation, timeout, &mut instance, Some(&self.limiter.latency), |instance| {
            match linked.service_0_3() {
                Some(service) => serve_0_3(instance, service, exchange, &outcome)?,
                None => {
                    let (request, response) = instance.store.data_mut().exchange(exchange, &outcome)?;
                    instance.serve(linked, request, response)?;
                }
            }
            if outcome.is_server_error() {
                instance.store.data().log_dropped_error();
            }
            Ok(())
        });
        self.keep_instance(instance);
        // As with other routes, the status that the client sees counts. A body that breaks off is the client's fault.
        let has_failed = result.returned.is_err() || outcome.is_server_error();
        self.health.note(has_failed && !outcome.has_broken_off());
        (result.returned.map(|()| result.effects), result.usage)
    }
}

/// Lets a `wasi:http` handler of WASI 0.3 serve a request. The handler may return its response early: the call ends
/// when all its tasks have ended and its response has been read.
fn serve_0_3(
    instance: &mut Instance,
    service: &handler_0_3::GuestIndices,
    exchange: Exchange,
    outcome: &Arc<ExchangeOutcome>,
) -> wasmtime::Result<()> {
    let service = service.load(&mut instance.store, &instance.instance)?;
    let (request, answer) = instance.store.data_mut().exchange_0_3(exchange, outcome)?;
    let call = async |accessor: &Accessor<InstanceData>| {
        let returned = service.call_handle(accessor, request).await?;
        let body_read = accessor.with(|store| answer.send_returned(store, returned))?;
        guest_call::tasks_ended(accessor).await;
        let _ = body_read.await;
        match outcome.has_broken_off() {
            true => Err(wasmtime::Error::msg("the client's body ended early or is too large")),
            false => Ok(()),
        }
    };
    let deadline = instance.store.data().until;
    guest_call::drive(deadline, instance.store.run_concurrent(call))??
}

/// The attributes that events inherit from a request: the trace. If the host traces the request, events get the context
/// of the host's span, even if the span is not sampled, so that no new sampling decision is made for them.
fn inherited(headers: &HeaderMap, trace: Option<SpanContext>) -> BTreeMap<String, String> {
    let mut inherited = trace_of(headers).into_iter().collect();
    trace.iter().for_each(|trace| trace.put_into(&mut inherited));
    inherited
}

/// The status of a handler's response, or of the response that it failed with.
fn status_of(answer: &Result<http_handler::Response, http_handler::Response>) -> u16 {
    let (Ok(response) | Err(response)) = answer;
    response.status
}

fn response_of(response: http_handler::Response) -> Response {
    Response { status: response.status, headers: response.headers, body: response.body }
}
