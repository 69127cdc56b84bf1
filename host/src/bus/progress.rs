//! How far one subscription has come, in memory: what is ready to be delivered, and what is claimed.
//!
//! The writer offers each event that it commits to the subscriptions that match it; while a subscription
//! keeps up, its deliveries come from memory. One that falls behind reads the log instead, from where the
//! offers stopped, until it has caught up. An idle subscription costs nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::event::{Logged, Position};
use crate::subscription::{Definition, SubscriptionId};

/// How many events wait in memory for a subscription; the rest waits in the log.
pub(super) const READY_LIMIT: usize = 256;

/// A subscription as the running bus knows it.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Its row in the store.
    pub(super) number: i64,
    pub(super) id: SubscriptionId,
    /// Whether it was made at run time.
    pub(super) dynamic: bool,
    progress: Mutex<Progress>,
    /// Wakes whoever waits for a delivery.
    pub(super) wake: Notify,
}

impl Subscription {
    pub(super) fn new(number: i64, id: SubscriptionId, dynamic: bool, progress: Progress) -> Arc<Self> {
        Arc::new(Self { number, id, dynamic, progress: Mutex::new(progress), wake: Notify::new() })
    }

    /// Locks the progress. Nobody panics while holding the lock, and so a poisoned one is as good.
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part that changes.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) definition: Arc<Definition>,
    /// Why nothing is delivered, if that is so.
    pub(super) paused: Option<String>,
    /// Set when the subscription is deleted: claims on it are void.
    pub(super) deleted: bool,
    /// The durable cursor.
    pub(super) cursor: Position,
    /// Every matching event up to here has been put into `ready`.
    pub(super) offered: Position,
    /// The last matching event that was not put into `ready`; past `offered`, the subscription is behind.
    pub(super) missed: Position,
    /// Events past the cursor that nobody has claimed yet, in order.
    pub(super) ready: VecDeque<Logged>,
    /// Deliveries with a row in the store that are due and unclaimed.
    pub(super) due: VecDeque<Pending>,
    /// When the next row in the store is due that is neither claimed nor in `due`.
    pub(super) next_due: Option<Timestamp>,
    /// Deliveries in flight.
    pub(super) claimed: BTreeMap<Position, Claimed>,
    /// How many deliveries are neither handled nor dead.
    pub(super) backlog: u64,
}

/// A delivery that has a row in the store.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) logged: Logged,
    /// Attempts made so far.
    pub(super) attempts: u32,
}

/// A delivery in flight.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) logged: Logged,
    /// Attempts made before this one.
    pub(super) attempts: u32,
    /// Whether it has a row in the store.
    pub(super) has_row: bool,
}

/// What to do to get a delivery.
pub(super) enum Step {
    /// Here it is.
    Deliver(Claimed),
    /// Read the store first.
    Read,
    /// Wait for a wake-up, or until a time if there is one.
    Wait(Option<Timestamp>),
}

impl Progress {
    pub(super) fn new(definition: Definition, cursor: Position, head: Position, backlog: u64) -> Self {
        Self {
            definition: Arc::new(definition),
            paused: None,
            deleted: false,
            cursor,
            offered: cursor,
            missed: head,
            ready: VecDeque::new(),
            due: VecDeque::new(),
            // Rows that an earlier run left are due at once or later: the first read finds out.
            next_due: Some(Timestamp(0)),
            claimed: BTreeMap::new(),
            backlog,
        }
    }

    /// Whether the log holds matching events that were not offered.
    pub(super) fn is_behind(&self) -> bool {
        self.missed > self.offered
    }

    /// Takes an event that was just committed.
    pub(super) fn offer(&mut self, logged: &Logged) {
        self.backlog += 1;
        if self.is_behind() || self.ready.len() >= READY_LIMIT {
            self.missed = logged.position;
        } else {
            self.ready.push_back(logged.clone());
            self.offered = logged.position;
        }
    }

    /// Takes events that were read from the log. They are all matching events after `offered`, up to
    /// `through`.
    pub(super) fn refill(&mut self, events: Vec<Logged>, through: Position) {
        self.ready.extend(events);
        self.offered = self.offered.max(through);
    }

    /// Takes the next delivery. Those that wait for another attempt and are due go before new ones,
    /// except that with an ordering key nothing goes before an earlier one is done.
    pub(super) fn step(&mut self, now: Timestamp) -> Step {
        if self.paused.is_some() || self.deleted {
            return Step::Wait(None);
        }
        let ordered = self.definition.ordering_key.is_some();
        if ordered && !self.claimed.is_empty() {
            return Step::Wait(None);
        }
        if let Some(pending) = self.due.pop_front() {
            return self.claim(Claimed { logged: pending.logged, attempts: pending.attempts, has_row: true });
        }
        if self.next_due.is_some_and(|due| due <= now) {
            return Step::Read;
        }
        if ordered && self.next_due.is_some() {
            return Step::Wait(self.next_due);
        }
        if let Some(logged) = self.ready.pop_front() {
            return self.claim(Claimed { logged, attempts: 0, has_row: false });
        }
        if self.is_behind() { Step::Read } else { Step::Wait(self.next_due) }
    }

    fn claim(&mut self, claimed: Claimed) -> Step {
        self.claimed.insert(claimed.logged.position, claimed.clone());
        Step::Deliver(claimed)
    }

    /// Gives a claim back, to be delivered again as the same attempt.
    pub(super) fn release(&mut self, position: Position) {
        let Some(claimed) = self.claimed.remove(&position) else { return };
        if claimed.has_row {
            self.due.push_front(Pending { logged: claimed.logged, attempts: claimed.attempts });
        } else {
            // Only what was claimed is taken out of `ready`, always from the front: order is restored by
            // going back in front of the first later one.
            let index = self.ready.partition_point(|logged| logged.position < position);
            self.ready.insert(index, claimed.logged);
        }
    }

    /// Where the cursor may go when first attempts at these positions are settled in one commit, and
    /// which deliveries before it are still in flight and need a row.
    pub(super) fn advance(&self, settled: &[Position]) -> Option<(Position, Vec<Position>)> {
        let cursor = settled.iter().copied().max()?.max(self.cursor);
        let open = self.claimed.range(..cursor).filter(|(_, claimed)| !claimed.has_row).map(|(position, _)| *position);
        // What was claimed and given back waits in `ready`, possibly before the cursor.
        let waiting = self.ready.iter().map(|logged| logged.position).take_while(|position| *position < cursor);
        let holes = open.chain(waiting).filter(|position| !settled.contains(position)).collect();
        Some((cursor, holes))
    }

    /// Notes what `advance` said, once it is durable.
    pub(super) fn advanced(&mut self, cursor: Position, holes: &[Position]) {
        self.cursor = cursor;
        for position in holes {
            if let Some(claimed) = self.claimed.get_mut(position) {
                claimed.has_row = true;
            } else if let Some(index) = self.ready.iter().position(|logged| logged.position == *position)
                && let Some(logged) = self.ready.remove(index)
            {
                self.due.push_back(Pending { logged, attempts: 0 });
            }
        }
    }

    /// Notes that a row is due at a time.
    pub(super) fn row_is_due(&mut self, due: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }
}
