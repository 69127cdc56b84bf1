//! Whether the store can be reached, how it fails, and how the bus is closed.

use tokio::sync::watch;

use crate::bus::{BoxFuture, Reachability, Settings};

/// The health of the engine, and its end.
pub trait Lifecycle {
    /// Whether the store can be reached, for readiness and metrics. It changes in both directions while the host
    /// runs, even if nobody uses the bus. A change may show up to one second late.
    fn reachable(&self) -> watch::Receiver<Reachability>;

    /// Replaces the limits and the retention, from the next change on. [`Settings::repeatable_ids`] and
    /// [`Settings::crash_point`] stay unchanged.
    fn set_limits(&self, settings: &Settings);

    /// A number that identifies this store. It never changes, and a copy of the store has the same number.
    fn store_id(&self) -> u64;

    /// Waits until the store fails for good, and returns the reason: the store is damaged, was written by a newer
    /// version, or went back to an earlier state, or its content is unknown. After that the bus acknowledges nothing,
    /// and the process must end. A temporary outage is not such a failure: see [`Lifecycle::reachable`].
    fn failed(&self) -> BoxFuture<'_, String>;

    /// Commits the changes that are queued, and closes the bus.
    fn close(&self) -> BoxFuture<'_, ()>;
}
