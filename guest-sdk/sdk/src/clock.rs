//! The host's clock.

use std::time::SystemTime;

use crate::host;

/// Returns the current time.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + host::now()
}
