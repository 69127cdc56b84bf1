//! Spans: from the start of an operation to the protocol's message.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use crate::clock::{Clock, UnixNanos};
use crate::span_context::{SpanContext, SpanId};

/// The longest text of an attribute, in bytes. Longer ones are cut.
const TEXT_BYTES: usize = 4_096;

/// The role of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers a request.
    Server,
    /// Sends a request.
    Client,
    /// Processes an event.
    Consumer,
}

/// A sampled span that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSpan {
    /// Its identity.
    pub context: SpanContext,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// The span that caused it long ago.
    pub link: Option<SpanContext>,
    /// When it began.
    pub started: UnixNanos,
}

/// The attributes of a span, by their names in the semantic conventions.
#[derive(Debug, Default)]
pub struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// Adds a text.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.add(name, Value::StringValue(shortened(value).to_owned()));
    }

    /// Adds a text if there is one.
    pub fn optional(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Adds a number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.add(name, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// Adds a duration, in seconds.
    pub fn seconds(&mut self, name: &'static str, value: Duration) {
        self.add(name, Value::DoubleValue(value.as_secs_f64()));
    }

    /// Adds a flag.
    pub fn flag(&mut self, name: &'static str, value: bool) {
        self.add(name, Value::BoolValue(value));
    }

    fn add(&mut self, name: &str, value: Value) {
        self.0.push(attribute(name, value));
    }
}

/// How an operation ended.
#[derive(Debug)]
pub struct Ending<'a> {
    /// The name of the span, which has few values.
    pub name: String,
    /// The role of the span.
    pub role: Role,
    /// Its attributes.
    pub attributes: Attributes,
    /// Why it failed, if it did.
    pub failure: Option<&'a str>,
}

impl OpenSpan {
    /// The message of this span, which ends now.
    pub(super) fn end(self, ending: Ending<'_>, clock: &Clock) -> Span {
        let Self { context, parent, link, started } = self;
        let Ending { name, role, attributes: Attributes(attributes), failure } = ending;
        let links = link.map(|cause| Link {
            trace_id: cause.trace.bytes().to_vec(),
            span_id: cause.span.bytes().to_vec(),
            flags: u32::from(cause.is_sampled),
            ..Link::default()
        });
        let status =
            failure.map(|reason| Status { code: StatusCode::Error.into(), message: shortened(reason).to_owned() });
        let kind = match role {
            Role::Server => SpanKind::Server,
            Role::Client => SpanKind::Client,
            Role::Consumer => SpanKind::Consumer,
        };
        Span {
            trace_id: context.trace.bytes().to_vec(),
            span_id: context.span.bytes().to_vec(),
            parent_span_id: parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
            // The lower bits are those of the traceparent.
            flags: u32::from(context.is_sampled),
            name,
            kind: kind.into(),
            start_time_unix_nano: started.0,
            end_time_unix_nano: clock.unix_nanos().0.max(started.0),
            attributes,
            links: links.into_iter().collect(),
            status,
            ..Span::default()
        }
    }
}

/// An attribute of the protocol.
pub(super) fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// The beginning of a long text.
pub(super) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}
