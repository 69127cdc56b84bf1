//! The wait for a store that another host uses.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How a host waits while another host has the lease on its store.
#[derive(Clone, Debug)]
pub struct LeaseWait {
    is_standby: bool,
    cancelled: CancellationToken,
    holder: watch::Sender<Option<String>>,
}

impl Default for LeaseWait {
    /// A wait for expiry that is not cancelled.
    fn default() -> Self {
        Self::for_expiry(CancellationToken::new())
    }
}

impl LeaseWait {
    /// A wait for the lease of a host that has died. It fails if that host proves to be alive.
    #[must_use]
    pub fn for_expiry(cancelled: CancellationToken) -> Self {
        Self { is_standby: false, cancelled, holder: watch::Sender::new(None) }
    }

    /// The wait of a standby. It lasts until the other host stops or dies, however long that takes.
    #[must_use]
    pub fn standby(cancelled: CancellationToken) -> Self {
        Self { is_standby: true, ..Self::for_expiry(cancelled) }
    }

    /// The host that has the lease, while a standby waits for it.
    #[must_use]
    pub fn holder(&self) -> watch::Receiver<Option<String>> {
        self.holder.subscribe()
    }

    pub(super) fn is_standby(&self) -> bool {
        self.is_standby
    }

    /// Cancels the wait.
    pub(super) fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Waits for this long, and returns whether the wait was cancelled. Blocks; must be called on a blocking thread of a
    /// tokio runtime.
    pub(super) fn is_cancelled_within(&self, time: Duration) -> bool {
        Handle::current().block_on(tokio::time::timeout(time, self.cancelled.cancelled())).is_ok()
    }

    /// Notes which host has the lease.
    pub(super) fn note_holder(&self, name: Option<&str>) {
        self.holder.send_if_modified(|holder| {
            let is_new = holder.as_deref() != name;
            if is_new {
                *holder = name.map(str::to_owned);
            }
            is_new
        });
    }
}
