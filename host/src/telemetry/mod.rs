//! What the host says of itself: log lines and metrics.

mod logs;
mod metrics;

pub(crate) use logs::colours;
pub use logs::{Format, start_logs};
pub use metrics::{Metrics, RequestMetrics, SubscriptionMetrics, published, request_conflict, start_metrics};
