//! Log lines as log records.

use std::fmt;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::queue::Queue;
use super::span::{attribute, shortened};
use crate::clock::Clock;
use crate::span_context::SpanContext;

/// The fields of a log line that name its span.
const TRACE_ID: &str = "trace_id";
const SPAN_ID: &str = "span_id";

/// Libraries that log what the exporter itself does. Exporting their lines would cause more of them.
const OWN_LIBRARIES: [&str; 4] = ["hyper", "h2", "rustls", "tokio"];

/// Exports log lines.
#[derive(Clone, Debug)]
pub struct LogLayer {
    pub(super) queue: Arc<Queue<LogRecord>>,
    pub(super) clock: Clock,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let root = metadata.target().split("::").next().unwrap_or_default();
        if OWN_LIBRARIES.iter().any(|library| root.starts_with(library)) {
            return;
        }
        let now = self.clock.unix_nanos().0;
        let (severity, text) = severity(*metadata.level());
        let record = LogRecord {
            time_unix_nano: now,
            observed_time_unix_nano: now,
            severity_number: severity.into(),
            severity_text: text.to_owned(),
            attributes: vec![attribute("code.namespace", Value::StringValue(metadata.target().to_owned()))],
            ..LogRecord::default()
        };
        let mut fields = Fields { record, trace: String::new(), span: String::new() };
        event.record(&mut fields);
        self.queue.push(fields.complete());
    }
}

fn severity(level: Level) -> (SeverityNumber, &'static str) {
    match level {
        Level::TRACE => (SeverityNumber::Trace, "TRACE"),
        Level::DEBUG => (SeverityNumber::Debug, "DEBUG"),
        Level::INFO => (SeverityNumber::Info, "INFO"),
        Level::WARN => (SeverityNumber::Warn, "WARN"),
        Level::ERROR => (SeverityNumber::Error, "ERROR"),
    }
}

/// Collects the fields of a line.
struct Fields {
    record: LogRecord,
    trace: String,
    span: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.record.attributes.push(attribute(field.name(), value));
    }

    fn add_text(&mut self, field: &Field, text: &str) {
        let value = || Value::StringValue(shortened(text).to_owned());
        match field.name() {
            "message" => self.record.body = Some(AnyValue { value: Some(value()) }),
            TRACE_ID => text.clone_into(&mut self.trace),
            SPAN_ID => text.clone_into(&mut self.span),
            _ => self.add(field, value()),
        }
    }

    fn complete(mut self) -> LogRecord {
        let context = SpanContext::parse(&format!("00-{}-{}-01", self.trace, self.span));
        if let Some(SpanContext { trace, span, .. }) = context {
            self.record.trace_id = trace.bytes().to_vec();
            self.record.span_id = span.bytes().to_vec();
            self.record.flags = 1;
        }
        self.record
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::DoubleValue(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::BoolValue(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_line_becomes_a_record_with_its_span_and_its_fields() {
        let layer = LogLayer { queue: Arc::new(Queue::new(9, 9)), clock: Clock::System };
        let subscriber = tracing_subscriber::registry().with(layer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let context = SpanContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
            let trace_id = Some(tracing::field::display(context.trace));
            let span_id = Some(tracing::field::display(context.span));
            tracing::warn!(target: "plugin", trace_id, span_id, attempt = 2, done = true, event = %"e1", "hello {}", 1);
            tracing::info!(trace_id = None::<tracing::field::DisplayValue<SpanContextText>>, "no span");
            tracing::info!(target: "hyper_util::client", "of the exporter itself");
        });
        let records = layer.queue.take();
        let [traced, plain] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((traced.severity_text.as_str(), traced.flags, traced.trace_id.len()), ("WARN", 1, 16));
        assert_eq!(traced.body.as_ref().unwrap().value, Some(Value::StringValue("hello 1".to_owned())));
        let names: Vec<_> = traced.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(names, ["code.namespace", "attempt", "done", "event"]);
        assert!(plain.trace_id.is_empty() && plain.flags == 0, "{plain:?}");
    }

    struct SpanContextText;

    impl fmt::Display for SpanContextText {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("")
        }
    }
}
