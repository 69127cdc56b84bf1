//! The span of a request that publishes events.

use axum::http::HeaderMap;
use axum::response::Response;

use crate::clock::{Timestamp, UnixNanos};
use crate::event::{Event, TRACE, mark_published, trace_of};
use crate::otlp::{Attributes, Beginning, Ending, LINK_AFTER, OpenSpan, Role, TracedOperation, Tracer};
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::span_context::{SpanContext, SpanId, TraceId};

/// The span of a request that publishes events, if it is traced.
pub(super) struct PublishTrace<'a> {
    tracer: &'a Tracer,
    started: UnixNanos,
    /// The path of the request. It has no parameters, so it is also the route. Empty if nothing is traced.
    path: String,
    span: Option<Box<OpenSpan>>,
    attributes: Attributes,
}

impl<'a> PublishTrace<'a> {
    pub(super) fn new(tracer: &'a Tracer, path: &str) -> Self {
        let path = if tracer.is_on() { path.to_owned() } else { String::new() };
        Self { tracer, started: tracer.now(), path, span: None, attributes: Attributes::default() }
    }

    /// Adds a trace to the events that have none (CloudEvents Distributed Tracing extension): the request's own span,
    /// or the trace that the client sent if the request has no span.
    pub(super) fn put_into(&mut self, events: &mut [Event], headers: &HeaderMap, due: Option<Timestamp>) {
        let sent = trace_of(headers);
        let operation = self.begin(events, &sent);
        let is_batch = events.len() > 1;
        for event in events.iter_mut() {
            if !event.extensions.contains_key(TRACE[0]) {
                event.extensions.extend(sent.clone());
                // If there is only one event, an unsampled trace need not be put into it: the same trace is derived
                // from the event later. The events of a batch get it, because each would yield a different trace.
                if let Some(operation) = &operation
                    && (operation.context.is_sampled || is_batch)
                {
                    operation.context.put_into(&mut event.extensions);
                }
            }
            let is_sampled = SpanContext::of(event).is_some_and(|context| context.is_sampled);
            let now = self.started.timestamp();
            if operation.is_some() && is_sampled && due.is_some_and(|due| due.since(now) > LINK_AFTER) {
                mark_published(&mut event.extensions, now);
            }
        }
        self.span = operation.and_then(|operation| operation.span);
        if self.span.is_some() {
            self.describe(events);
        }
    }

    fn begin(&self, events: &[Event], sent: &[(String, String)]) -> Option<TracedOperation> {
        let first = events.first().filter(|_| self.tracer.is_on())?;
        let of_client = sent.first().and_then(|(_, traceparent)| SpanContext::parse(traceparent));
        let parent = of_client.or_else(|| SpanContext::of(first).filter(|_| events.len() == 1));
        let trace = parent.map_or_else(|| TraceId::of_cause_tree(first), |parent| parent.trace);
        // A client may send an event twice. Each request has a span of its own.
        let id = || SpanId::derived("publish", &[RequestId::unique().as_str().as_bytes()]);
        self.tracer.begin(&Beginning { parent, trace, started: self.started }, id)
    }

    fn describe(&mut self, events: &[Event]) {
        let attributes = &mut self.attributes;
        attributes.text("messaging.system", "sandbus");
        attributes.text("messaging.operation.type", "send");
        attributes.text("messaging.operation.name", "publish");
        if let [event] = events {
            attributes.text("messaging.destination.name", &event.event_type);
            attributes.text("messaging.message.id", &event.id);
            attributes.text("cloudevents.event_id", &event.id);
            attributes.text("cloudevents.event_source", &event.source);
            attributes.text("cloudevents.event_type", &event.event_type);
            attributes.text("cloudevents.event_spec_version", "1.0");
        } else {
            attributes.number("messaging.batch.message_count", events.len() as u64);
        }
    }

    /// Ends the span with the response.
    pub(super) fn end(self, response: &Result<Response, Problem>) {
        let Self { tracer, path, span, mut attributes, .. } = self;
        let Some(span) = span else { return };
        let (status, problem) = match response {
            Ok(response) => (response.status(), None),
            Err(problem) => (problem.status(), Some(problem)),
        };
        attributes.text("http.request.method", "POST");
        attributes.text("http.route", &path);
        attributes.text("url.path", &path);
        attributes.number("http.response.status_code", status.as_u16().into());
        attributes.optional("error.type", problem.map(Problem::code));
        // An error of the client does not make the server's span fail.
        let failure = problem.filter(|_| status.is_server_error()).map(Problem::detail);
        tracer.end(*span, Ending { name: format!("POST {path}"), role: Role::Server, attributes, failure });
    }
}
