//! Exports traces, metrics and logs by the OpenTelemetry Protocol, if the standard `OTEL_*` variables ask for it.
//!
//! An operation that ends puts its span into a bounded queue, and a task exports the queue in batches. Nothing waits
//! for an export: if the collector is slow or hangs, records are lost and counted.
//!
//! Whether a trace is sampled depends on its id alone, and is decided before a span is built.

mod client_trace;
mod config;
mod exporter;
mod guest_span;
mod logs;
mod queue;
mod sampler;
mod signal;
mod span;
mod tracer;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use self::config::{BatchConfig, EndpointConfig};
use self::queue::Queue;
use self::tracer::TracerShared;
use self::transport::Endpoint;
use crate::clock::Clock;

pub use client_trace::{ClientSpan, ClientTrace};
pub use config::{ConfigError, OtlpConfig};
pub use exporter::Exporter;
pub use guest_span::{GuestSpan, GuestSpanEvent, GuestSpanKind};
pub use logs::LogLayer;
pub use span::{Attributes, Ending, OpenSpan, Role};
pub use tracer::{Beginning, TracedOperation, Tracer};

/// The protocol's messages for metrics.
pub mod proto {
    pub use opentelemetry_proto::tonic::common::v1::any_value::Value;
    pub use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    pub use opentelemetry_proto::tonic::metrics::v1::{
        AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, exemplar,
        metric, number_data_point,
    };
}

/// If an event waits longer than this to be handled, the handler's span starts a trace of its own, with a link to what
/// caused it. Traces that stay open for long are cut off or dropped by collectors and backends.
pub const LINK_AFTER: Duration = Duration::from_mins(1);

/// The export, if there is one. Clones share it. The default exports nothing.
#[derive(Clone, Debug, Default)]
pub struct Otlp(Option<Arc<Pipeline>>);

/// The queues and the endpoints.
#[derive(Debug)]
struct Pipeline {
    resource: Resource,
    traces: Option<SignalPipeline<Span>>,
    metrics: Option<SignalPipeline<Metric>>,
    logs: Option<SignalPipeline<LogRecord>>,
    tracer: Tracer,
    clock: Clock,
    metric_interval: Duration,
}

/// The queue and the endpoint of a signal.
#[derive(Debug)]
struct SignalPipeline<T> {
    queue: Arc<Queue<T>>,
    endpoint: Endpoint,
    batches: BatchConfig,
}

impl<T> Clone for SignalPipeline<T> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue), endpoint: self.endpoint.clone(), batches: self.batches }
    }
}

impl<T> SignalPipeline<T> {
    fn open(config: Option<EndpointConfig>, batches: BatchConfig) -> Result<Option<Self>, OtlpError> {
        let open = |config: EndpointConfig| {
            let path = config.certificate.clone().unwrap_or_default();
            let endpoint =
                Endpoint::new(config).map_err(|error| OtlpError::Certificate(path.display().to_string(), error))?;
            Ok(Self { queue: Arc::new(Queue::new(batches.queue, batches.batch)), endpoint, batches })
        };
        config.map(open).transpose()
    }
}

/// Why the export cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// A variable has a value that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates cannot be used.
    #[error("cannot use the certificates of OTEL_EXPORTER_OTLP_CERTIFICATE {0}")]
    Certificate(String, #[source] std::io::Error),
}

impl Otlp {
    /// Prepares the export by the variables of the process. Records wait until [`Otlp::start`].
    ///
    /// # Errors
    /// If a variable has a value that cannot be used, or the certificates cannot be used.
    pub fn from_environment(clock: Clock) -> Result<Self, OtlpError> {
        match OtlpConfig::from_environment()? {
            Some(config) => Self::new(config, clock),
            None => Ok(Self::default()),
        }
    }

    /// Prepares the export.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub fn new(config: OtlpConfig, clock: Clock) -> Result<Self, OtlpError> {
        let attribute = |(name, value): (String, String)| span::attribute(&name, Value::StringValue(value));
        let attributes = config.resource.into_iter().map(attribute).collect();
        let resource = Resource { attributes, ..Resource::default() };
        let interval = config.metric_interval;
        // An export contains all metrics. The next one replaces it.
        let metric_batches =
            BatchConfig { delay: Duration::from_secs(1), queue: 16_384, batch: 16_384, timeout: interval };
        let traces = SignalPipeline::open(config.traces, config.span_batches)?;
        let tracer = traces.as_ref().map(|traces| {
            let (queue, sampler) = (Arc::clone(&traces.queue), config.sampler);
            Tracer::new(TracerShared { queue, sampler, clock: clock.clone() })
        });
        Ok(Self(Some(Arc::new(Pipeline {
            resource,
            traces,
            metrics: SignalPipeline::open(config.metrics, metric_batches)?,
            logs: SignalPipeline::open(config.logs, config.log_batches)?,
            tracer: tracer.unwrap_or_default(),
            clock,
            metric_interval: interval,
        }))))
    }

    /// Begins and ends spans.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        self.0.as_ref().map(|pipeline| pipeline.tracer.clone()).unwrap_or_default()
    }

    /// Exports log lines, if they are exported.
    #[must_use]
    pub fn log_layer(&self) -> Option<LogLayer> {
        let pipeline = self.0.as_ref()?;
        let queue = Arc::clone(&pipeline.logs.as_ref()?.queue);
        Some(LogLayer { queue, clock: pipeline.clock.clone() })
    }

    /// How often metrics are exported. None if they are not.
    #[must_use]
    pub fn metric_interval(&self) -> Option<Duration> {
        self.0.as_ref().filter(|pipeline| pipeline.metrics.is_some()).map(|pipeline| pipeline.metric_interval)
    }

    /// Exports metrics.
    pub fn export_metrics(&self, metrics: Vec<Metric>) {
        if let Some(signal) = self.0.as_ref().and_then(|pipeline| pipeline.metrics.as_ref()) {
            metrics.into_iter().for_each(|metric| signal.queue.push(metric));
        }
    }

    /// Starts to export, in a tokio runtime and after the metrics recorder is installed. None if nothing is exported.
    #[must_use]
    pub fn start(&self) -> Option<Exporter> {
        self.0.as_ref().map(Exporter::start)
    }
}

impl Pipeline {
    /// Counts everything that waits as lost.
    fn give_up(&self) {
        self.traces.iter().for_each(|signal| signal.queue.give_up());
        self.metrics.iter().for_each(|signal| signal.queue.give_up());
        self.logs.iter().for_each(|signal| signal.queue.give_up());
    }
}
