//! The permits of a feed (a subscription or a replay) that a delivery holds.

use tokio::sync::OwnedSemaphorePermit;

/// The permits of a feed that one delivery holds. Dropping them releases them. A scenario makes one attempt at a time
/// and needs none.
#[derive(Debug, Default)]
pub(crate) struct FeedPermits {
    /// Held while the handler runs. A serial subscription holds it until the outcome is durable.
    running: Option<OwnedSemaphorePermit>,
    /// Held until the outcome is durable.
    _unsettled: Option<OwnedSemaphorePermit>,
}

impl FeedPermits {
    pub(super) fn new(running: OwnedSemaphorePermit, unsettled: OwnedSemaphorePermit) -> Self {
        Self { running: Some(running), _unsettled: Some(unsettled) }
    }

    /// The permits of a slice's second or later delivery. The slice itself holds the `running` permit.
    pub(super) fn unsettled(unsettled: OwnedSemaphorePermit) -> Self {
        Self { running: None, _unsettled: Some(unsettled) }
    }

    /// Moves the `running` permit to a slice.
    pub(super) fn take_running(&mut self) -> Option<OwnedSemaphorePermit> {
        self.running.take()
    }

    /// Lets another delivery run while this one waits for its commit.
    pub(super) fn release_running(&mut self) {
        self.running = None;
    }
}
