//! Which subscriptions take an event type.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::subscription::Subscription;
use super::Writer;

/// The subscriptions whose patterns take an event type.
#[derive(Default)]
pub(super) struct Takers {
    pub(super) all: Vec<Arc<Subscription>>,
    /// Whether publishers must heed the backlog of one of them.
    pub(super) limited: bool,
}

/// What is known for the types seen lately.
pub(super) type KnownTakers = HashMap<String, Arc<Takers>>;

impl Writer {
    /// The subscriptions that take a type. Replays are no part of it: they deliver what was.
    pub(super) fn takers_of(&mut self, event_type: &str) -> Arc<Takers> {
        /// Types are few in practice; a flood of them must not fill the memory.
        const KNOWN_LIMIT: usize = 4_096;
        if let Some(takers) = self.takers.get(event_type) {
            return Arc::clone(takers);
        }
        if self.takers.len() >= KNOWN_LIMIT {
            self.takers.clear();
        }
        let mut takers = Takers::default();
        for subscription in self.subscriptions.values().filter(|one| one.replay.is_none()) {
            let definition = Arc::clone(&subscription.progress().definition);
            if definition.pattern.matches(event_type) {
                takers.limited |= definition.max_backlog.or(self.shared.settings.max_backlog).is_some();
                takers.all.push(Arc::clone(subscription));
            }
        }
        let takers = Arc::new(takers);
        self.takers.insert(event_type.to_owned(), Arc::clone(&takers));
        takers
    }
}
