//! The two halves of a change. What a change does in the transaction is a method of the writer; what others see of it
//! once it is durable is kept aside meanwhile, in its subject's `Changes`, and comes after the commit. Both halves stand
//! in the subject's module.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::subscription::Subscription;
use super::Writer;
use crate::clock::Timestamp;
use crate::event::Position;

/// What a subject has changed in a group of changes.
pub(super) trait AfterCommit: Default {
    /// Lets everybody see it: it is durable.
    fn publish(self, writer: &mut Writer, context: &mut PublishContext);
}

/// A commit that is done, while its changes are shown.
pub(super) struct PublishContext {
    /// When it was made.
    pub(super) now: Timestamp,
    /// Where the log ended before it. What lies behind is still to be offered.
    pub(super) head_before: Position,
    /// Whom to wake when everything is there that they wait for, each once.
    woken: HashMap<i64, Arc<Subscription>>,
}

impl PublishContext {
    pub(super) fn new(now: Timestamp, head_before: Position) -> Self {
        Self { now, head_before, woken: HashMap::new() }
    }

    /// Wakes who waits for a subscription's deliveries, in the end.
    pub(super) fn wake(&mut self, subscription: &Arc<Subscription>) {
        self.woken.entry(subscription.number).or_insert_with(|| Arc::clone(subscription));
    }

    pub(super) fn end(self) {
        for subscription in self.woken.into_values() {
            subscription.wake.notify_one();
        }
    }
}

macro_rules! subjects {
    ($($(#[$why:meta])* $subject:ident),* $(,)?) => {
        /// What each subject has changed, in the order in which it is shown.
        #[derive(Default)]
        pub(super) struct Changes {
            $($(#[$why])* pub(super) $subject: super::$subject::Changes,)*
        }

        impl AfterCommit for Changes {
            fn publish(self, writer: &mut Writer, context: &mut PublishContext) {
                $(self.$subject.publish(writer, context);)*
            }
        }
    };
}

subjects! {
    /// Before whatever is due at a time.
    clock,
    /// Before events of new types can be read.
    totals,
    /// Before what has a row now is settled as such.
    cursors,
    deliveries,
    dead_letters,
    retention,
    endpoints,
    /// After all that counts for the rules as they were.
    subscriptions,
    /// Offered to the subscriptions as they are now. Readers of the log see them from here on.
    events,
    drains,
    /// After the events that were due: whoever sees that nothing more is due finds them in the log.
    schedules,
}
