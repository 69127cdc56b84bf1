//! Deliveries that are settled.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::command::Ended;
use super::super::rows::{self, Deleted, PendingRow};
use super::super::subscription::Subscription;
use super::Writer;
use super::batch::{Batch, Refused};
use super::subjects::{After, AfterCommit};
use crate::bus::window::Waiting;
use crate::bus::{AttemptRecord, CommitError, DeadLetterId, FailedAttempt, Settled, Settlement, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::outcome::Failure;
use crate::retry::Verdict;
use crate::subscription::DeadLetterPolicy;

/// What has become of deliveries.
#[derive(Default)]
pub(super) struct Changes {
    settled: Vec<(Arc<Subscription>, Position, Settled)>,
    /// The same, to be looked up.
    is_settled: HashSet<(i64, Position)>,
    /// First attempts that are settled, by subscription.
    fresh: HashMap<i64, (Arc<Subscription>, HashSet<Position>)>,
}

impl Changes {
    fn is_settled(&self, subscription: &Subscription, position: Position) -> bool {
        self.is_settled.contains(&(subscription.number, position))
    }

    fn note_settled(&mut self, subscription: Arc<Subscription>, position: Position, settled: Settled) {
        self.is_settled.insert((subscription.number, position));
        self.settled.push((subscription, position, settled));
    }

    /// Notes that a delivery is settled by its first attempt: the cursor has not passed it.
    fn note_fresh(&mut self, subscription: &Arc<Subscription>, delivery: &Waiting) {
        if !delivery.has_row {
            let new = || (Arc::clone(subscription), HashSet::new());
            self.fresh.entry(subscription.number).or_insert_with(new).1.insert(delivery.logged.position);
        }
    }

    /// It is not settled after all.
    fn forget_fresh(&mut self, subscription: &Subscription, position: Position) {
        if let Some((_, positions)) = self.fresh.get_mut(&subscription.number) {
            positions.remove(&position);
            if positions.is_empty() {
                self.fresh.remove(&subscription.number);
            }
        }
    }

    /// The deliveries of a subscription that are settled by their first attempts.
    pub(super) fn fresh(&self, subscription: &Subscription) -> Option<&HashSet<Position>> {
        self.fresh.get(&subscription.number).map(|(_, positions)| positions)
    }

    /// The same of all subscriptions, whose cursors are to move.
    pub(super) fn take_fresh(&mut self) -> impl Iterator<Item = (Arc<Subscription>, HashSet<Position>)> + use<> {
        std::mem::take(&mut self.fresh).into_values()
    }
}

impl Writer {
    pub(super) fn settle(&mut self, attempt: Ended, batch: &mut Batch) -> Result<Settled, Refused> {
        let Ended { subscription, position, settlement } = attempt;
        let Settlement { record: AttemptRecord { verdict, digest, .. }, effects } = settlement;
        let delivery = {
            let progress = subscription.progress();
            let gone = batch.changes.deliveries.is_settled(&subscription, position);
            let gone = gone || progress.deleted || batch.deletes(&subscription);
            let claimed = progress.claimed.get(&position).filter(|_| !gone).cloned();
            claimed.ok_or(CommitError::NotOpen)?
        };
        // Before its effects: new rules that they make for its own subscription find it done.
        batch.changes.deliveries.note_fresh(&subscription, &delivery);
        let settled = match verdict {
            Verdict::Ack => {
                if let Some((plugin, effects)) = effects
                    && let Err(refused) = self.apply_effects(&plugin, effects, batch)
                {
                    batch.changes.deliveries.forget_fresh(&subscription, position);
                    return Err(refused);
                }
                if delivery.has_row {
                    self.delete_row(subscription.number, position, batch)?;
                }
                Settled::Handled
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
        &self,
        subscription: &Subscription,
        delivery: &Waiting,
        failure: Failure,
        delay: Option<Duration>,
        digest: Option<Arc<str>>,
        batch: &mut Batch,
    ) -> Result<Settled, StoreError> {
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
                let row = PendingRow { attempts: attempt, history: &history, ..row(number, delivery, due) };
                rows::put_pending(&self.connection, &row)?;
                Ok(Settled::Waiting(due))
            }
            None => {
                let policy = subscription.progress().definition.dead_letter_policy;
                let burial = rows::Burial {
                    subscription: subscription.home(),
                    position,
                    key: delivery.key.as_deref(),
                    parks: parks(subscription, policy) && delivery.key.is_some(),
                    replay: delivery.redriven_replay.is_some() || subscription.replay.is_some(),
                    history: &history,
                    now: batch.now,
                };
                rows::bury(&self.connection, &burial)?;
                rows::delete_pending(&self.connection, number, position)?;
                Ok(Settled::Dead)
            }
        }
    }

    /// Deletes a delivery's row, and its event if the log has let go of it and nobody else needs it.
    fn delete_row(&self, subscription: i64, position: Position, batch: &mut Batch) -> Result<(), StoreError> {
        rows::delete_pending(&self.connection, subscription, position)?;
        self.let_go(position, batch)
    }

    pub(super) fn let_go(&self, position: Position, batch: &mut Batch) -> Result<(), StoreError> {
        if position <= batch.log.floor {
            self.delete_event(position, batch)?;
        }
        Ok(())
    }

    /// Deletes an event unless a delivery needs it.
    pub(super) fn delete_event(&self, position: Position, batch: &mut Batch) -> Result<(), StoreError> {
        if let Some(Deleted { bytes, type_number, holder }) = rows::delete_event(&self.connection, position)? {
            batch.log.bytes = batch.log.bytes.saturating_sub(bytes);
            batch.changes.totals.held.deleted(holder.as_deref(), bytes);
            batch.changes.totals.emptied.insert(type_number);
        }
        Ok(())
    }
}

impl AfterCommit for Changes {
    fn publish(self, writer: &mut Writer, after: &mut After) {
        for (subscription, position, settled) in self.settled {
            {
                let mut progress = subscription.progress();
                let parks = parks(&subscription, progress.definition.dead_letter_policy);
                progress.settled(position, settled, parks, |plugin, gone| writer.held.share(plugin).take_off(gone));
            }
            writer.note_replay(&subscription);
            after.wake(&subscription);
        }
    }
}

/// A delivery's row, without attempts that failed.
pub(super) fn row(subscription: i64, delivery: &Waiting, due: Timestamp) -> PendingRow<'_> {
    PendingRow {
        subscription,
        position: delivery.logged.position,
        key: delivery.key.as_deref(),
        attempts: delivery.attempts,
        due,
        replayed: delivery.redriven_replay.map_or(0, DeadLetterId::number),
        history: &[],
    }
}

/// Whether a dead letter keeps others waiting. A replay's belongs to its subscription, and to no order there.
pub(super) fn parks(subscription: &Subscription, policy: DeadLetterPolicy) -> bool {
    subscription.replay.is_none() && policy == DeadLetterPolicy::Park
}
