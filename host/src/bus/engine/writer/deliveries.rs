//! Settled deliveries.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::command::SettleRequest;
use super::super::feed_state::FeedState;
use super::super::store::{DeletedEvent, NewDeadLetter, PendingFilter, PendingRow};
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};
use crate::bus::window::{Due, PendingDelivery};
use crate::bus::{AttemptRecord, CommitError, DeliveryFilter, FailedAttempt, SettledStatus, Settlement, StoreError};
use crate::event::Position;
use crate::outcome::Failure;
use crate::retry::Verdict;
use crate::subscription::DeadLetterPolicy;

/// Settled deliveries.
#[derive(Default)]
pub(super) struct Changes {
    settled: Vec<(Arc<FeedState>, Position, SettledStatus)>,
    /// The same deliveries as a set.
    settled_set: HashSet<(i64, Position)>,
    /// Subscriptions with waiting deliveries that are due now.
    retried: Vec<Arc<FeedState>>,
    /// Settled deliveries that have no row, by subscription: their cursors have not passed them.
    settled_without_row: HashMap<i64, (Arc<FeedState>, HashSet<Position>)>,
}

impl Changes {
    fn is_settled(&self, subscription: &FeedState, position: Position) -> bool {
        self.settled_set.contains(&(subscription.number, position))
    }

    fn note_settled(&mut self, subscription: Arc<FeedState>, position: Position, settled: SettledStatus) {
        self.settled_set.insert((subscription.number, position));
        self.settled.push((subscription, position, settled));
    }

    /// Notes that a delivery without a row is settled.
    fn note_settled_without_row(&mut self, subscription: &Arc<FeedState>, delivery: &PendingDelivery) {
        if !delivery.has_row {
            let new = || (Arc::clone(subscription), HashSet::new());
            self.settled_without_row.entry(subscription.number).or_insert_with(new).1.insert(delivery.logged.position);
        }
    }

    /// Undoes [`Self::note_settled_without_row`] for a delivery that is not settled after all.
    fn forget_settled_without_row(&mut self, subscription: &FeedState, position: Position) {
        if let Some((_, positions)) = self.settled_without_row.get_mut(&subscription.number) {
            positions.remove(&position);
            if positions.is_empty() {
                self.settled_without_row.remove(&subscription.number);
            }
        }
    }

    /// The settled deliveries of a subscription that have no row.
    pub(super) fn settled_without_row(&self, subscription: &FeedState) -> Option<&HashSet<Position>> {
        self.settled_without_row.get(&subscription.number).map(|(_, positions)| positions)
    }

    /// Takes the settled deliveries of all subscriptions that have no row, to move the cursors.
    pub(super) fn take_settled_without_row(
        &mut self,
    ) -> impl Iterator<Item = (Arc<FeedState>, HashSet<Position>)> + use<> {
        std::mem::take(&mut self.settled_without_row).into_values()
    }
}

impl Writer {
    pub(super) fn settle(&mut self, request: SettleRequest, batch: &mut Batch) -> Result<SettledStatus, ApplyError> {
        let SettleRequest { subscription, position, settlement } = request;
        let Settlement { record: AttemptRecord { verdict, digest, .. }, effects } = settlement;
        let delivery = {
            let window = subscription.window();
            let gone = batch.changes.deliveries.is_settled(&subscription, position);
            let gone = gone || window.deleted || batch.deletes(&subscription);
            let claimed = window.claimed.get(&position).filter(|_| !gone).cloned();
            claimed.ok_or(CommitError::NotClaimed)?
        };
        // Before the effects: if they redefine this subscription, the redefinition must not give this delivery a row.
        batch.changes.deliveries.note_settled_without_row(&subscription, &delivery);
        let settled = match verdict {
            Verdict::Ack => {
                if let Some((plugin, effects)) = effects
                    && let Err(refused) = self.apply_effects(&plugin, effects, batch)
                {
                    batch.changes.deliveries.forget_settled_without_row(&subscription, position);
                    return Err(refused);
                }
                if delivery.has_row {
                    self.delete_row(subscription.number, position, batch)?;
                }
                SettledStatus::Handled
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
        subscription: &FeedState,
        delivery: &PendingDelivery,
        failure: Failure,
        delay: Option<Duration>,
        digest: Option<Arc<str>>,
        batch: &mut Batch,
    ) -> Result<SettledStatus, StoreError> {
        let (number, position, attempt) = (subscription.number, delivery.logged.position, delivery.attempts + 1);
        let mut history = if delivery.has_row { self.rows.history(number, position)? } else { Vec::new() };
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
                self.rows.put_pending(&row)?;
                Ok(SettledStatus::Waiting(due))
            }
            None => {
                let policy = subscription.window().definition.dead_letter_policy;
                let letter = NewDeadLetter {
                    subscription: subscription.dead_letter_owner(),
                    position,
                    key: delivery.key.as_deref(),
                    parks: parks(subscription, policy) && delivery.key.is_some(),
                    replay: delivery.redriven_replay.is_some() || subscription.replay.is_some(),
                    history: &history,
                    now: batch.now,
                    edited: delivery.edited(),
                };
                let letter = self.rows.insert_dead_letter(&letter)?;
                self.rows.delete_pending(number, position)?;
                self.notify_of_dead_letter(letter, subscription, delivery, &history, batch)?;
                Ok(SettledStatus::Dead)
            }
        }
    }

    /// Makes the selected deliveries that wait for another attempt due now.
    pub(super) fn retry_now(&self, filter: &DeliveryFilter, batch: &mut Batch) -> Result<usize, ApplyError> {
        let feeds = match &filter.subscription {
            None => self.feeds.values().filter(|feed| !batch.deletes(feed)).cloned().collect(),
            Some(id) => {
                let subscription = self.require(id, batch)?;
                let mut feeds = self.replays(subscription.number);
                feeds.push(subscription);
                feeds
            }
        };
        let types = filter.pattern.as_ref().map(|pattern| self.shared.types().matching(pattern));
        let selected = PendingFilter { event: filter.event, key: filter.key.as_deref(), types: types.as_deref() };
        let mut count = 0;
        for feed in feeds {
            let made_due = self.rows.make_due(feed.number, batch.now, &selected)?;
            if made_due > 0 {
                count += made_due;
                batch.changes.deliveries.retried.push(feed);
            }
        }
        Ok(count)
    }

    /// Deletes a delivery's row, and the event if retention has passed it and no other delivery needs it.
    fn delete_row(&self, subscription: i64, position: Position, batch: &mut Batch) -> Result<(), StoreError> {
        self.rows.delete_pending(subscription, position)?;
        self.delete_below_floor(position, batch)
    }

    /// Deletes an event if retention has passed it and no delivery needs it.
    pub(super) fn delete_below_floor(&self, position: Position, batch: &mut Batch) -> Result<(), StoreError> {
        if position <= batch.log.floor {
            self.delete_event(position, batch)?;
        }
        Ok(())
    }

    /// Deletes an event unless a delivery needs it. Returns whether it did.
    pub(super) fn delete_event(&self, position: Position, batch: &mut Batch) -> Result<bool, StoreError> {
        let Some(deleted) = self.rows.delete_event(position)? else { return Ok(false) };
        let DeletedEvent { bytes, type_number, holder } = deleted;
        batch.log.bytes = batch.log.bytes.saturating_sub(bytes);
        batch.changes.totals.usage.deleted(holder.as_deref(), bytes);
        batch.changes.totals.emptied.insert(type_number);
        Ok(true)
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
        for (subscription, position, settled) in self.settled {
            {
                let mut window = subscription.window();
                let parks = parks(&subscription, window.definition.dead_letter_policy);
                window.apply_settled(position, settled, parks, |plugin, gone| {
                    writer.usage.holder_mut(plugin).subtract(gone)
                });
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

/// Whether a dead letter parks its ordering key. A dead letter of a replay never does, because a replay is not part of
/// the subscription's order.
pub(super) fn parks(subscription: &FeedState, policy: DeadLetterPolicy) -> bool {
    subscription.replay.is_none() && policy == DeadLetterPolicy::Park
}
