//! A subscription, or a replay of one, as the running bus knows it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::bus::window::Progress;
use crate::bus::{FeedId, ReplayOverview};
use crate::event::Position;
use crate::subscription::SubscriptionId;

/// A subscription, or a replay of one, as the running bus knows it.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Its row in the store.
    pub(super) number: i64,
    pub(super) id: SubscriptionId,
    /// Whether it was made at run time.
    pub(super) dynamic: bool,
    pub(super) replay: Option<ReplayOf>,
    progress: Mutex<Progress>,
    /// Claims whose outcome is handed over to be committed.
    committing: AtomicUsize,
    /// Wakes the task that waits for a delivery.
    pub(super) wake: Notify,
    /// Cancelled when it is deleted.
    pub(super) gone: CancellationToken,
}

/// One outcome on its way to being committed, counted until this is dropped.
#[derive(Debug)]
pub(super) struct Committing(Arc<Subscription>);

impl Drop for Committing {
    fn drop(&mut self) {
        self.0.committing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a replay replays.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayOf {
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
        replay: Option<ReplayOf>,
        progress: Progress,
    ) -> Arc<Self> {
        let (progress, committing, wake) = (Mutex::new(progress), AtomicUsize::new(0), Notify::new());
        let gone = CancellationToken::new();
        Arc::new(Self { number, id, dynamic, replay, progress, committing, wake, gone })
    }

    /// Counts an outcome that is handed over to be committed.
    pub(super) fn commits(self: &Arc<Self>) -> Committing {
        self.committing.fetch_add(1, Ordering::Relaxed);
        Committing(Arc::clone(self))
    }

    /// How many outcomes wait to be committed.
    pub(super) fn committing(&self) -> usize {
        self.committing.load(Ordering::Relaxed)
    }

    /// Locks the progress. Nobody panics while holding the lock, and so a poisoned one is as good.
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it replays, if it is a replay.
    pub(super) fn replay_overview(&self) -> Option<ReplayOverview> {
        let ReplayOf { until, per_second, .. } = self.replay?;
        Some(ReplayOverview { number: FeedId::new(self.number), until, per_second })
    }

    /// The subscription whose dead letters it fills: a replay's are its subscription's.
    pub(super) fn home(&self) -> i64 {
        self.replay.map_or(self.number, |replay| replay.subscription)
    }
}
