//! What an invocation may use.

use std::time::Duration;

/// Limits of one invocation. Every one is a bound on what a plugin can cost, and none can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in bytes, of all of the component's memories together.
    pub memory_bytes: usize,
    /// Time for one run.
    pub timeout: Duration,
    /// How many events it may publish.
    pub publishes: usize,
    /// How many keys it may write, and how many it may read.
    pub keys: usize,
    /// How many subscriptions it may change.
    pub subscriptions: usize,
    /// How many bytes its effects may have together.
    pub effect_bytes: usize,
    /// How many bytes it may log; what comes after is left out.
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
