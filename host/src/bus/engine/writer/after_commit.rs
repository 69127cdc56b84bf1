//! Changes take effect in two steps. First, a method of the writer makes the change in the transaction and records it
//! in the `Changes` of its module. After the commit, `AfterCommit::apply` of these `Changes` makes it visible in
//! memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::feed_state::FeedState;
use super::Writer;
use crate::clock::Timestamp;
use crate::event::Position;

/// The changes of one kind in one batch.
pub(super) trait AfterCommit: Default {
    /// Makes the changes, which are durable now, visible in memory.
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext);
}

/// The commit whose changes are being made visible.
pub(super) struct AfterCommitContext {
    /// The time of the commit.
    pub(super) now: Timestamp,
    /// The head of the log before the commit. Later events have not been offered.
    pub(super) head_before: Position,
    /// The subscriptions to wake at the end, once each.
    woken: HashMap<i64, Arc<FeedState>>,
}

impl AfterCommitContext {
    pub(super) fn new(now: Timestamp, head_before: Position) -> Self {
        Self { now, head_before, woken: HashMap::new() }
    }

    /// Wakes the task that waits for a subscription's deliveries, once all changes are visible.
    pub(super) fn wake(&mut self, subscription: &Arc<FeedState>) {
        self.woken.entry(subscription.number).or_insert_with(|| Arc::clone(subscription));
    }

    pub(super) fn end(self) {
        for subscription in self.woken.into_values() {
            subscription.wake.notify_one();
        }
    }
}

macro_rules! kinds_of_change {
    ($($(#[$why:meta])* $kind:ident),* $(,)?) => {
        /// The changes of each kind, in the order in which they become visible.
        #[derive(Default)]
        pub(super) struct Changes {
            $($(#[$why])* pub(super) $kind: super::$kind::Changes,)*
        }

        impl AfterCommit for Changes {
            fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
                $(self.$kind.apply(writer, context);)*
            }
        }
    };
}

kinds_of_change! {
    /// Before everything that depends on due times.
    clock,
    /// Before events of new types can be read.
    totals,
    /// Before settlements of deliveries that have just got their rows.
    cursors,
    deliveries,
    dead_letters,
    retention,
    endpoints,
    /// After everything that refers to the former definitions.
    subscriptions,
    /// After the subscriptions, to which the events are offered. From now on, readers of the log see the events.
    events,
    drains,
    /// After the due events, which are in the log when the new due time becomes visible.
    schedules,
}
