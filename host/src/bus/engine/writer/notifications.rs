//! Notifications of dead letters: events that are published in the transaction that makes the dead letter.

use super::super::feed_state::FeedState;
use super::Writer;
use super::batch::Batch;
use crate::bus::notification::dead_letter_event;
use crate::bus::window::PendingDelivery;
use crate::bus::{DEAD_LETTER_TYPE, DeadLetterId, FailedAttempt, StoreError};

impl Writer {
    /// Publishes the notification of a dead letter, if a subscription selects it. No notification is published for the
    /// dead letter of a notification. Otherwise a broken handler of notifications would cause more of them.
    ///
    /// Like the dead letter itself, the notification is stored even if the log has reached its limit: there is at most
    /// one for each failed delivery.
    pub(super) fn notify_of_dead_letter(
        &mut self,
        number: DeadLetterId,
        subscription: &FeedState,
        delivery: &PendingDelivery,
        history: &[FailedAttempt],
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let Some(last) = history.last() else { return Ok(()) };
        if delivery.logged.event.event_type == DEAD_LETTER_TYPE {
            return Ok(());
        }
        let id = self.shared.ids.dead_letter(number.number(), batch.now);
        let replay = subscription.replay.is_some() || delivery.redriven_replay.is_some();
        let event = dead_letter_event(id, number, &subscription.id, replay, &delivery.logged, last, batch.now);
        let selecting = self.matching_subscriptions(DEAD_LETTER_TYPE);
        if selecting.all.iter().any(|one| one.window().definition.filters.matches(&event)) {
            self.append(event, batch)?;
        }
        Ok(())
    }
}
