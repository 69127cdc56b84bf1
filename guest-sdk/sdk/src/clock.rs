//! The time, from the host.

use std::time::{Duration, SystemTime};

use crate::host;

/// The time now.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + host::now()
}

/// A length of time, as the contract has it.
pub(crate) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
