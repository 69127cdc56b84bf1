//! The state that the writer and the readers share.

use arc_swap::ArcSwap;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify, watch};

use super::feed_state::FeedState;
use super::sequences::Sequences;
use super::state_changes::StateChangeLog;
use super::store::Readers;
use crate::bus::endpoint_holds::EndpointHolds;
use crate::bus::reply_waiters::ReplyWaiters;
use crate::bus::{Catalogue, FeedEntry, FeedId, Reachability, Settings, StoreError, StoreErrorKind};
use crate::clock::{Clock, Timestamp};
use crate::event::{IdKey, Position};
use crate::pattern::Pattern;

/// The state that the writer and the readers share.
#[derive(Debug)]
pub(in crate::bus) struct EngineState {
    pub(super) clock: Clock,
    pub(super) settings: ArcSwap<Settings>,
    pub(super) readers: Arc<dyn Readers>,
    /// The feeds, ordered by the identities of their subscriptions.
    pub(super) feeds: RwLock<Arc<Vec<Arc<FeedState>>>>,
    /// The feeds by number.
    pub(super) by_number: RwLock<HashMap<i64, Arc<FeedState>>>,
    pub(super) catalogue: watch::Sender<Arc<Catalogue>>,
    pub(super) types: RwLock<Types>,
    pub(super) reply_waiters: ReplyWaiters,
    /// The key from which ids of published events are derived.
    pub(in crate::bus) ids: IdKey,
    /// Derived from the store's secret, and does not reveal it.
    pub(super) store_id: u64,
    pub(super) state_changes: Arc<StateChangeLog>,
    pub(super) holds: EndpointHolds,
    pub(super) sequences: Sequences,
    /// Every event up to this position is durable and has been offered.
    pub(super) head: AtomicU64,
    pub(super) next_scheduled: watch::Sender<Option<Timestamp>>,
    /// Notified after a commit, for the maintenance of the store.
    pub(in crate::bus) committed: Notify,
    pub(super) failure: watch::Sender<Option<String>>,
    pub(super) reachable: watch::Sender<Reachability>,
    /// Whether other hosts also claim deliveries. Then the engine enforces the limits on concurrency.
    pub(super) is_shared: AtomicBool,
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
    /// Whether other hosts also claim deliveries.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    pub(super) fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    /// The feeds, ordered by the identities of their subscriptions.
    pub(in crate::bus) fn feeds(&self) -> Arc<Vec<Arc<FeedState>>> {
        Arc::clone(&self.feeds.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn find(&self, feed: FeedId) -> Option<Arc<FeedState>> {
        self.by_number.read().unwrap_or_else(PoisonError::into_inner).get(&feed.number()).cloned()
    }

    pub(super) fn set_feeds(&self, all: impl Iterator<Item = Arc<FeedState>>) {
        let all = Arc::new(sorted(all));
        let by_number = all.iter().map(|one| (one.number, Arc::clone(one))).collect();
        *self.by_number.write().unwrap_or_else(PoisonError::into_inner) = by_number;
        *self.feeds.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&all);
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

    /// If the error means that the store cannot be reached, notes this until [`probe`](super::background::probe)
    /// reaches it.
    pub(in crate::bus) fn note_outage(&self, error: &StoreError) {
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
    pub(in crate::bus) fn fail(&self, reason: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(reason);
            }
            first
        });
    }
}

fn sorted(all: impl Iterator<Item = Arc<FeedState>>) -> Vec<Arc<FeedState>> {
    let mut all: Vec<_> = all.collect();
    all.sort_by(|one, other| one.id.cmp(&other.id).then(one.number.cmp(&other.number)));
    all
}

/// The catalogue's entries of all subscriptions. Unchanged entries are reused, so that a change of one subscription
/// is cheap even if there are thousands.
fn entries(all: &[Arc<FeedState>], former: &[Arc<FeedEntry>]) -> Vec<Arc<FeedEntry>> {
    let former: HashMap<_, _> = former.iter().map(|entry| (entry.feed.number(), entry)).collect();
    let entry = |one: &Arc<FeedState>| {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// `Types::matching` finds the same types as the pattern itself, even where it only looks up one name.
        #[test]
        fn types_are_found_by_patterns_as_these_match_them(
            names in proptest::collection::btree_set(r"[ab*>. \u{e4}]{1,5}", 1..20),
            words in proptest::collection::vec(prop_oneof![Just("*"), Just("a"), Just("b"), Just("ab"), Just("\u{e4}")], 1..3),
            open in any::<bool>(),
        ) {
            let pattern = words.join(".") + if open { ".>" } else { "" };
            let numbers = names.iter().cloned().zip(1..).collect();
            let types = Types { numbers };
            for pattern in [pattern.as_str(), ">", "*", "a.>"].map(|text| Pattern::parse(text).unwrap()) {
                let mut found = types.matching(&pattern);
                found.sort_unstable();
                let taken = names.iter().zip(1..).filter(|(name, _)| pattern.matches(name)).map(|(_, number)| number);
                prop_assert_eq!(found, taken.collect::<Vec<i64>>(), "{}", pattern);
            }
        }
    }
}
