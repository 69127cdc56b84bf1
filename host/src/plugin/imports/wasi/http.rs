//! `wasi:http`: requests that a component serves, with streamed bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::body::Body;
use http_body_util::{BodyExt as _, LengthLimitError};
use hyper::body::Bytes;
use hyper::{Request, Response, StatusCode};
use tokio::sync::oneshot;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types::{IncomingRequest, ResponseOutparam, Scheme};
use wasmtime_wasi_http::{Error, WasiHttpCtxView, WasiHttpView};

use crate::plugin::invocation::InvocationContext;
use crate::plugin::invocation::wasi_state::HttpState;
use crate::span_context::SpanContext;

/// The longest error of a component that is shown.
const ERROR_CHARACTERS: usize = 200;

impl WasiHttpView for InvocationContext {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.wasi();
        let Self { wasi, table, run, .. } = self;
        let HttpState { context, outbound, has_effects } = &mut wasi.as_mut().expect("it has just been made").http;
        has_effects.store(run.as_ref().is_some_and(|run| run.buffer.has_effects()), Ordering::Relaxed);
        outbound.begin(run.as_ref());
        WasiHttpCtxView { ctx: context, table, hooks: outbound }
    }
}

/// A request, and the channel for its response.
#[derive(Debug)]
pub struct Exchange {
    /// The request.
    pub request: Request<Body>,
    /// Receives the head of the response, as soon as there is one.
    pub answer: oneshot::Sender<ResponseHead>,
    /// The place of the request in a trace, if it is traced.
    pub trace: Option<SpanContext>,
}

/// The head of a response, whose body may still be incomplete.
#[derive(Debug)]
pub struct ResponseHead {
    /// The response, or the component's error.
    pub response: Result<Response<Body>, String>,
    /// Whether the invocation had effects at that time.
    pub has_effects: bool,
}

impl InvocationContext {
    /// Creates the resources for calling a handler. Records the status of its response, or 502 for an error.
    pub(crate) fn exchange(
        &mut self,
        exchange: Exchange,
        status: Arc<AtomicU16>,
    ) -> wasmtime::Result<(Resource<IncomingRequest>, Resource<ResponseOutparam>)> {
        let Exchange { request, answer, .. } = exchange;
        let has_effects = Arc::clone(&self.wasi().http.has_effects);
        let mut view = self.http();
        let request = view.new_incoming_request(Scheme::Http, request.map(incoming))?;
        let response = view.new_response_outparam_from_callback(move |response| {
            let answered = response.as_ref().map_or(StatusCode::BAD_GATEWAY, Response::status);
            status.store(answered.as_u16(), Ordering::Relaxed);
            let response = response
                .map(|response| response.map(Body::new))
                .map_err(|code| format!("{code:?}").chars().take(ERROR_CHARACTERS).collect());
            let head = ResponseHead { response, has_effects: has_effects.load(Ordering::Relaxed) };
            // The client may have disconnected.
            drop(answer.send(head));
        })?;
        Ok((request, response))
    }
}

/// Converts a client's body for the component.
fn incoming(body: Body) -> impl hyper::body::Body<Data = Bytes, Error = Error> + Send + 'static {
    body.map_err(|error| {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<LengthLimitError>() {
                return Error::HttpRequestBodySize(None);
            }
            cause = error.source();
        }
        Error::InternalError(Some(error.to_string()))
    })
}
