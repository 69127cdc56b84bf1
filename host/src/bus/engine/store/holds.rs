//! Holds of endpoints.

use std::time::Duration;

use crate::bus::{EndpointHold, StoreError};
use crate::clock::Timestamp;

/// Holds of endpoints.
pub(in crate::bus) trait HoldRows {
    fn holds(&self) -> Result<Vec<(String, EndpointHold)>, StoreError>;

    /// Begins a hold, and deletes those that have expired.
    fn put_hold(&self, endpoint: &str, hold: &EndpointHold, now: Timestamp) -> Result<(), StoreError>;

    fn delete_hold(&self, endpoint: &str) -> Result<(), StoreError>;

    /// Moves all holds after the clock was set back.
    fn shift_holds(&self, by: Duration) -> Result<(), StoreError>;
}
