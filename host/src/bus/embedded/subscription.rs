//! The state of a subscription, or of a replay, while the bus runs.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::bus::window::Window;
use crate::bus::{EventFilter, FeedId, ReplayOverview};
use crate::event::Position;
use crate::subscription::SubscriptionId;

/// A subscription, or a replay of one.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The number of its row in the store.
    pub(super) number: i64,
    pub(super) id: SubscriptionId,
    /// Whether it was created at run time.
    pub(super) dynamic: bool,
    pub(super) replay: Option<ReplayRange>,
    /// The events that a replay delivers, if not all that its subscription selects.
    pub(super) only: Option<EventFilter>,
    window: Mutex<Window>,
    /// The number of claims whose settlement was submitted.
    committing: AtomicUsize,
    /// Wakes the task that waits for a delivery.
    pub(super) wake: Notify,
    /// Cancelled when the subscription is deleted.
    pub(super) deletion: CancellationToken,
}

/// Counts a settlement that was submitted, until it is dropped.
#[derive(Debug)]
pub(super) struct CommitGuard(Arc<Subscription>);

impl Drop for CommitGuard {
    fn drop(&mut self) {
        self.0.committing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The subscription and the range of a replay.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayRange {
    /// The subscription's number.
    pub(super) subscription: i64,
    /// The last position.
    pub(super) until: Position,
    pub(super) per_second: Option<NonZeroU32>,
}

impl Subscription {
    pub(super) fn new(
        number: i64,
        id: SubscriptionId,
        dynamic: bool,
        replay: Option<(ReplayRange, Option<EventFilter>)>,
        window: Window,
    ) -> Arc<Self> {
        let (window, committing, wake) = (Mutex::new(window), AtomicUsize::new(0), Notify::new());
        let deletion = CancellationToken::new();
        let (replay, only) = replay.map_or((None, None), |(range, only)| (Some(range), only));
        Arc::new(Self { number, id, dynamic, replay, only, window, committing, wake, deletion })
    }

    /// Counts a settlement that is submitted.
    pub(super) fn begin_commit(self: &Arc<Self>) -> CommitGuard {
        self.committing.fetch_add(1, Ordering::Relaxed);
        CommitGuard(Arc::clone(self))
    }

    /// The number of settlements that wait for their commit.
    pub(super) fn committing(&self) -> usize {
        self.committing.load(Ordering::Relaxed)
    }

    /// Locks the window. Nothing panics while the lock is held, so a poisoned lock is usable.
    pub(super) fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The range and the rate, if this is a replay.
    pub(super) fn replay_overview(&self) -> Option<ReplayOverview> {
        let ReplayRange { until, per_second, .. } = self.replay?;
        Some(ReplayOverview { number: FeedId::new(self.number), until, per_second })
    }

    /// The number of the subscription that dead letters belong to. Those of a replay belong to its subscription.
    pub(super) fn dead_letter_owner(&self) -> i64 {
        self.replay.map_or(self.number, |replay| replay.subscription)
    }
}
