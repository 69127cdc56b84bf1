//! A claimed delivery, which is settled or given back.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{BoxFuture, CommitError, Delivery, SettledStatus, Settlement};
use crate::event::Event;

/// A delivery in flight. If it is dropped without being settled, its event is delivered again as the same attempt.
#[derive(Debug)]
pub struct Claim {
    delivery: Arc<Delivery>,
    handle: Box<dyn ClaimHandle>,
}

/// Called with the claim and the result once a settlement is committed or refused.
pub type OnSettled = Box<dyn FnOnce(Claim, Result<SettledStatus, CommitError>) + Send>;
/// Called with the engine's handle and the result once a settlement is committed or refused.
pub type OnHandleSettled = Box<dyn FnOnce(Box<dyn ClaimHandle>, Result<SettledStatus, CommitError>) + Send>;

/// The engine's side of a claim. If it is dropped without being settled, it gives the delivery back.
pub trait ClaimHandle: Debug + Send + Sync {
    /// Commits a settlement.
    ///
    /// # Errors
    /// See [`Claim::settle`].
    fn settle(&mut self, settlement: Settlement) -> BoxFuture<'_, Result<SettledStatus, CommitError>>;

    /// Submits a settlement without waiting for its commit. An engine without a commit queue can use
    /// [`settle_in_task`].
    fn settle_then(self: Box<Self>, settlement: Settlement, then: OnHandleSettled);

    /// See [`Claim::lost`].
    fn lost(&self) -> BoxFuture<'_, ()>;
}

/// Settles a claim in a task and then calls `then`: an implementation of [`ClaimHandle::settle_then`] for engines
/// without a commit queue.
pub fn settle_in_task(
    runtime: &Handle,
    mut handle: Box<dyn ClaimHandle>,
    settlement: Settlement,
    then: OnHandleSettled,
) {
    runtime.spawn(async move {
        let settled = handle.settle(settlement).await;
        then(handle, settled);
    });
}

impl Claim {
    /// A claim of a delivery, with the engine's handle.
    #[must_use]
    pub fn new(delivery: Delivery, handle: Box<dyn ClaimHandle>) -> Self {
        Self { delivery: Arc::new(delivery), handle }
    }

    /// A claim of a delivery that is shared, with the engine's handle.
    #[must_use]
    pub(in crate::bus) fn shared(delivery: Arc<Delivery>, handle: Box<dyn ClaimHandle>) -> Self {
        Self { delivery, handle }
    }

    /// The delivery.
    #[must_use]
    pub fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Arc<Event> {
        &self.delivery.logged.event
    }

    /// Commits an attempt: with an ack, also the effects of the plugin that handled it, in one transaction.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if the handler must run again; [`CommitError::NotClaimed`] if the delivery was settled
    /// before or the claim is lost; otherwise if the store refuses. After any error but `NotClaimed` the delivery is
    /// still in flight. After [`CommitError::InDoubt`] the claim must be dropped.
    pub async fn settle(&mut self, settlement: Settlement) -> Result<SettledStatus, CommitError> {
        self.handle.settle(settlement).await
    }

    /// Waits until the claim is lost: its subscription or replay was deleted, or another host took over because this
    /// one was disconnected. If that never happens, it waits forever.
    ///
    /// The settlement of a lost claim is refused with [`CommitError::NotClaimed`], and the dispatcher discards the
    /// outcome. It stops waiting for a handler whose claim is lost. A slice, which runs several deliveries on one
    /// thread, completes the current one and learns at its settlement that the claim is lost.
    pub async fn lost(&self) {
        self.handle.lost().await;
    }

    /// Submits a settlement from a thread that may block while the commit queue is full. `then` is called on a thread
    /// of the bus and must return soon. For its errors see [`Claim::settle`].
    pub fn settle_then(self, settlement: Settlement, then: OnSettled) {
        let Self { delivery, handle } = self;
        handle.settle_then(settlement, Box::new(move |handle, settled| then(Self { delivery, handle }, settled)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bus::conformance::event;
    use crate::bus::{AttemptRecord, DeliveryKind};
    use crate::clock::Timestamp;
    use crate::event::{IdSeed, LoggedEvent, Position};
    use crate::retry::Verdict;
    use crate::usage::Usage;

    /// A claim of an engine with asynchronous commits.
    #[derive(Debug)]
    struct Asynchronous(Handle);

    impl ClaimHandle for Asynchronous {
        fn settle(&mut self, _: Settlement) -> BoxFuture<'_, Result<SettledStatus, CommitError>> {
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(SettledStatus::Handled)
            })
        }

        fn settle_then(self: Box<Self>, settlement: Settlement, then: OnHandleSettled) {
            let runtime = self.0.clone();
            settle_in_task(&runtime, self, settlement, then);
        }

        fn lost(&self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_claim_is_settled_in_a_task_from_a_thread_outside_of_the_runtime() {
        let logged = LoggedEvent { position: Position(1), stored_at: Timestamp(0), event: Arc::new(event("1")) };
        let subscription = crate::bus::conformance::id("s");
        let (kind, ids) = (DeliveryKind::Regular, IdSeed::unique());
        let delivery = Delivery { logged, subscription, is_dynamic: false, attempt: 1, kind, redriven_at: None, ids };
        let claim = Claim::new(delivery, Box::new(Asynchronous(Handle::current())));
        let (delivery, took) = (Arc::clone(claim.delivery()), Duration::ZERO);
        let record = AttemptRecord { delivery, verdict: Verdict::Ack, digest: None, took, usage: Usage::default() };
        let (sender, settled) = tokio::sync::oneshot::channel();
        let then = Box::new(move |claim: Claim, settled| {
            assert!(sender.send((claim.event().id.clone(), settled)).is_ok());
        });
        let thread = std::thread::spawn(move || claim.settle_then(Settlement { record, effects: None }, then));
        assert_eq!(settled.await.unwrap(), ("1".to_owned(), Ok(SettledStatus::Handled)));
        thread.join().unwrap();
    }
}
