//! The operator's conditions for a swap: a canary before it, and a rollback after it.

use std::time::Duration;

use serde::Deserialize;

/// A new file must handle the past as the one that runs does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryRule {
    /// How many of the last events both handle.
    pub last: usize,
    /// How many of them may be handled differently.
    pub differences: usize,
    /// How many of them must prove something at least: those whose handlers met state that has changed since do not.
    pub proving: usize,
}

impl CanaryRule {
    /// The most events that a canary handles: somebody waits for it.
    pub const MOST_EVENTS: usize = 10_000;
}

impl Default for CanaryRule {
    fn default() -> Self {
        Self { last: 100, differences: 0, proving: 1 }
    }
}

/// When a generation is rolled back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRule {
    /// How many of a hundred attempts and requests must fail.
    pub failures_percent: u32,
    /// Of how many at least.
    pub of: u32,
    /// How long after the swap this is watched, across restarts too.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub within: Duration,
}

impl Default for RollbackRule {
    fn default() -> Self {
        Self { failures_percent: 50, of: 20, within: Duration::from_mins(10) }
    }
}
