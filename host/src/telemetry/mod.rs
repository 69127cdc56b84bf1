//! The host's log and metrics.

mod logs;
mod metrics;

pub use logs::{Format, start_logs};
pub(crate) use logs::{check_filter, colours, set_filter};
pub use metrics::{Metrics, RequestMetrics, SubscriptionMetrics, published, request_conflict, start_metrics};
