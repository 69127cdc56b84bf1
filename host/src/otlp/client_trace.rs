//! Traces the requests that an operation sends to other services.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderValue, Method, Uri};

use super::guest_span::{GuestSpan, SPANS};
use super::span::{Attributes, Ending, OpenSpan, Role};
use super::tracer::Tracer;
use crate::event::TRACE;
use crate::span_context::{SpanContext, SpanId};

/// Traces the requests of one operation. The default does not change the requests.
#[derive(Debug, Default)]
pub struct ClientTrace {
    tracer: Tracer,
    /// The operation, if it is traced.
    operation: Option<SpanContext>,
    /// The trace that the operation was given, for requests of an operation that is not traced itself.
    given: Option<String>,
    state: Option<String>,
    /// How many requests have begun.
    requests: AtomicU64,
    /// How many spans the guest has reported.
    reported: AtomicU64,
}

/// A request that is traced.
#[derive(Debug)]
pub struct ClientSpan {
    tracer: Tracer,
    span: OpenSpan,
    method: Method,
    host: String,
    port: Option<u16>,
}

impl ClientTrace {
    /// Traces the requests of an operation. `given` has the trace attributes that the operation was given.
    #[must_use]
    pub fn new<'a>(tracer: &Tracer, operation: Option<SpanContext>, given: impl Fn(&str) -> Option<&'a str>) -> Self {
        let [parent, state] = TRACE;
        Self {
            tracer: tracer.clone(),
            operation,
            given: given(parent).map(str::to_owned),
            state: given(state).map(str::to_owned),
            requests: AtomicU64::default(),
            reported: AtomicU64::default(),
        }
    }

    /// Exports a span that the guest of the operation reports, if the operation is sampled. It must be within the
    /// operation's trace, and be another span than that of the operation. Only the first ones are exported.
    pub fn report(&self, span: impl FnOnce() -> GuestSpan, context: SpanContext) {
        let Some(operation) = self.operation.filter(|operation| operation.is_sampled) else { return };
        let belongs = context.trace == operation.trace && context.span != operation.span && context.is_sampled;
        if belongs && self.reported.fetch_add(1, Ordering::Relaxed) < SPANS {
            self.tracer.report(span());
        }
    }

    /// Begins a request, and adds its trace to the headers unless they have one: that of the request's own span, or the
    /// one that the operation was given.
    #[must_use]
    pub fn begin(&self, headers: &mut HeaderMap, method: &Method, url: &Uri) -> Option<ClientSpan> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let sampled = self.operation.filter(|context| context.is_sampled);
        let own = sampled.map(|operation| {
            let id = SpanId::derived("request", &[operation.span.bytes(), &number.to_le_bytes()]);
            let context = SpanContext { span: id, ..operation };
            let started = self.tracer.now();
            OpenSpan { context, parent: Some(operation.span), link: None, started }
        });
        let context = own.as_ref().map(|span| span.context).or(self.operation);
        let traceparent = context.map(|context| context.traceparent()).or_else(|| self.given.clone());
        if let Some(traceparent) = traceparent
            && !headers.contains_key(TRACE[0])
        {
            let state = self.state.clone().map(|state| (TRACE[1], state));
            for (name, value) in std::iter::once((TRACE[0], traceparent)).chain(state) {
                if let Ok(value) = HeaderValue::try_from(value) {
                    headers.insert(name, value);
                }
            }
        }
        let (host, port) = (url.host().unwrap_or_default().to_owned(), url.port_u16());
        own.map(|span| ClientSpan { tracer: self.tracer.clone(), span, method: method.clone(), host, port })
    }
}

impl ClientSpan {
    /// Ends the request with the status of its response, or with the reason why there is none. The URL is not part of
    /// the span, because it may contain secrets.
    pub fn end(self, result: Result<u16, &str>) {
        let Self { tracer, span, method, host, port } = self;
        let mut attributes = Attributes::default();
        attributes.text("http.request.method", method.as_str());
        attributes.text("server.address", &host);
        if let Some(port) = port {
            attributes.number("server.port", port.into());
        }
        let status = result.map(|status| status.to_string());
        if let Ok(status) = result {
            attributes.number("http.response.status_code", status.into());
        }
        let failure = match (&status, result) {
            // The status of a client's span is an error from 400 on.
            (Ok(text), Ok(400..)) => {
                attributes.text("error.type", text);
                Some("")
            }
            (Err(reason), _) => {
                attributes.text("error.type", "no-response");
                Some(*reason)
            }
            _ => None,
        };
        tracer.end(span, Ending { name: method.to_string(), role: Role::Client, attributes, failure });
    }
}
