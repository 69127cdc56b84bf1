//! The time, from the host.

use std::time::SystemTime;

use crate::host;

/// The time now.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + host::now()
}
