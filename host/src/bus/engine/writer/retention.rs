//! Deletes old events, a bounded number at a time.

use std::sync::Arc;

use super::super::feed_state::FeedState;
use super::super::selection::Selection;
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};
use crate::bus::Compaction;
use crate::event::Position;

/// The number of events that one commit examines.
const COMPACT_LIMIT: usize = 1_000;

/// Subscriptions, the position up to which events were deleted, and how many of their events were deleted unhandled.
#[derive(Default)]
pub(super) struct Changes(Vec<(Arc<FeedState>, Position, u64)>);

impl Writer {
    /// Deletes the oldest events that the rules do not keep.
    pub(super) fn compact(&mut self, batch: &mut Batch) -> Result<Compaction, ApplyError> {
        let settings = self.shared.settings.load_full();
        let rules = &settings.retention;
        if !rules.is_limited() {
            return Ok(Compaction::default());
        }
        if rules.delete_unhandled {
            // No delivery may be claimed between the check for deliveries in flight and the deletion.
            self.feeds.values().for_each(|subscription| batch.windows.freeze(subscription));
        }
        let deletable = self.deletable_up_to(batch, rules.delete_unhandled);
        let mut bytes = batch.log.bytes;
        let mut old = self.rows.oldest_events(batch.log.floor, COMPACT_LIMIT)?;
        let kept = old.iter().position(|event| {
            let too_old = rules.max_age.is_some_and(|age| event.stored_at.after(age) <= batch.now);
            let too_much = rules.max_bytes.is_some_and(|limit| bytes > limit);
            bytes = bytes.saturating_sub(event.bytes);
            !(too_old || too_much) || event.position > deletable
        });
        old.truncate(kept.unwrap_or(old.len()));
        let Some(floor) = old.last().map(|event| event.position) else {
            return Ok(Compaction::default());
        };

        if rules.delete_unhandled {
            self.expire(floor, batch)?;
        }
        let mut deleted = 0;
        for event in &old {
            // An event that has rows in `pending` or `dead_letters` is kept, and deleted with the last of these rows.
            deleted += usize::from(self.delete_event(event.position, batch)?);
        }
        batch.log.floor = floor;
        Ok(Compaction { examined: old.len(), deleted })
    }

    /// The position up to which events may be deleted.
    fn deletable_up_to(&self, batch: &Batch, delete_unhandled: bool) -> Position {
        // Events that this batch appends have not been offered.
        let head = batch.log.head.min(self.log.head);
        let floors = self.feeds.values().map(|subscription| {
            let window = subscription.window();
            if !delete_unhandled {
                return window.done_or_stored_through(head);
            }
            // Running attempts are completed, so their events stay.
            let first_without_row = window.claimed.iter().find(|(_, delivery)| !delivery.has_row);
            first_without_row.map_or(head, |(position, _)| Position(position.0 - 1))
        });
        floors.min().unwrap_or(head).min(head)
    }

    /// Counts, for each subscription, the events that are deleted unhandled, and moves its cursor past them.
    fn expire(&self, floor: Position, batch: &mut Batch) -> Result<(), ApplyError> {
        for subscription in self.feeds.values() {
            let (definition, loaded_through, behind, ready) = {
                let window = subscription.window();
                let ready = window.ready.iter().filter(|delivery| delivery.logged.position <= floor).count();
                (Arc::clone(&window.definition), window.loaded_through, window.is_behind(), ready)
            };
            let last = subscription.replay.map_or(floor, |replay| floor.min(replay.until));
            let unread = if behind {
                self.count_matching(Selection::of(subscription, &definition), loaded_through, last)?
            } else {
                0
            };
            let expired = ready as u64 + unread;
            if expired > 0 {
                self.rows.move_cursor(subscription.number, floor)?;
                batch.changes.retention.0.push((Arc::clone(subscription), floor, expired));
            }
        }
        Ok(())
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
        for (subscription, floor, expired) in self.0 {
            let (gone, total) = {
                let mut window = subscription.window();
                (window.apply_expired(floor, expired), window.expired)
            };
            tracing::warn!(subscription = %subscription.id, expired, total, "retention deleted events before they were handled");
            writer.usage.subtract(gone);
            context.wake(&subscription);
            writer.note_finished_replay(&subscription);
        }
    }
}
