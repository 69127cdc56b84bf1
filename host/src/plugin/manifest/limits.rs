//! The limits of an invocation.

use std::time::Duration;

/// Limits of one invocation. Each bounds what a plugin can cost, and none can be disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of all the component's memories together, in bytes.
    pub memory_bytes: usize,
    /// The time of one invocation.
    pub timeout: Duration,
    /// How many events it may publish.
    pub publishes: usize,
    /// How many state keys it may write, and how many it may read.
    pub keys: usize,
    /// How many subscriptions it may change.
    pub subscriptions: usize,
    /// The total size of its effects, in bytes.
    pub effect_bytes: usize,
    /// How many bytes it may log. Further lines are dropped.
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            timeout: Duration::from_secs(10),
            publishes: 1_000,
            keys: 1_000,
            subscriptions: 16,
            effect_bytes: 8 << 20,
            log_bytes: 64 << 10,
        }
    }
}
