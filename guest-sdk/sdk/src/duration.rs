//! Durations as the contract has them.

use std::time::Duration;

/// A duration in milliseconds.
pub(crate) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
