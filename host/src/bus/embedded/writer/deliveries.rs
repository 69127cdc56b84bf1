//! Deliveries: settled, set aside, redriven.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::batch::{Batch, CursorMove, Redriven, Refused};
use super::super::command::Ended;
use super::super::rows::{self, Deleted, HELD, PendingRow};
use super::super::subscription::Subscription;
use super::{Writer, parks};
use crate::bus::window::{Hole, Key, PAGE, Waiting};
use crate::bus::{AttemptRecord, CommitError, DeadLetterFilter, FailedAttempt, Settled, Settlement, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::outcome::Failure;
use crate::retry::Verdict;

impl Writer {
    pub(super) fn settle(&mut self, attempt: Ended, batch: &mut Batch) -> Result<Settled, Refused> {
        let Ended { subscription, position, settlement } = attempt;
        let Settlement { record: AttemptRecord { verdict, digest, .. }, effects } = settlement;
        let delivery = {
            let progress = subscription.progress();
            let gone = batch.is_settled.contains(&(subscription.number, position));
            let gone = gone || progress.deleted || batch.deletes(&subscription);
            let claimed = progress.claimed.get(&position).filter(|_| !gone).cloned();
            claimed.ok_or(CommitError::NotOpen)?
        };
        // Before its effects: new rules that they make for its own subscription find it done.
        batch.note_fresh(&subscription, &delivery);
        let settled = match verdict {
            Verdict::Ack => {
                if let Some((plugin, effects)) = effects
                    && let Err(refused) = self.apply_effects(&plugin, effects, batch)
                {
                    batch.forget_fresh(&subscription, position);
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
        batch.is_settled.insert((subscription.number, position));
        batch.settled.push((subscription, position, settled));
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
                    replay: delivery.replayed != 0 || subscription.replay.is_some(),
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
            batch.held.deleted(holder.as_deref(), bytes);
            batch.emptied.insert(type_number);
        }
        Ok(())
    }

    /// Moves the cursors of the subscriptions whose first attempts were settled in this batch.
    pub(super) fn move_cursors(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for (_, (subscription, positions)) in std::mem::take(&mut batch.fresh) {
            if batch.deletes(&subscription) {
                continue;
            }
            let furthest = positions.iter().copied().max().unwrap_or_default();
            let mut moves = batch.moves.iter();
            if moves.any(|other| other.subscription.number == subscription.number && other.cursor >= furthest) {
                continue;
            }
            let (cursor, holes) = {
                let progress = subscription.progress();
                let cursor = furthest.max(progress.cursor);
                (cursor, progress.holes(cursor, &positions))
            };
            self.move_cursor(subscription, cursor, holes, batch)?;
        }
        Ok(())
    }

    /// Moves a cursor, and gives what is still open before it a row.
    pub(super) fn move_cursor(
        &self,
        subscription: Arc<Subscription>,
        cursor: Position,
        holes: Vec<Hole>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        for hole in &holes {
            let due = if hole.held { HELD } else { Timestamp(0) };
            rows::put_pending(&self.connection, &row(subscription.number, &hole.delivery, due))?;
        }
        rows::move_cursor(&self.connection, subscription.number, cursor)?;
        batch.moves.push(CursorMove { subscription, cursor, holes });
        Ok(())
    }

    /// Gives what waits behind its ordering keys rows, so that later events can be looked at.
    pub(super) fn hold(&self, subscription: &Arc<Subscription>, batch: &mut Batch) -> Result<(), StoreError> {
        batch.holding.push(Arc::clone(subscription));
        if subscription.progress().deleted || batch.deletes(subscription) {
            return Ok(());
        }
        let (cursor, holes) = {
            let progress = subscription.progress();
            let Some(last) = progress.ready.get(PAGE - 1).or(progress.ready.back()) else { return Ok(()) };
            let cursor = last.logged.position.max(progress.cursor);
            // Settled in this batch, those are done already.
            let none = HashSet::new();
            let settled = batch.fresh.get(&subscription.number).map_or(&none, |(_, positions)| positions);
            (cursor, progress.holes(cursor, settled))
        };
        self.move_cursor(Arc::clone(subscription), cursor, holes, batch)
    }

    /// Turns dead letters into deliveries.
    pub(super) fn redrive(&self, filter: &DeadLetterFilter, limit: usize, batch: &mut Batch) -> Result<usize, Refused> {
        let exhumed = rows::exhume(&self.connection, filter, limit)?;
        let count = exhumed.len();
        for letter in exhumed {
            let Some(subscription) = self.subscriptions.get(&letter.subscription).cloned() else { continue };
            let key: Option<Key> = letter.key.map(Into::into);
            // One by one, in order: what shares a key with what is open waits for its turn. The one that
            // parked its key has waited for this.
            let held = !letter.parks && key.as_ref().is_some_and(|key| self.is_taken(&subscription, key, batch));
            let row = PendingRow {
                subscription: letter.subscription,
                position: letter.position,
                key: key.as_deref(),
                attempts: 0,
                due: if held { HELD } else { batch.now },
                replayed: if letter.replay { letter.number } else { 0 },
                history: &[],
            };
            // It may be open already: then a replay's dead letter and the delivery itself become one.
            if rows::add_pending(&self.connection, &row)? {
                let source = match letter.replay {
                    true => None,
                    false => rows::source_of(&self.connection, letter.position)?,
                };
                batch.redriven.push(Redriven { subscription, position: letter.position, key, held, source });
            } else if letter.parks
                && let Some(key) = key
            {
                batch.unparked.push((subscription, key));
            }
        }
        Ok(count)
    }

    fn is_taken(&self, subscription: &Subscription, key: &Key, batch: &Batch) -> bool {
        let here =
            |other: &Redriven| other.subscription.number == subscription.number && other.key.as_ref() == Some(key);
        batch.redriven.iter().any(here) || subscription.progress().keys.is_busy(key)
    }

    pub(super) fn drop_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        limit: usize,
        batch: &mut Batch,
    ) -> Result<usize, Refused> {
        let exhumed = rows::exhume(&self.connection, filter, limit)?;
        let count = exhumed.len();
        for letter in exhumed {
            let source = rows::source_of(&self.connection, letter.position)?.filter(|_| !letter.replay);
            self.let_go(letter.position, batch)?;
            let subscription = self.subscriptions.get(&letter.subscription).cloned();
            if let (Some(subscription), Some(source)) = (&subscription, source) {
                batch.dropped.push((Arc::clone(subscription), letter.position, source));
            }
            if let (Some(subscription), Some(key), true) = (subscription, letter.key, letter.parks)
                && !rows::is_parked(&self.connection, letter.subscription, &key)?
            {
                batch.unparked.push((subscription, key.into()));
            }
        }
        Ok(count)
    }
}

/// A delivery's row, without attempts that failed.
fn row(subscription: i64, delivery: &Waiting, due: Timestamp) -> PendingRow<'_> {
    PendingRow {
        subscription,
        position: delivery.logged.position,
        key: delivery.key.as_deref(),
        attempts: delivery.attempts,
        due,
        replayed: delivery.replayed,
        history: &[],
    }
}
