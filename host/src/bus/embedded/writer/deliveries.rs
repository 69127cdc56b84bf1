//! Settled deliveries.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::command::SettleRequest;
use super::super::rows::{self, DeletedEvent, DueRows, PendingRow};
use super::super::subscription::Subscription;
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};
use crate::bus::window::{Due, PendingDelivery};
use crate::bus::{AttemptRecord, CommitError, DeliveryFilter, DeliveryStatus, FailedAttempt, Settlement, StoreError};
use crate::event::Position;
use crate::outcome::Failure;
use crate::retry::Verdict;
use crate::subscription::DeadLetterPolicy;

/// Settled deliveries.
#[derive(Default)]
pub(super) struct Changes {
    settled: Vec<(Arc<Subscription>, Position, DeliveryStatus)>,
    /// The same deliveries as a set.
    settled_set: HashSet<(i64, Position)>,
    /// Subscriptions with waiting deliveries that are due now.
    retried: Vec<Arc<Subscription>>,
    /// Deliveries that were settled by their first attempts, by subscription.
    first_attempts: HashMap<i64, (Arc<Subscription>, HashSet<Position>)>,
}

impl Changes {
    fn is_settled(&self, subscription: &Subscription, position: Position) -> bool {
        self.settled_set.contains(&(subscription.number, position))
    }

    fn note_settled(&mut self, subscription: Arc<Subscription>, position: Position, settled: DeliveryStatus) {
        self.settled_set.insert((subscription.number, position));
        self.settled.push((subscription, position, settled));
    }

    /// Notes that a delivery is settled by its first attempt: the cursor has not passed it.
    fn note_first_attempt(&mut self, subscription: &Arc<Subscription>, delivery: &PendingDelivery) {
        if !delivery.has_row {
            let new = || (Arc::clone(subscription), HashSet::new());
            self.first_attempts.entry(subscription.number).or_insert_with(new).1.insert(delivery.logged.position);
        }
    }

    /// Undoes [`Self::note_first_attempt`] for a delivery that is not settled after all.
    fn forget_first_attempt(&mut self, subscription: &Subscription, position: Position) {
        if let Some((_, positions)) = self.first_attempts.get_mut(&subscription.number) {
            positions.remove(&position);
            if positions.is_empty() {
                self.first_attempts.remove(&subscription.number);
            }
        }
    }

    /// The deliveries of a subscription that are settled by their first attempts.
    pub(super) fn first_attempts(&self, subscription: &Subscription) -> Option<&HashSet<Position>> {
        self.first_attempts.get(&subscription.number).map(|(_, positions)| positions)
    }

    /// Takes the deliveries of all subscriptions that are settled by their first attempts, to move the cursors.
    pub(super) fn take_first_attempts(
        &mut self,
    ) -> impl Iterator<Item = (Arc<Subscription>, HashSet<Position>)> + use<> {
        std::mem::take(&mut self.first_attempts).into_values()
    }
}

impl Writer {
    pub(super) fn settle(&mut self, request: SettleRequest, batch: &mut Batch) -> Result<DeliveryStatus, ApplyError> {
        let SettleRequest { subscription, position, settlement } = request;
        let Settlement { record: AttemptRecord { verdict, digest, .. }, effects } = settlement;
        let delivery = {
            let window = subscription.window();
            let gone = batch.changes.deliveries.is_settled(&subscription, position);
            let gone = gone || window.deleted || batch.deletes(&subscription);
            let claimed = window.claimed.get(&position).filter(|_| !gone).cloned();
            claimed.ok_or(CommitError::NotClaimed)?
        };
        // Before the effects: if they redefine this subscription, the redefinition must find the delivery done.
        batch.changes.deliveries.note_first_attempt(&subscription, &delivery);
        let settled = match verdict {
            Verdict::Ack => {
                if let Some((plugin, effects)) = effects
                    && let Err(refused) = self.apply_effects(&plugin, effects, batch)
                {
                    batch.changes.deliveries.forget_first_attempt(&subscription, position);
                    return Err(refused);
                }
                if delivery.has_row {
                    self.delete_row(subscription.number, position, batch)?;
                }
                DeliveryStatus::Handled
            }
            Verdict::RetryAfter { delay, failure } => {
                self.fail(&subscription, &delivery, failure, Some(delay), digest, batch)?
            }
            Verdict::DeadLetter { failure, .. } => self.fail(&subscription, &delivery, failure, None, digest, batch)?,
        };
        batch.changes.deliveries.note_settled(subscription, position, settled);
        Ok(settled)
    }

    /// Stores a failed attempt: the next one is due after a delay, or the delivery becomes a dead letter.
    fn fail(
        &mut self,
        subscription: &Subscription,
        delivery: &PendingDelivery,
        failure: Failure,
        delay: Option<Duration>,
        digest: Option<Arc<str>>,
        batch: &mut Batch,
    ) -> Result<DeliveryStatus, StoreError> {
        let (number, position, attempt) = (subscription.number, delivery.logged.position, delivery.attempts + 1);
        let mut history = rows::history(&self.connection, number, position)?;
        history.push(FailedAttempt {
            attempt,
            at: batch.now,
            cause: failure.cause,
            reason: failure.reason,
            digest: digest.map(|digest| digest.to_string()),
        });
        match delay {
            Some(delay) => {
                let due = batch.now.after(delay);
                let row = PendingRow { attempts: attempt, history: &history, ..row(number, delivery, Due::At(due)) };
                rows::put_pending(&self.connection, &row)?;
                Ok(DeliveryStatus::Waiting(due))
            }
            None => {
                let policy = subscription.window().definition.dead_letter_policy;
                let letter = rows::NewDeadLetter {
                    subscription: subscription.dead_letter_owner(),
                    position,
                    key: delivery.key.as_deref(),
                    parks: parks(subscription, policy) && delivery.key.is_some(),
                    replay: delivery.redriven_replay.is_some() || subscription.replay.is_some(),
                    history: &history,
                    now: batch.now,
                    edited: delivery.edited(),
                };
                let letter = rows::insert_dead_letter(&self.connection, &letter)?;
                rows::delete_pending(&self.connection, number, position)?;
                self.notify_of_dead_letter(letter, subscription, delivery, &history, batch)?;
                Ok(DeliveryStatus::Dead)
            }
        }
    }

    /// Makes due the selected deliveries that wait for another attempt.
    pub(super) fn retry_now(&self, filter: &DeliveryFilter, batch: &mut Batch) -> Result<usize, ApplyError> {
        let feeds = match &filter.subscription {
            None => self.subscriptions.values().filter(|feed| !batch.deletes(feed)).cloned().collect(),
            Some(id) => {
                let subscription = self.require(id, batch)?;
                let mut feeds = self.replays(subscription.number);
                feeds.push(subscription);
                feeds
            }
        };
        let types = filter.pattern.as_ref().map(|pattern| self.shared.types().matching(pattern));
        let which = DueRows { event: filter.event, key: filter.key.as_deref(), types: types.as_deref() };
        let mut count = 0;
        for feed in feeds {
            let made_due = rows::make_due(&self.connection, feed.number, batch.now, &which)?;
            if made_due > 0 {
                count += made_due;
                batch.changes.deliveries.retried.push(feed);
            }
        }
        Ok(count)
    }

    /// Deletes a delivery's row, and the event if retention has passed it and no other delivery needs it.
    fn delete_row(&self, subscription: i64, position: Position, batch: &mut Batch) -> Result<(), StoreError> {
        rows::delete_pending(&self.connection, subscription, position)?;
        self.delete_below_floor(position, batch)
    }

    /// Deletes an event if retention has passed it and no delivery needs it.
    pub(super) fn delete_below_floor(&self, position: Position, batch: &mut Batch) -> Result<(), StoreError> {
        if position <= batch.log.floor {
            self.delete_event(position, batch)?;
        }
        Ok(())
    }

    /// Deletes an event unless a delivery needs it.
    pub(super) fn delete_event(&self, position: Position, batch: &mut Batch) -> Result<(), StoreError> {
        if let Some(DeletedEvent { bytes, type_number, holder }) = rows::delete_event(&self.connection, position)? {
            batch.log.bytes = batch.log.bytes.saturating_sub(bytes);
            batch.changes.totals.usage.deleted(holder.as_deref(), bytes);
            batch.changes.totals.emptied.insert(type_number);
        }
        Ok(())
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
        for (subscription, position, settled) in self.settled {
            {
                let mut window = subscription.window();
                let parks = parks(&subscription, window.definition.dead_letter_policy);
                window
                    .apply_settled(position, settled, parks, |plugin, gone| writer.usage.share(plugin).subtract(gone));
            }
            writer.note_finished_replay(&subscription);
            context.wake(&subscription);
        }
        for subscription in self.retried {
            subscription.window().note_row_due(Due::Now);
            context.wake(&subscription);
        }
    }
}

/// A delivery's row, without failed attempts.
pub(super) fn row(subscription: i64, delivery: &PendingDelivery, due: Due) -> PendingRow<'_> {
    PendingRow {
        subscription,
        position: delivery.logged.position,
        key: delivery.key.as_deref(),
        attempts: delivery.attempts,
        due,
        redriven_replay: delivery.redriven_replay,
        history: &[],
        edited: delivery.edited(),
        redriven_at: delivery.redriven_at,
    }
}

/// Whether a dead letter parks its ordering key. A replay's never does, because it is not part of the subscription's
/// order.
pub(super) fn parks(subscription: &Subscription, policy: DeadLetterPolicy) -> bool {
    subscription.replay.is_none() && policy == DeadLetterPolicy::Park
}
