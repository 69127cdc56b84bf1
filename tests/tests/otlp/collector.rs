//! A receiver of OTLP over HTTP, built on the protocol's own crate.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, exemplar, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::{self as proto, span::SpanKind};
use prost::Message;
use sandbus_tests::eventually;

/// A receiver.
pub(crate) struct Collector {
    pub(crate) address: String,
    received: Arc<Received>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Received {
    spans: Mutex<Vec<Span>>,
    logs: Mutex<Vec<Log>>,
    /// The last value of each metric.
    metrics: Mutex<BTreeMap<String, Metric>>,
    resource: Mutex<Attributes>,
    status: AtomicU16,
    refused: AtomicU64,
}

pub(crate) type Attributes = BTreeMap<String, String>;

/// A span, with its ids in hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: Attributes,
    /// The trace and the span of each link.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) error: Option<String>,
}

/// A log record.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) body: String,
    pub(crate) trace: String,
    pub(crate) span: String,
    pub(crate) severity: String,
    pub(crate) attributes: Attributes,
}

/// A series of a histogram.
pub(crate) struct Point {
    pub(crate) count: u64,
    pub(crate) unit: String,
    /// The trace and the span.
    pub(crate) exemplar: Option<(String, String)>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        other => panic!("the host sends no {other:?}"),
    }
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

impl From<proto::Span> for Span {
    fn from(span: proto::Span) -> Self {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        let kind = format!("{:?}", SpanKind::try_from(span.kind).unwrap());
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name,
            kind,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: attributes(span.attributes),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            error: span.status.map(|status| status.message),
        }
    }
}

impl From<LogRecord> for Log {
    fn from(record: LogRecord) -> Self {
        Self {
            body: text(record.body),
            trace: hex(&record.trace_id),
            span: hex(&record.span_id),
            severity: record.severity_text,
            attributes: attributes(record.attributes),
        }
    }
}

/// Decodes a request, unless the receiver refuses requests now.
fn decoded<M: Message + Default>(received: &Received, headers: &HeaderMap, body: Bytes) -> Result<M, StatusCode> {
    let status = received.status.load(Ordering::Relaxed);
    if status != 200 {
        received.refused.fetch_add(1, Ordering::Relaxed);
        return Err(StatusCode::from_u16(status).unwrap());
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    Ok(M::decode(body).unwrap())
}

async fn traces(State(received): State<Arc<Received>>, headers: HeaderMap, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    let request: ExportTraceServiceRequest = decoded(&received, &headers, body)?;
    for resource in request.resource_spans {
        *received.resource.lock().unwrap() = attributes(resource.resource.unwrap().attributes);
        for scope in resource.scope_spans {
            assert_eq!(scope.scope.unwrap().name, "sandbus");
            received.spans.lock().unwrap().extend(scope.spans.into_iter().map(Span::from));
        }
    }
    Ok(Vec::new())
}

async fn logs(State(received): State<Arc<Received>>, headers: HeaderMap, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    let request: ExportLogsServiceRequest = decoded(&received, &headers, body)?;
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    let records = scopes.flat_map(|scope| scope.log_records);
    received.logs.lock().unwrap().extend(records.map(Log::from));
    Ok(Vec::new())
}

async fn metrics(
    State(received): State<Arc<Received>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Vec<u8>, StatusCode> {
    let request: ExportMetricsServiceRequest = decoded(&received, &headers, body)?;
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| scope.metrics);
    received.metrics.lock().unwrap().extend(metrics.map(|metric| (metric.name.clone(), metric)));
    Ok(Vec::new())
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let received = Arc::new(Received { status: AtomicU16::new(200), ..Received::default() });
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/logs", post(logs))
            .route("/v1/metrics", post(metrics))
            .with_state(Arc::clone(&received));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, received, _runtime: runtime }
    }

    /// Answers with a status from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.received.status.store(status, Ordering::Relaxed);
    }

    /// How many requests were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.received.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received.spans.lock().unwrap().clone()
    }

    /// The spans of a trace, once there are so many.
    pub(crate) fn trace(&self, id: &str, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans of the trace {id}"), || {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.trace == id).collect();
            (spans.len() >= count).then_some(spans)
        })
    }

    pub(crate) fn resource(&self) -> Attributes {
        self.received.resource.lock().unwrap().clone()
    }

    /// A log record whose body contains a text.
    pub(crate) fn log(&self, text: &str) -> Option<Log> {
        self.received.logs.lock().unwrap().iter().find(|log| log.body.contains(text)).cloned()
    }

    /// The series of a histogram with the value of its label.
    pub(crate) fn histogram(&self, name: &str, label: &str) -> Option<Point> {
        let metrics = self.received.metrics.lock().unwrap();
        let metric = metrics.get(name)?;
        let Some(metric::Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
        let has_label = |pairs: &[KeyValue]| attributes(pairs.to_vec()).values().any(|value| value == label);
        let point = histogram.data_points.iter().find(|point| has_label(&point.attributes))?;
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        let exemplar = point.exemplars.first().map(|exemplar| {
            assert!(matches!(exemplar.value, Some(exemplar::Value::AsDouble(_))), "{exemplar:?}");
            (hex(&exemplar.trace_id), hex(&exemplar.span_id))
        });
        Some(Point { count: point.count, unit: metric.unit.clone(), exemplar })
    }

    /// The value of a counter with certain labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let metrics = self.received.metrics.lock().unwrap();
        let Some(metric::Data::Sum(sum)) = &metrics.get(name)?.data else { panic!("{name} is no sum") };
        assert!(sum.is_monotonic);
        let expected: Attributes =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let point = sum.data_points.iter().find(|point| attributes(point.attributes.clone()) == expected)?;
        match point.value {
            Some(number_data_point::Value::AsDouble(value)) => Some(value),
            other => panic!("{other:?}"),
        }
    }
}

/// A trace as a tree.
pub(crate) fn show(trace: &[Span]) -> String {
    let is_known = |id: &str| trace.iter().any(|span| span.id == id);
    let mut text = String::new();
    for root in trace.iter().filter(|span| !is_known(&span.parent)) {
        writeln!(text, "trace {}, parent {}", root.trace, root.parent).unwrap();
        show_span(&mut text, trace, root, 1);
    }
    text
}

fn show_span(text: &mut String, trace: &[Span], span: &Span, depth: usize) {
    let Span { id, name, kind, attributes, .. } = span;
    let took = (span.end - span.start) / 1_000;
    writeln!(text, "{}{name} [{kind}] span {id}, {took} µs, {attributes:?}", "  ".repeat(depth)).unwrap();
    let mut children: Vec<_> = trace.iter().filter(|child| child.parent == *id).collect();
    children.sort_by_key(|child| child.start);
    children.iter().for_each(|child| show_span(text, trace, child, depth + 1));
}
