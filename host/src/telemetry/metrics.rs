//! Prometheus metrics.
//!
//! Handles are created once per subscription, and once per plugin and status, so that counting costs one atomic
//! addition.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use metrics::{Counter, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::definitions::{DEFINITIONS, Definition, Kind};
use super::otlp_metrics::{self, Times};
use super::{exemplars, exposition, openmetrics};
use crate::bus::{Bus, Reachability, SettledStatus, SharedBus};
use crate::clock::{Clock, UnixNanos};
use crate::otlp::{self, Otlp};
use crate::plugin::Registry;
use crate::span_context::SpanContext;
use crate::subscription::SubscriptionId;

/// Bucket boundaries, in seconds.
const BUCKETS: [f64; 16] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// The histograms, which have exemplars.
const LATENCY_SECONDS: &str = "sandbus_delivery_latency_seconds";
const HANDLER_SECONDS: &str = "sandbus_handler_seconds";
const REQUEST_SECONDS: &str = "sandbus_http_request_seconds";

/// How often histogram samples are folded into buckets.
const FOLD: Duration = Duration::from_secs(1);

/// The gauges of each subscription.
const SUBSCRIPTION_GAUGES: [&str; 6] = [
    "sandbus_subscription_paused",
    "sandbus_subscription_backlog",
    "sandbus_subscription_in_flight",
    "sandbus_subscription_committing",
    "sandbus_subscription_parked_keys",
    "sandbus_subscription_lag_seconds",
];

/// The metrics served at `/metrics`.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    /// The labels of the subscriptions whose gauges are set, with the number of expired events that are counted.
    subscriptions: Arc<Mutex<BTreeMap<String, u64>>>,
    /// When counting began.
    started: UnixNanos,
}

/// What the export of metrics needs.
#[derive(Debug)]
pub struct MetricsExport {
    /// Where they are exported to.
    pub otlp: Otlp,
    /// The bus, for the gauges of subscriptions.
    pub bus: SharedBus,
    /// The plugins, which are counted.
    pub registry: Registry,
    /// The clock.
    pub clock: Clock,
    /// Ends the export.
    pub cancelled: CancellationToken,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Metrics")
    }
}

/// Installs the metrics recorder. Call it once per process.
///
/// # Errors
/// If a recorder is already installed.
pub fn start_metrics() -> Result<Metrics, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(BuildError::FailedToSetGlobalRecorder)?;
    describe();
    // An alert can only compare a counter with zero if the counter exists before the first loss.
    for loss in DEFINITIONS.iter().filter(|definition| definition.is_loss) {
        counter!(loss.name).increment(0);
    }
    Ok(Metrics { handle, subscriptions: Arc::default(), started: Clock::System.unix_nanos() })
}

fn describe() {
    for Definition { name, kind, help, .. } in DEFINITIONS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

/// The form in which metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// The text format of Prometheus.
    Prometheus,
    /// OpenMetrics, which has exemplars.
    OpenMetrics,
}

impl MetricsFormat {
    /// The form that a client accepts: OpenMetrics if its `Accept` header names it.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut ranges = accepted.flat_map(|value| value.split(','));
        let is_open = ranges.any(|range| range.trim().starts_with("application/openmetrics-text"));
        if is_open { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => openmetrics::MEDIA_TYPE,
        }
    }
}

impl Metrics {
    /// Folds histogram samples into buckets until it is cancelled. Otherwise samples would pile up on hosts whose
    /// metrics are never scraped.
    pub async fn fold(self, cancelled: CancellationToken) {
        while cancelled.run_until_cancelled(tokio::time::sleep(FOLD)).await.is_some() {
            let handle = self.handle.clone();
            // The panic hook has reported a panic.
            drop(tokio::task::spawn_blocking(move || handle.run_upkeep()).await);
        }
    }

    /// Renders all metrics and updates the gauges.
    pub async fn render(&self, format: MetricsFormat, bus: &dyn Bus, registry: &Registry, clock: &Clock) -> String {
        let text = self.collect(bus, registry, clock).await;
        match format {
            MetricsFormat::Prometheus => text,
            MetricsFormat::OpenMetrics => openmetrics::write(&exposition::read(&text)),
        }
    }

    /// All metrics as messages of the OpenTelemetry Protocol. Updates the gauges.
    async fn otlp(&self, bus: &dyn Bus, registry: &Registry, clock: &Clock) -> Vec<otlp::proto::Metric> {
        let text = self.collect(bus, registry, clock).await;
        let times = Times { started: self.started, now: clock.unix_nanos() };
        otlp_metrics::convert(exposition::read(&text), times)
    }

    /// Exports all metrics until it is cancelled, and once more then. Returns at once if metrics are not exported.
    pub async fn export(self, source: MetricsExport) {
        let MetricsExport { otlp, bus, registry, clock, cancelled } = source;
        let Some(interval) = otlp.metric_interval() else { return };
        loop {
            let is_running = cancelled.run_until_cancelled(tokio::time::sleep(interval)).await.is_some();
            otlp.export_metrics(self.otlp(&*bus, &registry, &clock).await);
            if !is_running {
                return;
            }
        }
    }

    /// The text format of Prometheus, with the gauges updated. Gauges that need the store keep their last value while
    /// the store is unreachable.
    async fn collect(&self, bus: &dyn Bus, registry: &Registry, clock: &Clock) -> String {
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let float = |number: u64| number as f64;
        let oldest = bus.oldest_unhandled().await;
        let oldest =
            oldest.inspect_err(|error| tracing::warn!(%error, "cannot read the lag of the subscriptions")).ok();
        let is_reachable = *bus.reachable().borrow() == Reachability::Reachable;
        gauge!("sandbus_store_reachable").set(float(is_reachable.into()));
        let now = clock.now();
        let catalogue = Arc::clone(&bus.catalogue().borrow());
        let mut present = BTreeMap::new();
        // Replays are short-lived and visible in the admin interface, so they have no gauges.
        for entry in catalogue.subscriptions() {
            let Some(overview) = bus.feed(entry.feed).map(|subscription| subscription.overview()) else { continue };
            let name = label(&overview.id);
            *present.entry(name.clone()).or_default() += overview.expired;
            let is_paused = overview.paused.is_some() || overview.endpoint_hold.is_some();
            gauge!("sandbus_subscription_paused", "subscription" => name.clone()).set(float(is_paused.into()));
            gauge!("sandbus_subscription_backlog", "subscription" => name.clone()).set(float(overview.backlog));
            gauge!("sandbus_subscription_in_flight", "subscription" => name.clone())
                .set(float(overview.in_flight as u64));
            gauge!("sandbus_subscription_committing", "subscription" => name.clone())
                .set(float(overview.committing as u64));
            gauge!("sandbus_subscription_parked_keys", "subscription" => name.clone())
                .set(float(overview.parked_keys as u64));
            if let Some(oldest) = &oldest {
                let lag = oldest.get(&entry.feed).map_or(Duration::ZERO, |oldest| now.since(*oldest));
                gauge!("sandbus_subscription_lag_seconds", "subscription" => name).set(lag.as_secs_f64());
            }
        }
        self.update_subscriptions(present);
        gauge!("sandbus_plugins").set(float(registry.snapshot().plugins.len() as u64));
        gauge!("sandbus_refused_files").set(float(registry.refused_files()));
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Counts newly expired events, and sets the gauges of subscriptions that no longer exist to zero, so that none of
    /// their values raises an alert forever.
    fn update_subscriptions(&self, present: BTreeMap<String, u64>) {
        let mut before = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, expired) in &present {
            // A subscription that is created again begins at zero.
            let counted = before.get(name).filter(|counted| *counted <= expired).copied().unwrap_or(0);
            counter!("sandbus_subscription_expired_total", "subscription" => name.clone()).increment(expired - counted);
        }
        for deleted in before.keys().filter(|name| !present.contains_key(*name)) {
            for name in SUBSCRIPTION_GAUGES {
                gauge!(name, "subscription" => deleted.clone()).set(0.0);
            }
        }
        *before = present;
    }
}

/// The metric label of a subscription. Plugins create subscriptions at run time, and the recorder keeps every label it
/// has seen. Beyond a limit, all further names share one label.
fn label(id: &SubscriptionId) -> String {
    /// Far above the number of subscriptions of any real host.
    const LIMIT: usize = 10_000;
    static LABELS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let name = id.to_string();
    let mut labels = LABELS.lock().unwrap_or_else(PoisonError::into_inner);
    if labels.contains(&name) {
        return name;
    }
    if labels.len() >= LIMIT {
        return "others".to_owned();
    }
    labels.insert(name.clone());
    name
}

/// The metrics of one subscription.
pub struct SubscriptionMetrics {
    /// The label.
    name: String,
    handled: Counter,
    waiting: Counter,
    dead: Counter,
    conflicts: Counter,
    holds: Counter,
    gone: Counter,
    latency: Histogram,
    handler: Histogram,
}

/// A settled attempt, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SettledAttempt {
    pub(crate) status: SettledStatus,
    /// The time since the event was stored. It is not recorded for replays.
    pub(crate) latency: Duration,
    /// The run time of the handler.
    pub(crate) took: Duration,
    pub(crate) is_replay: bool,
    /// The span of the attempt, if it is sampled.
    pub(crate) span: Option<SpanContext>,
}

impl std::fmt::Debug for SubscriptionMetrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SubscriptionMetrics")
    }
}

impl SubscriptionMetrics {
    /// Handles for a subscription.
    #[must_use]
    pub fn new(id: &SubscriptionId) -> Self {
        let name = label(id);
        let attempts =
            |outcome| counter!("sandbus_attempts_total", "subscription" => name.clone(), "outcome" => outcome);
        Self {
            handled: attempts("handled"),
            waiting: attempts("retry"),
            dead: attempts("dead"),
            conflicts: counter!("sandbus_conflicts_total", "subscription" => name.clone()),
            holds: counter!("sandbus_endpoint_holds_total", "subscription" => name.clone()),
            gone: counter!("sandbus_endpoint_gone_total", "subscription" => name.clone()),
            latency: histogram!(LATENCY_SECONDS, "subscription" => name.clone()),
            handler: histogram!(HANDLER_SECONDS, "subscription" => name.clone()),
            name,
        }
    }

    /// Counts a settled attempt.
    pub(crate) fn settled(&self, attempt: &SettledAttempt) {
        let SettledAttempt { status, latency, took, is_replay, span } = *attempt;
        self.handler.record(took.as_secs_f64());
        self.note(HANDLER_SECONDS, took, span);
        match status {
            SettledStatus::Handled => {
                self.handled.increment(1);
                if !is_replay {
                    self.latency.record(latency.as_secs_f64());
                    self.note(LATENCY_SECONDS, latency, span);
                }
            }
            SettledStatus::Waiting(_) => self.waiting.increment(1),
            SettledStatus::Dead => self.dead.increment(1),
        }
    }

    fn note(&self, histogram: &'static str, duration: Duration, span: Option<SpanContext>) {
        if let Some(span) = span {
            exemplars::note(histogram, &self.name, duration.as_secs_f64(), span);
        }
    }

    /// Counts a response that puts an endpoint on hold.
    pub(crate) fn endpoint_hold(&self) {
        self.holds.increment(1);
    }

    /// Counts a 410 response.
    pub(crate) fn gone(&self) {
        self.gone.increment(1);
    }

    /// Counts an invocation that ran again because of a state conflict.
    pub(crate) fn conflict(&self) {
        self.conflicts.increment(1);
    }
}

/// The metrics of requests, by plugin and status.
#[derive(Default)]
pub struct RequestMetrics(RwLock<HashMap<(Arc<str>, u16), Answers>>);

/// Counts a request that ran again because of a state conflict.
pub fn request_conflict(plugin: &str) {
    counter!("sandbus_http_conflicts_total", "plugin" => plugin.to_owned()).increment(1);
}

/// The count and the durations.
type Answers = (Counter, Histogram);

impl std::fmt::Debug for RequestMetrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RequestMetrics")
    }
}

impl RequestMetrics {
    /// Counts a request and its duration. `span` is that of the request, if it is sampled.
    pub fn answered(&self, plugin: &Arc<str>, status: u16, took: Duration, span: Option<SpanContext>) {
        if let Some(span) = span {
            exemplars::note(REQUEST_SECONDS, plugin, took.as_secs_f64(), span);
        }
        let count = |(count, time): &Answers| {
            count.increment(1);
            time.record(took.as_secs_f64());
        };
        let key = (Arc::clone(plugin), status);
        let handles = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(answers) = handles.get(&key) {
            return count(answers);
        }
        drop(handles);
        let mut handles = self.0.write().unwrap_or_else(PoisonError::into_inner);
        count(handles.entry(key).or_insert_with(|| {
            let (name, status) = (plugin.to_string(), status.to_string());
            let answered = counter!("sandbus_http_requests_total", "plugin" => name.clone(), "status" => status);
            (answered, histogram!(REQUEST_SECONDS, "plugin" => name))
        }));
    }
}

/// Counts events accepted at the ingress.
pub fn published(count: usize) {
    counter!("sandbus_events_published_total").increment(count as u64);
}
