//! Whether the store can be reached, and the end.

use tokio::sync::watch;

use crate::bus::{BoxFuture, Reachability};

/// How the engine is, and how it ends.
pub trait Lifecycle {
    /// Whether the store can be reached, for readiness and metrics. It changes both ways while the host runs, also when
    /// nobody asks anything of the bus; a change may show up to a second late.
    fn reachable(&self) -> watch::Receiver<Reachability>;

    /// Waits for the store to fail for good, and returns why: it is damaged, written by a newer version, went back to an
    /// earlier state, or nobody knows what it holds. After that nothing is acknowledged any more, and the process must end.
    /// An outage that passes is not such a failure: see [`Lifecycle::reachable`].
    fn failed(&self) -> BoxFuture<'_, String>;

    /// Commits what waits, and ends.
    fn close(&self) -> BoxFuture<'_, ()>;
}
