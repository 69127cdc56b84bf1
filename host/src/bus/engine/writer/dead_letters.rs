//! Redriven and dropped dead letters.

use std::sync::Arc;

use super::super::feed_state::FeedState;
use super::super::store::{GroupMark, PendingRow, StaleMarks, TakenDeadLetter};
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};
use crate::bus::window::{Due, Key, RedrivenDelivery};
use crate::bus::{CommitError, DeadLetterFilter, DeadLetterId, FailureKind, GroupStatus};
use crate::event::Position;

/// Changes of dead letters.
#[derive(Default)]
pub(super) struct Changes {
    /// Dead letters that are deliveries again.
    redriven: Vec<(Arc<FeedState>, RedrivenDelivery)>,
    /// Dropped dead letters, with the sources of their events.
    dropped: Vec<(Arc<FeedState>, Position, String)>,
    /// Ordering keys that are no longer parked.
    pub(super) unparked: Vec<(Arc<FeedState>, Key)>,
}

impl Writer {
    /// Turns dead letters into deliveries.
    pub(super) fn redrive(
        &self,
        filter: &DeadLetterFilter,
        limit: usize,
        batch: &mut Batch,
    ) -> Result<usize, ApplyError> {
        let taken = self.rows.take_dead_letters(filter, limit)?;
        let count = taken.len();
        for letter in taken {
            self.redrive_one(letter, batch)?;
        }
        Ok(count)
    }

    /// Turns a dead letter into a delivery with other data.
    pub(super) fn redrive_edited(
        &self,
        number: DeadLetterId,
        data: &[u8],
        batch: &mut Batch,
    ) -> Result<(), ApplyError> {
        let filter = DeadLetterFilter { number: Some(number), ..DeadLetterFilter::default() };
        let found = self.rows.dead_letters(&filter, None, 1)?;
        let letter = found.first().ok_or_else(|| CommitError::NotFound(format!("dead letter {number}")))?;
        let (subscription, position) = (self.require(&letter.subscription, batch)?, letter.logged.position);
        let is_open = self.rows.has_pending(subscription.number, position)?
            || subscription.window().in_memory_at(position).is_some();
        if is_open {
            return Err(CommitError::DeliveryOpen(letter.subscription.to_string()).into());
        }
        for letter in self.rows.take_dead_letters(&filter, 1)? {
            self.redrive_one(TakenDeadLetter { edited: Some(data.to_vec()), ..letter }, batch)?;
        }
        Ok(())
    }

    /// Sets the status of a dead letter's group, and deletes marks that are no longer needed.
    pub(super) fn set_group_status(
        &self,
        member: DeadLetterId,
        status: GroupStatus,
        by: &str,
        stale: &StaleMarks,
        batch: &Batch,
    ) -> Result<(), ApplyError> {
        let filter = DeadLetterFilter { number: Some(member), ..DeadLetterFilter::default() };
        let found = self.rows.dead_letters(&filter, None, 1)?;
        let letter = found.first().ok_or_else(|| CommitError::NotFound(format!("dead letter {member}")))?;
        let subscription = self.require(&letter.subscription, batch)?.number;
        let FailureKind { signature, digest } = letter.failure();
        self.rows.delete_group_marks(stale)?;
        let (cause, digest, since) = (letter.cause.as_str(), digest.as_deref(), batch.now);
        let mark = GroupMark { subscription, cause, signature: &signature, digest, status, since, by };
        Ok(self.rows.put_group_mark(&mark)?)
    }

    fn redrive_one(&self, letter: TakenDeadLetter, batch: &mut Batch) -> Result<(), ApplyError> {
        let Some(subscription) = self.feeds.get(&letter.subscription).cloned() else { return Ok(()) };
        let key: Option<Key> = letter.key.map(Into::into);
        // One by one, in order: a delivery that shares its key with a pending one waits for its turn, except the
        // one that parked the key.
        let awaits_turn = !letter.parks && key.as_ref().is_some_and(|key| is_key_busy(&subscription, key, batch));
        let row = PendingRow {
            subscription: letter.subscription,
            position: letter.position,
            key: key.as_deref(),
            attempts: 0,
            due: if awaits_turn { Due::OnTurn } else { Due::Now },
            redriven_replay: letter.replay.then(|| DeadLetterId::new(letter.number)),
            history: &[],
            edited: letter.edited.as_deref(),
            redriven_at: Some(batch.now),
        };
        // If the event already has a pending delivery with a row, that one remains, and no second one is added.
        if self.rows.add_pending(&row)? {
            let source = match letter.replay {
                true => None,
                false => self.rows.source_of(letter.position)?,
            };
            let redriven = RedrivenDelivery { position: letter.position, key, awaits_turn, source };
            batch.changes.dead_letters.redriven.push((subscription, redriven));
        } else if letter.parks
            && let Some(key) = key
        {
            batch.changes.dead_letters.unparked.push((subscription, key));
        }
        Ok(())
    }

    pub(super) fn drop_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        limit: usize,
        batch: &mut Batch,
    ) -> Result<usize, ApplyError> {
        let taken = self.rows.take_dead_letters(filter, limit)?;
        let count = taken.len();
        for letter in taken {
            let source = self.rows.source_of(letter.position)?.filter(|_| !letter.replay);
            self.delete_below_floor(letter.position, batch)?;
            let subscription = self.feeds.get(&letter.subscription).cloned();
            let changes = &mut batch.changes.dead_letters;
            if let (Some(subscription), Some(source)) = (&subscription, source) {
                changes.dropped.push((Arc::clone(subscription), letter.position, source));
            }
            if let (Some(subscription), Some(key), true) = (subscription, letter.key, letter.parks)
                && !self.rows.is_parked(letter.subscription, &key)?
            {
                changes.unparked.push((subscription, key.into()));
            }
        }
        Ok(count)
    }
}

fn is_key_busy(subscription: &FeedState, key: &Key, batch: &Batch) -> bool {
    let mut redriven = batch.changes.dead_letters.redriven.iter();
    redriven.any(|(other, letter)| other.number == subscription.number && letter.key.as_ref() == Some(key))
        || subscription.window().keys.is_busy(key)
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
        for (subscription, redriven) in self.redriven {
            subscription.window().apply_redriven(&redriven);
            context.wake(&subscription);
        }
        for (subscription, position, source) in self.dropped {
            subscription
                .window()
                .apply_dropped(position, &source, |plugin, gone| writer.usage.holder_mut(plugin).subtract(gone));
        }
        for (subscription, key) in self.unparked {
            subscription.window().keys.unpark(&key);
            context.wake(&subscription);
        }
    }
}
