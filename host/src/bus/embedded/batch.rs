//! One group of changes on its way through a transaction: what happens once it is durable, and who is
//! answered.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::command::{Deferred, Reply};
use super::held::Changes;
use super::rows::Log;
use super::subscription::Subscription;
use crate::bus::window::{Hole, Key, Pause, Waiting};
use crate::bus::{CommitError, HeldBack, Settled, StoreError};
use crate::clock::Timestamp;
use crate::event::{Logged, Position};
use crate::subscription::Definition;

/// What happens after the commit, in this order.
pub(super) struct Batch {
    pub(super) now: Timestamp,
    /// By how much the clock was set back since the last commit, if it was.
    pub(super) set_back: Option<Duration>,
    /// The log as it will be.
    pub(super) log: Log,
    pub(super) types: Vec<(i64, String)>,
    /// How what is held besides the log, and for whom, will change.
    pub(super) held: Changes,
    /// Types of which there may be no events any more.
    pub(super) emptied: BTreeSet<i64>,
    /// Types that are forgotten.
    pub(super) forgotten: Vec<i64>,
    pub(super) added: Vec<Arc<Subscription>>,
    pub(super) redefined: Vec<(Arc<Subscription>, Definition)>,
    /// Subscriptions from which nothing is claimed until the batch has come to its end.
    pub(super) frozen: Vec<Arc<Subscription>>,
    /// Subscriptions that have asked for rows for what waits behind their ordering keys.
    pub(super) holding: Vec<Arc<Subscription>>,
    pub(super) pauses: Vec<(Arc<Subscription>, Pause)>,
    /// Endpoints that are held back, or no longer.
    pub(super) holds: Vec<(String, Option<HeldBack>)>,
    pub(super) deleted: Vec<Arc<Subscription>>,
    pub(super) drained: bool,
    /// Cursors that move, and the deliveries before them that got rows.
    pub(super) moves: Vec<CursorMove>,
    /// First attempts that are settled, by subscription.
    pub(super) fresh: HashMap<i64, (Arc<Subscription>, HashSet<Position>)>,
    pub(super) settled: Vec<(Arc<Subscription>, Position, Settled)>,
    /// The same, to be looked up.
    pub(super) is_settled: HashSet<(i64, Position)>,
    pub(super) redriven: Vec<Redriven>,
    /// Dead letters that are gone, with the sources of their events.
    pub(super) dropped: Vec<(Arc<Subscription>, Position, String)>,
    /// Keys behind whose dead letter nothing waits any more.
    pub(super) unparked: Vec<(Arc<Subscription>, Key)>,
    pub(super) expired: Vec<(Arc<Subscription>, Position, u64)>,
    pub(super) appended: Vec<Logged>,
    pub(super) rescheduled: bool,
    pub(super) replies: Vec<Deferred>,
}

/// A cursor's new place, and the deliveries before it that got a row.
pub(super) struct CursorMove {
    pub(super) subscription: Arc<Subscription>,
    pub(super) cursor: Position,
    pub(super) holes: Vec<Hole>,
}

/// A dead letter that is a delivery again.
pub(super) struct Redriven {
    pub(super) subscription: Arc<Subscription>,
    pub(super) position: Position,
    pub(super) key: Option<Key>,
    /// Whether it waits for the turn of its ordering key.
    pub(super) held: bool,
    /// The source of its event; none if it was a replay's.
    pub(super) source: Option<String>,
}

/// An error of one change, or one of the store that ends the batch.
pub(super) enum Refused {
    Change(CommitError),
    Store(StoreError),
}

impl From<CommitError> for Refused {
    fn from(error: CommitError) -> Self {
        Self::Change(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Batch {
    pub(super) fn new(now: Timestamp, log: Log) -> Self {
        Self {
            now,
            set_back: None,
            log,
            types: Vec::new(),
            held: Changes::default(),
            emptied: BTreeSet::new(),
            forgotten: Vec::new(),
            dropped: Vec::new(),
            added: Vec::new(),
            redefined: Vec::new(),
            frozen: Vec::new(),
            holding: Vec::new(),
            pauses: Vec::new(),
            holds: Vec::new(),
            deleted: Vec::new(),
            drained: false,
            moves: Vec::new(),
            fresh: HashMap::new(),
            settled: Vec::new(),
            is_settled: HashSet::new(),
            redriven: Vec::new(),
            unparked: Vec::new(),
            expired: Vec::new(),
            appended: Vec::new(),
            rescheduled: false,
            replies: Vec::new(),
        }
    }

    /// Whether a subscription is deleted in this batch: nothing may be written for it any more.
    pub(super) fn deletes(&self, subscription: &Subscription) -> bool {
        self.deleted.iter().any(|gone| gone.number == subscription.number)
    }

    /// Notes that a delivery is settled by its first attempt: the cursor has not passed it.
    pub(super) fn note_fresh(&mut self, subscription: &Arc<Subscription>, delivery: &Waiting) {
        if !delivery.has_row {
            let new = || (Arc::clone(subscription), HashSet::new());
            self.fresh.entry(subscription.number).or_insert_with(new).1.insert(delivery.logged.position);
        }
    }

    /// It is not settled after all.
    pub(super) fn forget_fresh(&mut self, subscription: &Subscription, position: Position) {
        if let Some((_, positions)) = self.fresh.get_mut(&subscription.number) {
            positions.remove(&position);
            if positions.is_empty() {
                self.fresh.remove(&subscription.number);
            }
        }
    }

    /// Lets nothing be claimed from a subscription until the batch has come to its end.
    pub(super) fn freeze(&mut self, subscription: &Arc<Subscription>) {
        subscription.progress().frozen = true;
        self.frozen.push(Arc::clone(subscription));
    }

    /// The batch has come to its end, one way or the other.
    pub(super) fn thaw(&mut self, is_committed: bool) {
        for subscription in self.frozen.drain(..) {
            subscription.progress().frozen = false;
            subscription.wake.notify_one();
        }
        for subscription in self.holding.drain(..) {
            subscription.progress().holding = false;
            // What came to nothing, on a full disk, is not to be asked for again at once.
            if is_committed {
                subscription.wake.notify_one();
            }
        }
    }

    pub(super) fn reply(self, commit: &Result<(), CommitError>) {
        for reply in self.replies {
            reply(commit.clone());
        }
    }
}

/// Applies a change and keeps its answer for after the commit.
pub(super) fn answer<T: Send + 'static>(
    batch: &mut Batch,
    reply: Reply<T>,
    apply: impl FnOnce(&mut Batch) -> Result<T, Refused>,
) -> Result<(), StoreError> {
    answer_then(batch, move |result| drop(reply.send(result)), apply)
}

/// The same for whoever wants to be told.
pub(super) fn answer_then<T: Send + 'static>(
    batch: &mut Batch,
    then: impl FnOnce(Result<T, CommitError>) + Send + 'static,
    apply: impl FnOnce(&mut Batch) -> Result<T, Refused>,
) -> Result<(), StoreError> {
    let (result, failure) = match apply(batch) {
        Ok(value) => (Ok(value), None),
        Err(Refused::Change(error)) => (Err(error), None),
        // The commit's own error is what is answered.
        Err(Refused::Store(error)) => (Err(CommitError::Closed(error.to_string())), Some(error)),
    };
    batch.replies.push(Box::new(move |commit| then(commit.and(result))));
    failure.map_or(Ok(()), Err)
}
