//! The limits of an invocation.

use std::time::Duration;

/// The least memory that a sidecar may grant, in bytes: a page of WebAssembly.
pub(crate) const MIN_MEMORY_BYTES: usize = 64 << 10;
/// The longest timeout of an invocation. Far longer ones do not fit into the system's clock.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_hours(24);

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
