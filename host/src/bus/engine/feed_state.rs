//! The state of a feed while the bus runs.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::bus::window::Window;
use crate::bus::{EventFilter, FeedId, ReplayOverview};
use crate::event::Position;
use crate::subscription::SubscriptionId;

/// The state of a feed: a subscription, or a replay of one.
#[derive(Debug)]
pub(in crate::bus) struct FeedState {
    /// The number of its row in the store.
    pub(super) number: i64,
    pub(super) id: SubscriptionId,
    /// Whether it was created at run time.
    pub(super) dynamic: bool,
    pub(super) replay: Option<ReplayRange>,
    /// The events that a replay delivers, if not all that its subscription selects.
    pub(super) replay_filter: Option<EventFilter>,
    window: Mutex<Window>,
    /// The number of claims whose settlement was submitted.
    committing: AtomicUsize,
    /// Wakes the task that waits for a delivery.
    pub(super) wake: Notify,
    /// Cancelled when the subscription is deleted, or the replay ends.
    pub(super) deletion: CancellationToken,
}

/// Counts a settlement that was submitted, until this guard is dropped.
#[derive(Debug)]
pub(super) struct SubmittedGuard(Arc<FeedState>);

impl Drop for SubmittedGuard {
    fn drop(&mut self) {
        self.0.committing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The subscription and the range of a replay.
#[derive(Clone, Copy, Debug)]
pub(in crate::bus) struct ReplayRange {
    /// The subscription's number.
    pub(in crate::bus) subscription: i64,
    /// The last position.
    pub(in crate::bus) until: Position,
    pub(in crate::bus) per_second: Option<NonZeroU32>,
}

impl FeedState {
    pub(super) fn new(
        number: i64,
        id: SubscriptionId,
        dynamic: bool,
        replay: Option<(ReplayRange, Option<EventFilter>)>,
        window: Window,
    ) -> Arc<Self> {
        let (window, committing, wake) = (Mutex::new(window), AtomicUsize::new(0), Notify::new());
        let deletion = CancellationToken::new();
        let (replay, replay_filter) = replay.map_or((None, None), |(range, filter)| (Some(range), filter));
        Arc::new(Self { number, id, dynamic, replay, replay_filter, window, committing, wake, deletion })
    }

    /// Counts a settlement that was submitted, until the returned value is dropped.
    pub(super) fn note_submitted(self: &Arc<Self>) -> SubmittedGuard {
        self.committing.fetch_add(1, Ordering::Relaxed);
        SubmittedGuard(Arc::clone(self))
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
        Some(ReplayOverview { feed: FeedId::new(self.number), until, per_second })
    }

    /// The number of the subscription that dead letters belong to. Those of a replay belong to its subscription.
    pub(super) fn dead_letter_owner(&self) -> i64 {
        self.replay.map_or(self.number, |replay| replay.subscription)
    }
}
