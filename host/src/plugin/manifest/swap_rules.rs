//! The operator's conditions for a swap: a canary before it, and a rollback after it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// A new file must handle recent events as the running generation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryRule {
    /// The number of recent events that both handle.
    #[schemars(range(min = 1, max = CanaryRule::MAX_EVENTS))]
    pub events: usize,
    /// The largest number of events that both may handle differently.
    pub max_differences: usize,
    /// The least number of conclusive events. An event is inconclusive if a handler read state that has changed since
    /// the event was stored.
    pub min_conclusive: usize,
}

impl CanaryRule {
    /// The largest number of events of a canary, since its caller waits for the result.
    pub const MAX_EVENTS: usize = 10_000;
}

impl Default for CanaryRule {
    fn default() -> Self {
        Self { events: 100, max_differences: 0, min_conclusive: 1 }
    }
}

/// When the host rolls a generation back automatically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRule {
    /// The share of failed attempts and requests that triggers the rollback.
    #[schemars(range(min = 1, max = 100))]
    pub failures_percent: u32,
    /// The least number of attempts and requests to judge by.
    pub min_invocations: u32,
    /// How long after the swap the host watches the failures, across restarts too.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::PositiveDurationText")]
    pub window: Duration,
}

impl Default for RollbackRule {
    fn default() -> Self {
        Self { failures_percent: 50, min_invocations: 20, window: Duration::from_mins(10) }
    }
}
