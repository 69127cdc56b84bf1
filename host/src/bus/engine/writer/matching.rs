//! The subscriptions that match an event type.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::feed_state::FeedState;
use super::Writer;

/// The subscriptions that match an event type.
#[derive(Default)]
pub(super) struct MatchingSubscriptions {
    pub(super) all: Vec<Arc<FeedState>>,
    /// Whether the definition of one of them limits its backlog.
    pub(super) limited: bool,
}

/// The matches of event types that were seen recently.
pub(super) type MatchCache = HashMap<String, Arc<MatchingSubscriptions>>;

impl Writer {
    /// The subscriptions that match a type, without replays, which deliver past events.
    pub(super) fn matching_subscriptions(&mut self, event_type: &str) -> Arc<MatchingSubscriptions> {
        /// There are few types in practice. A flood of them must not fill the memory.
        const KNOWN_LIMIT: usize = 4_096;
        if let Some(matching) = self.matches.get(event_type) {
            return Arc::clone(matching);
        }
        if self.matches.len() >= KNOWN_LIMIT {
            self.matches.clear();
        }
        let mut matching = MatchingSubscriptions::default();
        for subscription in self.feeds.values().filter(|one| one.replay.is_none()) {
            let definition = Arc::clone(&subscription.window().definition);
            if definition.pattern.matches(event_type) {
                matching.limited |= definition.max_backlog.is_some();
                matching.all.push(Arc::clone(subscription));
            }
        }
        let matching = Arc::new(matching);
        self.matches.insert(event_type.to_owned(), Arc::clone(&matching));
        matching
    }
}
