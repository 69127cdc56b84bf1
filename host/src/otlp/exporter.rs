//! The tasks that export what waits in the queues. Nothing waits for them: a collector that is slow, broken or hangs
//! costs records only, which are counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, counter};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::config::BatchConfig;
use super::queue::Queue;
use super::signal::Signal;
use super::transport::{Accepted, Endpoint, accepted};
use super::{Pipeline, SignalPipeline};

/// How often losses are counted in the metric.
const CHECK: Duration = Duration::from_secs(1);
/// How often losses of a signal are logged at most.
const REPORT: Duration = Duration::from_mins(1);

/// The running tasks.
#[derive(Debug)]
pub struct Exporter {
    pipeline: Arc<Pipeline>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    reports: Arc<Mutex<Vec<LossReport>>>,
    watch: JoinSet<()>,
}

/// The name under which the records are exported.
fn scope() -> Option<InstrumentationScope> {
    let (name, version) = ("sandbus".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
}

/// How the records of a signal become a request.
trait Records: Sized + Send + 'static {
    const SIGNAL: Signal;

    fn request(records: Vec<Self>, resource: Resource) -> Vec<u8>;

    /// Reads what the collector rejected.
    fn accepted(response: &[u8]) -> Accepted;
}

impl Records for Span {
    const SIGNAL: Signal = Signal::Traces;

    fn request(spans: Vec<Self>, resource: Resource) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }];
        let resource = Some(resource);
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    fn accepted(response: &[u8]) -> Accepted {
        accepted(response, |response: ExportTraceServiceResponse| {
            response.partial_success.map(|partial| (partial.rejected_spans, partial.error_message))
        })
    }
}

impl Records for LogRecord {
    const SIGNAL: Signal = Signal::Logs;

    fn request(log_records: Vec<Self>, resource: Resource) -> Vec<u8> {
        let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..ScopeLogs::default() }];
        let resource = Some(resource);
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }

    fn accepted(response: &[u8]) -> Accepted {
        accepted(response, |response: ExportLogsServiceResponse| {
            response.partial_success.map(|partial| (partial.rejected_log_records, partial.error_message))
        })
    }
}

impl Records for Metric {
    const SIGNAL: Signal = Signal::Metrics;

    fn request(metrics: Vec<Self>, resource: Resource) -> Vec<u8> {
        let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }];
        let resource = Some(resource);
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
        ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
    }

    fn accepted(response: &[u8]) -> Accepted {
        accepted(response, |response: ExportMetricsServiceResponse| {
            response.partial_success.map(|partial| (partial.rejected_data_points, partial.error_message))
        })
    }
}

impl Exporter {
    /// Starts the tasks, in a tokio runtime.
    pub(super) fn start(pipeline: &Arc<Pipeline>) -> Self {
        let (stop, mut tasks, mut watch) = (CancellationToken::new(), JoinSet::new(), JoinSet::new());
        let resource = &pipeline.resource;
        let mut reports = Vec::new();
        if let Some(traces) = &pipeline.traces {
            tasks.spawn(run(traces.clone(), resource.clone(), stop.clone()));
            reports.push(LossReport::new(traces));
        }
        if let Some(metrics) = &pipeline.metrics {
            tasks.spawn(run(metrics.clone(), resource.clone(), stop.clone()));
            reports.push(LossReport::new(metrics));
        }
        if let Some(logs) = &pipeline.logs {
            tasks.spawn(run(logs.clone(), resource.clone(), stop.clone()));
            reports.push(LossReport::new(logs));
        }
        let reports = Arc::new(Mutex::new(reports));
        let watched = Arc::clone(&reports);
        watch.spawn(async move {
            loop {
                sleep(CHECK).await;
                lock(&watched).iter_mut().for_each(LossReport::update);
            }
        });
        Self { pipeline: Arc::clone(pipeline), stop, tasks, reports, watch }
    }

    /// Exports what waits, within a time. Whatever remains is lost.
    pub async fn finish(mut self, within: Duration) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let is_complete = timeout(within, ended).await.is_ok();
        self.tasks.shutdown().await;
        self.watch.shutdown().await;
        if !is_complete {
            self.pipeline.give_up();
        }
        lock(&self.reports).iter_mut().for_each(LossReport::finish);
    }
}

/// Exports the records of a signal until it is stopped, and then those that wait.
async fn run<T: Records>(signal: SignalPipeline<T>, resource: Resource, stop: CancellationToken) {
    let SignalPipeline { queue, endpoint, batches } = signal;
    loop {
        let wait = async {
            tokio::select! {
                () = queue.filled() => {}
                () = sleep(batches.delay) => {}
            }
        };
        let is_running = stop.run_until_cancelled(wait).await.is_some();
        loop {
            let records = queue.take();
            if records.is_empty() {
                break;
            }
            export(&queue, &endpoint, &batches, records, &resource).await;
        }
        if !is_running {
            return;
        }
    }
}

/// The records of one request. Those that are not exported when it is dropped are lost.
struct Batch<'a, T> {
    queue: &'a Queue<T>,
    count: usize,
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        self.queue.losses().add(self.count);
    }
}

async fn export<T: Records>(
    queue: &Queue<T>,
    endpoint: &Endpoint,
    batches: &BatchConfig,
    records: Vec<T>,
    resource: &Resource,
) {
    let mut batch = Batch { queue, count: records.len() };
    let message = T::request(records, resource.clone());
    match endpoint.send(message, batches.timeout, T::accepted).await {
        Ok(Accepted { rejected, reason }) => {
            queue.losses().note((rejected > 0).then(|| format!("it rejected records: {reason}")));
            batch.count = usize::try_from(rejected).unwrap_or(batch.count).min(batch.count);
        }
        Err(reason) => queue.losses().note(Some(reason)),
    }
}

fn lock(reports: &Mutex<Vec<LossReport>>) -> MutexGuard<'_, Vec<LossReport>> {
    reports.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports the losses of a signal in a metric, and in the log at most once per minute.
struct LossReport {
    signal: Signal,
    lost: Counter,
    losses: Arc<dyn LossyQueue>,
    logged: u64,
    logged_at: Option<Instant>,
}

impl std::fmt::Debug for LossReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LossReport").field("signal", &self.signal).finish_non_exhaustive()
    }
}

/// A queue of any kind of records, with the records that it has lost.
trait LossyQueue: Send + Sync {
    fn lost(&self) -> u64;
    fn reason(&self) -> String;
}

impl<T: Send> LossyQueue for Queue<T> {
    fn lost(&self) -> u64 {
        self.losses().total()
    }

    fn reason(&self) -> String {
        self.losses().reason()
    }
}

impl LossReport {
    fn new<T: Records>(signal: &SignalPipeline<T>) -> Self {
        let lost = counter!("sandbus_telemetry_lost_total", "signal" => T::SIGNAL.name());
        // An alert can only compare a counter with zero if the counter exists before the first loss.
        lost.increment(0);
        Self {
            signal: T::SIGNAL,
            lost,
            losses: Arc::clone(&signal.queue) as Arc<dyn LossyQueue>,
            logged: 0,
            logged_at: None,
        }
    }

    fn update(&mut self) {
        self.lost.absolute(self.losses.lost());
        if self.logged_at.is_none_or(|at| at.elapsed() >= REPORT) {
            self.log();
        }
    }

    fn log(&mut self) {
        let total = self.losses.lost();
        if total > self.logged {
            let (signal, lost, reason) = (self.signal.name(), total - self.logged, self.losses.reason());
            tracing::warn!(
                signal,
                lost,
                "telemetry was lost: {reason}; events and requests are not affected; check the collector and OTEL_EXPORTER_OTLP_ENDPOINT"
            );
            (self.logged, self.logged_at) = (total, Some(Instant::now()));
        }
    }

    fn finish(&mut self) {
        self.lost.absolute(self.losses.lost());
        self.log();
    }
}
