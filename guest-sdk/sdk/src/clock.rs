//! The host's clock.

use std::time::{Duration, SystemTime};

use crate::host;

/// Returns the current time.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + host::now()
}

/// A duration in milliseconds, as the contract has it.
pub(crate) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
