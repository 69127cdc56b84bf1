//! `wasi:http`: requests that a component serves, with streamed bodies.

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use http_body_util::{BodyExt as _, LengthLimitError};
use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use hyper::http::HeaderValue;
use hyper::http::uri::{self, Authority, Uri};
use hyper::{Request, Response, StatusCode, header};
use tokio::sync::oneshot;
use wasmtime::AsContextMut;
use wasmtime::component::Resource;
use wasmtime::error::Context as _;
use wasmtime_wasi_http::p2::bindings::http::types::{IncomingRequest, ResponseOutparam, Scheme};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpCtxView, WasiHttpView};

use crate::plugin::invocation::InstanceData;
use crate::plugin::invocation::wasi_state::HttpState;
use crate::span_context::SpanContext;

/// The longest error of a component that is shown.
const ERROR_CHARACTERS: usize = 200;

impl WasiHttpView for InstanceData {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.wasi();
        let Self { wasi, table, invocation, .. } = self;
        let HttpState { context, outbound, has_effects } = &mut wasi.as_mut().expect("it has just been made").http;
        has_effects
            .store(invocation.as_ref().is_some_and(|invocation| invocation.buffer.has_effects()), Ordering::Relaxed);
        outbound.begin(invocation.as_ref());
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

impl Exchange {
    /// The request, and the means to answer it.
    fn into_parts(self, outcome: &Arc<ExchangeOutcome>) -> (Request<Body>, Answer) {
        let Self { request, answer: sender, .. } = self;
        (request, Answer { sender, outcome: Arc::clone(outcome) })
    }
}

/// The outcome of an exchange for its client, apart from the result of the handler.
#[derive(Debug)]
pub(crate) struct ExchangeOutcome {
    /// The status that was sent. It is 502 until there is a response, and if the handler returns an error instead.
    status: AtomicU16,
    /// Whether the client's body ended early, or was too large.
    has_broken_off: AtomicBool,
}

impl Default for ExchangeOutcome {
    fn default() -> Self {
        Self { status: AtomicU16::new(StatusCode::BAD_GATEWAY.as_u16()), has_broken_off: AtomicBool::new(false) }
    }
}

impl ExchangeOutcome {
    /// Whether the client sees a failure of the server.
    pub(crate) fn is_server_error(&self) -> bool {
        self.status.load(Ordering::Relaxed) >= 500
    }

    /// Whether the client's body ended early, or was too large. Only WASI 0.3 needs to know: a guest may take such a
    /// body for a complete one, because its stream ends like any other.
    pub(crate) fn has_broken_off(&self) -> bool {
        self.has_broken_off.load(Ordering::Relaxed)
    }
}

/// The head of a response, whose body may still be incomplete.
#[derive(Debug)]
pub struct ResponseHead {
    /// The response, or the component's error.
    pub response: Result<Response<Body>, String>,
    /// Whether the invocation had effects at that time.
    pub has_effects: bool,
}

impl InstanceData {
    /// Creates the resources for calling a handler of WASI 0.2.
    pub(crate) fn exchange(
        &mut self,
        exchange: Exchange,
        outcome: &Arc<ExchangeOutcome>,
    ) -> wasmtime::Result<(Resource<IncomingRequest>, Resource<ResponseOutparam>)> {
        let (mut request, answer) = exchange.into_parts(outcome);
        if authority_of(&request).is_none() {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static(NO_AUTHORITY));
        }
        let has_effects = Arc::clone(&self.wasi().http.has_effects);
        let mut view = self.http();
        let request = view.new_incoming_request(Scheme::Http, request.map(incoming))?;
        let response = view.new_response_outparam_from_callback(move |response| {
            answer.send(response, has_effects.load(Ordering::Relaxed));
        })?;
        Ok((request, response))
    }

    /// Creates the resource for calling a handler of WASI 0.3, which returns its response.
    pub(crate) fn exchange_0_3(
        &mut self,
        exchange: Exchange,
        outcome: &Arc<ExchangeOutcome>,
    ) -> wasmtime::Result<(Resource<wasmtime_wasi_http::p3::Request>, Answer)> {
        let (request, answer) = exchange.into_parts(outcome);
        let authority = authority_of(&request).unwrap_or_else(|| Authority::from_static(NO_AUTHORITY));
        let outcome = Arc::clone(outcome);
        let note = move |error| {
            outcome.has_broken_off.store(true, Ordering::Relaxed);
            error
        };
        let (mut head, body) = request.map(|body| incoming(body).map_err(note)).into_parts();
        let mut uri = head.uri.into_parts();
        // A request in origin form has its authority in a header, which the guest does not see.
        uri.authority = Some(authority);
        uri.scheme = Some(uri::Scheme::HTTP);
        head.uri = Uri::from_parts(uri).context("the request has no authority")?;
        let view = self.http();
        let (request, _sent) = wasmtime_wasi_http::p3::Request::from_http(view.hooks, Request::from_parts(head, body));
        Ok((view.table.push(request)?, answer))
    }
}

/// The authority that a guest sees if the client sent none, as HTTP/1.0 permits.
const NO_AUTHORITY: &str = "localhost";

/// The authority of a request: of its target, or of the header `Host`.
fn authority_of(request: &Request<Body>) -> Option<Authority> {
    let host = || Authority::try_from(request.headers().get(header::HOST)?.as_bytes()).ok();
    request.uri().authority().cloned().or_else(host)
}

/// Answers the client of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    sender: oneshot::Sender<ResponseHead>,
    outcome: Arc<ExchangeOutcome>,
}

impl Answer {
    /// Sends the head of a response, or 502 for an error.
    fn send(self, response: Result<Response<WasiBody>, impl Debug>, has_effects: bool) {
        let answered = response.as_ref().map_or(StatusCode::BAD_GATEWAY, Response::status);
        self.outcome.status.store(answered.as_u16(), Ordering::Relaxed);
        let response = response
            .map(|response| response.map(Body::new))
            .map_err(|code| format!("{code:?}").chars().take(ERROR_CHARACTERS).collect());
        // The client may have disconnected.
        drop(self.sender.send(ResponseHead { response, has_effects }));
    }

    /// Sends the head of the response that a handler of WASI 0.3 has returned. Returns a receiver that completes when
    /// the host has read the whole body, or needs no more of it.
    pub(crate) fn send_returned(
        self,
        mut store: impl AsContextMut<Data = InstanceData>,
        returned: Result<Resource<wasmtime_wasi_http::p3::Response>, ErrorCode>,
    ) -> wasmtime::Result<oneshot::Receiver<Infallible>> {
        let mut store = store.as_context_mut();
        let (completion, completed) = oneshot::channel();
        let response = match returned {
            Ok(response) => {
                let response = store.data_mut().table.delete(response)?;
                // The body counts as sent when the host has it. The handler must not wait for the client, because the
                // end of the response waits for the handler.
                let response = response.into_http(&mut store, async { Ok(()) })?;
                let remaining = response.body().size_hint().exact();
                let watch = |inner: WasiBody| {
                    let completion = (!inner.is_end_stream()).then_some(completion);
                    WatchedBody { inner, remaining, completion }.boxed_unsync()
                };
                Ok(response.map(watch))
            }
            Err(code) => Err(code),
        };
        let has_effects = store.data().invocation.as_ref().is_some_and(|invocation| invocation.buffer.has_effects());
        self.send(response, has_effects);
        Ok(completed)
    }
}

/// A body that notifies a receiver when it has been read completely. Until then the handler's streams must be polled.
struct WatchedBody {
    inner: WasiBody,
    /// The number of bytes missing from the declared length.
    remaining: Option<u64>,
    /// Dropped with the body, or once it has been read.
    completion: Option<oneshot::Sender<Infallible>>,
}

impl hyper::body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
        if let Some(data) = data {
            self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(data.len() as u64));
        }
        // A reader may stop after the last byte that was declared.
        if data.is_none() || self.remaining == Some(0) || self.inner.is_end_stream() {
            self.completion = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
