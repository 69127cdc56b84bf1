//! The state that the writer and the readers share.

use arc_swap::ArcSwap;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify, watch};

use super::readers::Readers;
use super::sequences::Sequences;
use super::state_changes::StateChangeLog;
use super::subscription::Subscription;
use crate::bus::endpoint_holds::EndpointHolds;
use crate::bus::reply_waiters::ReplyWaiters;
use crate::bus::{Catalogue, FeedEntry, FeedId, Reachability, Settings, StoreError, StoreErrorKind};
use crate::clock::{Clock, Timestamp};
use crate::event::{IdKey, Position};
use crate::pattern::Pattern;

/// The state that the writer and the readers share.
#[derive(Debug)]
pub(super) struct EngineState {
    pub(super) clock: Clock,
    pub(super) settings: ArcSwap<Settings>,
    pub(super) readers: Arc<Readers>,
    pub(super) subscriptions: RwLock<Arc<Vec<Arc<Subscription>>>>,
    /// The subscriptions by number.
    pub(super) by_number: RwLock<HashMap<i64, Arc<Subscription>>>,
    pub(super) catalogue: watch::Sender<Arc<Catalogue>>,
    pub(super) types: RwLock<Types>,
    pub(super) reply_waiters: ReplyWaiters,
    /// The key from which ids of published events are derived.
    pub(super) ids: IdKey,
    /// Derived from the store's secret, and does not reveal it.
    pub(super) store_id: u64,
    pub(super) state_changes: Arc<StateChangeLog>,
    pub(super) holds: EndpointHolds,
    pub(super) sequences: Sequences,
    /// Every event up to this position is durable and has been offered.
    pub(super) head: AtomicU64,
    pub(super) next_scheduled: watch::Sender<Option<Timestamp>>,
    /// Notified after a commit: the write-ahead log may have grown.
    pub(super) committed: Notify,
    pub(super) failure: watch::Sender<Option<String>>,
    pub(super) reachable: watch::Sender<Reachability>,
    /// The store's file, for syncing it apart from SQLite. It must be dropped last: closing a file releases all of
    /// the process's locks on it (`fcntl_locking(2)`), including SQLite's.
    pub(super) store: File,
}

/// The event types and their numbers in the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Types {
    pub(super) numbers: HashMap<String, i64>,
}

impl Types {
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.numbers.get(name).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.numbers.keys().map(|name| name.len() as u64).sum()
    }

    /// A number greater than all that are in use.
    pub(super) fn next(&self) -> i64 {
        self.numbers.values().max().map_or(1, |last| last + 1)
    }

    pub(super) fn matching(&self, pattern: &Pattern) -> Vec<i64> {
        match pattern.exact() {
            Some(name) => self.number(name).into_iter().collect(),
            None => self.numbers.iter().filter(|(name, _)| pattern.matches(name)).map(|(_, number)| *number).collect(),
        }
    }
}

impl EngineState {
    pub(super) fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    /// The subscriptions and replays, ordered by identity.
    pub(super) fn subscriptions(&self) -> Arc<Vec<Arc<Subscription>>> {
        Arc::clone(&self.subscriptions.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn find(&self, feed: FeedId) -> Option<Arc<Subscription>> {
        self.by_number.read().unwrap_or_else(PoisonError::into_inner).get(&feed.number()).cloned()
    }

    pub(super) fn set_subscriptions(&self, all: impl Iterator<Item = Arc<Subscription>>) {
        let all = Arc::new(sorted(all));
        let by_number = all.iter().map(|one| (one.number, Arc::clone(one))).collect();
        *self.by_number.write().unwrap_or_else(PoisonError::into_inner) = by_number;
        *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&all);
        self.catalogue.send_modify(|catalogue| {
            let feeds = entries(&all, &catalogue.feeds);
            *catalogue = Arc::new(Catalogue { feeds, drained: catalogue.drained.clone() });
        });
    }

    pub(super) fn set_drained(&self, drained: BTreeSet<String>) {
        self.catalogue.send_modify(|catalogue| {
            *catalogue = Arc::new(Catalogue { feeds: catalogue.feeds.clone(), drained });
        });
    }

    pub(super) fn types(&self) -> std::sync::RwLockReadGuard<'_, Types> {
        self.types.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_types(&self, new: Vec<(i64, String)>) {
        if !new.is_empty() {
            let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
            types.numbers.extend(new.into_iter().map(|(number, name)| (name, number)));
        }
    }

    /// Removes types by their numbers, which are sorted.
    pub(super) fn forget_types(&self, forgotten: &[i64]) {
        if !forgotten.is_empty() {
            let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
            types.numbers.retain(|_, number| forgotten.binary_search(number).is_err());
            if types.numbers.len() < types.numbers.capacity() / 4 {
                types.numbers.shrink_to_fit();
            }
        }
    }

    /// Notes that the store cannot be reached, until [`probe`](super::background::probe) reaches it.
    pub(super) fn note_outage(&self, error: &StoreError) {
        if error.kind() == StoreErrorKind::Unavailable {
            let reason = error.to_string();
            self.reachable.send_if_modified(|reachable| {
                let is_new = *reachable == Reachability::Reachable;
                if is_new {
                    tracing::warn!(
                        reason,
                        "the store cannot be reached; changes are refused until it is reachable again"
                    );
                    *reachable = Reachability::Unreachable { reason };
                }
                is_new
            });
        }
    }

    /// Notes that the store can be reached again.
    pub(super) fn note_recovery(&self) {
        tracing::info!("the store can be reached again");
        self.reachable.send_replace(Reachability::Reachable);
    }

    pub(super) fn is_reachable(&self) -> bool {
        *self.reachable.borrow() == Reachability::Reachable
    }

    /// Notes a failure of the store. The first one is reported.
    pub(super) fn fail(&self, reason: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(reason);
            }
            first
        });
    }
}

fn sorted(all: impl Iterator<Item = Arc<Subscription>>) -> Vec<Arc<Subscription>> {
    let mut all: Vec<_> = all.collect();
    all.sort_by(|one, other| one.id.cmp(&other.id).then(one.number.cmp(&other.number)));
    all
}

/// The catalogue's entries of all subscriptions. Unchanged entries are reused, so that a change of one subscription
/// is cheap even if there are thousands.
fn entries(all: &[Arc<Subscription>], former: &[Arc<FeedEntry>]) -> Vec<Arc<FeedEntry>> {
    let former: HashMap<_, _> = former.iter().map(|entry| (entry.feed.number(), entry)).collect();
    let entry = |one: &Arc<Subscription>| {
        let definition = Arc::clone(&one.window().definition);
        match former.get(&one.number) {
            Some(entry) if Arc::ptr_eq(&entry.definition, &definition) => Arc::clone(entry),
            _ => Arc::new(FeedEntry {
                feed: FeedId::new(one.number),
                id: one.id.clone(),
                dynamic: one.dynamic,
                definition,
                replay: one.replay_overview(),
            }),
        }
    };
    all.iter().map(entry).collect()
}
