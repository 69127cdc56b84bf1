//! One event for one subscription: claimed, and settled or given back.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{BoxFuture, CommitError, DeadLetterId, FeedId, Settlement};
use crate::clock::Timestamp;
use crate::event::{Event, IdSeed, LoggedEvent, Position};
use crate::subscription::{Definition, SubscriptionId};

/// What is delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event, at its place in the log.
    pub logged: LoggedEvent,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Whether the subscription was made at run time.
    pub is_dynamic: bool,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether the event is new to the subscription.
    pub kind: DeliveryKind,
    /// Where the ids of events come from that its handler publishes: the same at each attempt.
    pub ids: IdSeed,
}

/// Whether an event is new to its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryKind {
    /// It is, though perhaps not its first attempt.
    Live,
    /// It is part of a replay.
    Replay(FeedId),
    /// It was a dead letter of a replay, and was redriven. The replay may be over.
    RedrivenReplay(DeadLetterId),
}

impl DeliveryKind {
    /// Whether the subscription was to handle the event before.
    #[must_use]
    pub fn is_replay(self) -> bool {
        self != Self::Live
    }

    /// The replay that the delivery is part of.
    #[must_use]
    pub fn replay(self) -> Option<FeedId> {
        match self {
            Self::Replay(feed) => Some(feed),
            Self::Live | Self::RedrivenReplay(_) => None,
        }
    }
}

impl Delivery {
    /// The event.
    #[must_use]
    pub fn event(&self) -> &Arc<Event> {
        &self.logged.event
    }
}

/// A delivery in flight. Dropped without being settled, it is delivered again as the same attempt.
#[derive(Debug)]
pub struct Claim {
    delivery: Arc<Delivery>,
    open: Box<dyn ClaimHandle>,
}

/// Called with the claim and the result once the settlement is committed or refused.
pub type OnSettled = Box<dyn FnOnce(Claim, Result<DeliveryStatus, CommitError>) + Send>;
/// The same, on an implementation's side.
pub type OnHandleSettled = Box<dyn FnOnce(Box<dyn ClaimHandle>, Result<DeliveryStatus, CommitError>) + Send>;

/// An implementation's side of a claim. Dropped without being settled, it gives the delivery back.
pub trait ClaimHandle: Debug + Send + Sync {
    /// Commits a settlement.
    ///
    /// # Errors
    /// As [`Claim::settle`].
    fn settle(&mut self, settlement: Settlement) -> BoxFuture<'_, Result<DeliveryStatus, CommitError>>;

    /// Hands a settlement over to be committed. An engine that has no queue of its own for that uses [`settle_in_task`].
    fn settle_then(self: Box<Self>, settlement: Settlement, then: OnHandleSettled);

    /// As [`Claim::lost`].
    fn lost(&self) -> BoxFuture<'_, ()>;
}

/// Settles a claim in a task and calls `then` there: [`ClaimHandle::settle_then`] for engines whose commits are asynchronous.
pub fn settle_in_task(runtime: &Handle, mut open: Box<dyn ClaimHandle>, settlement: Settlement, then: OnHandleSettled) {
    runtime.spawn(async move {
        let settled = open.settle(settlement).await;
        then(open, settled);
    });
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is handled.
    Handled,
    /// It is tried again at a time.
    Waiting(Timestamp),
    /// It is a dead letter.
    Dead,
}

impl Claim {
    /// A claim, with what settles it.
    #[must_use]
    pub fn new(delivery: Delivery, open: Box<dyn ClaimHandle>) -> Self {
        Self { delivery: Arc::new(delivery), open }
    }

    /// What is delivered.
    #[must_use]
    pub fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Arc<Event> {
        &self.delivery.logged.event
    }

    /// Commits the outcome, and with an ack the effects of the plugin that handled it, in one transaction.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if the invocation must run again; [`CommitError::NotOpen`] if it was
    /// settled before, or the claim is lost; otherwise if the store refuses. After any but `NotOpen` the claim is still
    /// open, except that one in doubt must be dropped ([`CommitError::InDoubt`]).
    pub async fn settle(&mut self, settlement: Settlement) -> Result<DeliveryStatus, CommitError> {
        self.open.settle(settlement).await
    }

    /// Waits until the claim is lost: its subscription or replay was deleted, or another host took over because this one
    /// was cut off. Its outcome would be refused, and so its handler may be ended. Forever, if that does not happen.
    pub async fn lost(&self) {
        self.open.lost().await;
    }

    /// Hands the outcome over to be committed, from a thread that may block while the queue is full. `then` is called on
    /// a thread of the bus, and must return soon; errors are those of [`Claim::settle`].
    pub fn settle_then(self, settlement: Settlement, then: OnSettled) {
        let Self { delivery, open } = self;
        open.settle_then(settlement, Box::new(move |open, settled| then(Self { delivery, open }, settled)));
    }
}

/// What a subscription looks like from outside.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The moment that the rest is of. With several hosts it may be a second ago.
    pub as_of: Timestamp,
    /// Its identity.
    pub id: SubscriptionId,
    /// Whether it was made at run time.
    pub dynamic: bool,
    /// Its rules.
    pub definition: Arc<Definition>,
    /// Why nothing is delivered, if an operator, a swap or its endpoint stopped it.
    pub paused: Option<String>,
    /// Why nothing is sent to its endpoint for a while, and until when.
    pub endpoint_hold: Option<EndpointHold>,
    /// The position up to which everything is handled, or waits for another attempt.
    pub cursor: Position,
    /// How many deliveries are neither handled nor dead.
    pub backlog: u64,
    /// How many run, or wait for a thread to run on.
    pub in_flight: usize,
    /// How many have run and wait for their outcome to be committed.
    pub committing: usize,
    /// How many ordering keys wait behind a dead letter.
    pub parked_keys: usize,
    /// How many events were deleted by the retention's rules before they were handled, since the start.
    pub expired: u64,
    /// When the next delivery that waits for another attempt is due.
    pub next_due: Option<Timestamp>,
    /// What is replayed, if this is a replay.
    pub replay: Option<ReplayOverview>,
}

/// An endpoint that wants no requests for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHold {
    /// Until when nothing is sent to it.
    pub until: Timestamp,
    /// What it said.
    pub reason: String,
}

/// What a replay looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ReplayOverview {
    /// Its feed.
    pub number: FeedId,
    /// The last position that it delivers.
    pub until: Position,
    /// How many deliveries it makes in a second at most.
    pub per_second: Option<std::num::NonZeroU32>,
}

impl Overview {
    /// The plugin that must be there for deliveries to be made, if one must.
    #[must_use]
    pub fn handler(&self) -> Option<&str> {
        match &self.definition.target {
            crate::subscription::Target::Plugin(name) => Some(name),
            crate::subscription::Target::Webhook(_) if self.id.owner == crate::subscription::OPERATOR => None,
            crate::subscription::Target::Webhook(_) => Some(&self.id.owner),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bus::AttemptRecord;
    use crate::bus::conformance::event;
    use crate::retry::Verdict;

    /// A claim of an engine whose commits are asynchronous.
    #[derive(Debug)]
    struct Asynchronous(Handle);

    impl ClaimHandle for Asynchronous {
        fn settle(&mut self, _: Settlement) -> BoxFuture<'_, Result<DeliveryStatus, CommitError>> {
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(DeliveryStatus::Handled)
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
        let (kind, ids) = (DeliveryKind::Live, IdSeed::unique());
        let delivery = Delivery { logged, subscription, is_dynamic: false, attempt: 1, kind, ids };
        let claim = Claim::new(delivery, Box::new(Asynchronous(Handle::current())));
        let (delivery, took) = (Arc::clone(claim.delivery()), Duration::ZERO);
        let record = AttemptRecord { delivery, verdict: Verdict::Ack, digest: None, took };
        let (sender, settled) = tokio::sync::oneshot::channel();
        let then = Box::new(move |claim: Claim, settled| {
            assert!(sender.send((claim.event().id.clone(), settled)).is_ok());
        });
        let thread = std::thread::spawn(move || claim.settle_then(Settlement { record, effects: None }, then));
        assert_eq!(settled.await.unwrap(), ("1".to_owned(), Ok(DeliveryStatus::Handled)));
        thread.join().unwrap();
    }
}
