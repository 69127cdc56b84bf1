//! The host's log and metrics.

mod definitions;
mod exemplars;
mod exposition;
mod logs;
mod metrics;
#[cfg(test)]
mod monitoring;
mod openmetrics;
mod otlp_metrics;

pub use logs::{Format, start_logs};
pub(crate) use logs::{check_filter, colours, set_filter};
pub(crate) use metrics::SettledAttempt;
pub use metrics::{
    Metrics, MetricsExport, MetricsFormat, RequestMetrics, SubscriptionMetrics, published, request_conflict,
    start_metrics,
};
