//! Spans that a guest reports within its invocation.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::Value as Json;

use super::span::{attribute, shortened};
use crate::clock::UnixNanos;
use crate::span_context::SpanContext;

/// How many spans an invocation may report.
pub(super) const SPANS: u64 = 128;
/// How many bytes the texts of one span may have. The rest is left out, because the span waits in a queue.
const TEXT_BYTES: usize = 16 << 10;
/// How many attributes, events and links a span may have in total.
const PARTS: usize = 128;
/// What each part counts besides its texts.
const PART_BYTES: usize = 32;

/// The role that a guest gives to a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestSpanKind {
    /// Sends a request.
    Client,
    /// Answers a request.
    Server,
    /// Publishes an event.
    Producer,
    /// Processes an event.
    Consumer,
    /// Anything else.
    Internal,
}

/// What happened within a span at one time.
#[derive(Debug)]
pub struct GuestSpanEvent {
    /// Its name.
    pub name: String,
    /// When it happened.
    pub time: UnixNanos,
    /// Its attributes: names, and values in JSON.
    pub attributes: Vec<(String, String)>,
}

/// A span that a guest reports.
#[derive(Debug)]
pub struct GuestSpan {
    /// Its identity.
    pub context: SpanContext,
    /// The span that it is part of, if it has one.
    pub parent: Option<SpanContext>,
    /// Its role.
    pub kind: GuestSpanKind,
    /// Its name.
    pub name: String,
    /// When it began.
    pub started: UnixNanos,
    /// When it ended.
    pub ended: UnixNanos,
    /// Its attributes: names, and values in JSON.
    pub attributes: Vec<(String, String)>,
    /// What happened within it.
    pub events: Vec<GuestSpanEvent>,
    /// Other spans that it is related to.
    pub links: Vec<SpanContext>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// What made it, such as the name of a library.
    pub scope: String,
}

/// What may still be added to a span.
struct SpanBudget {
    bytes: usize,
    parts: usize,
    /// How many attributes, events and links were left out.
    dropped: [u32; 3],
}

impl SpanBudget {
    /// Takes a part. False if the budget is exhausted.
    fn take(&mut self, bytes: usize, kind: usize) -> bool {
        let bytes = bytes.saturating_add(PART_BYTES);
        match self.parts > 0 && bytes <= self.bytes {
            true => {
                self.bytes -= bytes;
                self.parts -= 1;
                true
            }
            false => {
                self.dropped[kind] = self.dropped[kind].saturating_add(1);
                false
            }
        }
    }
}

const ATTRIBUTE: usize = 0;
const EVENT: usize = 1;
const LINK: usize = 2;

impl GuestSpan {
    /// The message of this span.
    pub(super) fn message(self) -> Span {
        let mut budget = SpanBudget { bytes: TEXT_BYTES, parts: PARTS, dropped: [0; 3] };
        let mut attributes = Vec::new();
        if budget.take(self.scope.len(), ATTRIBUTE) && !self.scope.is_empty() {
            attributes.push(attribute("otel.scope.name", Value::StringValue(self.scope)));
        }
        add_attributes(&mut attributes, self.attributes, &mut budget);
        let mut events = Vec::new();
        for GuestSpanEvent { name, time, attributes: of_event } in self.events {
            if budget.take(name.len(), EVENT) {
                let mut attributes = Vec::new();
                add_attributes(&mut attributes, of_event, &mut budget);
                events.push(Event { time_unix_nano: time.0, name, attributes, dropped_attributes_count: 0 });
            }
        }
        let mut links = Vec::new();
        for link in self.links {
            if budget.take(0, LINK) {
                let (trace_id, span_id) = (link.trace.bytes().to_vec(), link.span.bytes().to_vec());
                links.push(Link { trace_id, span_id, flags: u32::from(link.is_sampled), ..Link::default() });
            }
        }
        let status = self
            .failure
            .map(|reason| Status { code: StatusCode::Error.into(), message: shortened(&reason).to_owned() });
        let kind = match self.kind {
            GuestSpanKind::Client => SpanKind::Client,
            GuestSpanKind::Server => SpanKind::Server,
            GuestSpanKind::Producer => SpanKind::Producer,
            GuestSpanKind::Consumer => SpanKind::Consumer,
            GuestSpanKind::Internal => SpanKind::Internal,
        };
        let [dropped_attributes_count, dropped_events_count, dropped_links_count] = budget.dropped;
        Span {
            trace_id: self.context.trace.bytes().to_vec(),
            span_id: self.context.span.bytes().to_vec(),
            parent_span_id: self.parent.map(|parent| parent.span.bytes().to_vec()).unwrap_or_default(),
            flags: u32::from(self.context.is_sampled),
            name: shortened(&self.name).to_owned(),
            kind: kind.into(),
            start_time_unix_nano: self.started.0,
            end_time_unix_nano: self.ended.0.max(self.started.0),
            attributes,
            dropped_attributes_count,
            events,
            dropped_events_count,
            links,
            dropped_links_count,
            status,
            ..Span::default()
        }
    }
}

fn add_attributes(
    attributes: &mut Vec<opentelemetry_proto::tonic::common::v1::KeyValue>,
    of_guest: Vec<(String, String)>,
    budget: &mut SpanBudget,
) {
    for (name, value) in of_guest {
        if budget.take(name.len().saturating_add(value.len()), ATTRIBUTE) {
            attributes.push(attribute(&name, parsed(value)));
        }
    }
}

/// The value of an attribute, from JSON. What is neither a text, a number nor a flag stays as it is.
fn parsed(json: String) -> Value {
    match serde_json::from_str(&json) {
        Ok(Json::String(text)) => Value::StringValue(shortened(&text).to_owned()),
        Ok(Json::Bool(flag)) => Value::BoolValue(flag),
        Ok(Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::IntValue(number),
            (None, Some(number)) => Value::DoubleValue(number),
            (None, None) => Value::StringValue(json),
        },
        _ => Value::StringValue(shortened(&json).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(attributes: Vec<(String, String)>) -> GuestSpan {
        let context = SpanContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        GuestSpan {
            context,
            parent: Some(context),
            kind: GuestSpanKind::Internal,
            name: "work".to_owned(),
            started: UnixNanos(5),
            ended: UnixNanos(3),
            attributes,
            events: vec![GuestSpanEvent { name: "retry".to_owned(), time: UnixNanos(4), attributes: Vec::new() }],
            links: vec![context],
            failure: Some("late".to_owned()),
            scope: "library".to_owned(),
        }
    }

    #[test]
    fn values_are_read_from_json() {
        for (json, expected) in [
            ("\"a\"", Value::StringValue("a".to_owned())),
            ("true", Value::BoolValue(true)),
            ("-5", Value::IntValue(-5)),
            ("1.5", Value::DoubleValue(1.5)),
            ("[1]", Value::StringValue("[1]".to_owned())),
            ("bare", Value::StringValue("bare".to_owned())),
        ] {
            assert_eq!(parsed(json.to_owned()), expected, "{json}");
        }
    }

    #[test]
    fn a_span_is_bounded() {
        let message = span(vec![("a".to_owned(), "1".to_owned())]).message();
        assert_eq!((message.attributes.len(), message.events.len(), message.links.len()), (2, 1, 1));
        assert_eq!((message.start_time_unix_nano, message.end_time_unix_nano), (5, 5));
        assert_eq!(message.dropped_attributes_count, 0);
        let many = span((0..1_000).map(|number| (number.to_string(), "1".to_owned())).collect()).message();
        assert_eq!(many.attributes.len() + many.dropped_attributes_count as usize, 1_001);
        assert_eq!((many.attributes.len(), many.dropped_events_count, many.dropped_links_count), (PARTS, 1, 1));
        let large = span(vec![("a".to_owned(), "x".repeat(TEXT_BYTES))]).message();
        assert_eq!((large.attributes.len(), large.dropped_attributes_count, large.events.len()), (1, 1, 1));
    }
}
