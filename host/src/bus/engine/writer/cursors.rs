//! Cursors, and the pending deliveries before them.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::feed_state::FeedState;
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::Batch;
use super::deliveries::row;
use crate::bus::StoreError;
use crate::bus::window::{Due, PAGE, RowlessDelivery};
use crate::event::Position;

/// Cursors that move.
#[derive(Default)]
pub(super) struct Changes(Vec<CursorMove>);

/// The new position of a cursor, and the deliveries before it that had no row and have got one.
struct CursorMove {
    subscription: Arc<FeedState>,
    cursor: Position,
    rowless: Vec<RowlessDelivery>,
}

impl Writer {
    /// Moves the cursors of subscriptions past the settled deliveries that have no row.
    pub(super) fn move_cursors(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for (subscription, positions) in batch.changes.deliveries.take_settled_without_row() {
            if batch.deletes(&subscription) {
                continue;
            }
            let furthest = positions.iter().copied().max().unwrap_or_default();
            let mut moves = batch.changes.cursors.0.iter();
            if moves.any(|other| other.subscription.number == subscription.number && other.cursor >= furthest) {
                continue;
            }
            let (cursor, rowless) = {
                let window = subscription.window();
                let cursor = furthest.max(window.cursor);
                (cursor, window.rowless_up_to(cursor, &positions))
            };
            self.move_cursor(subscription, cursor, rowless, batch)?;
        }
        Ok(())
    }

    /// Moves a cursor, and writes rows for the pending deliveries before it.
    pub(super) fn move_cursor(
        &self,
        subscription: Arc<FeedState>,
        cursor: Position,
        rowless: Vec<RowlessDelivery>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        for RowlessDelivery { delivery, awaits_turn } in &rowless {
            let due = if *awaits_turn { Due::OnTurn } else { Due::Now };
            self.rows.put_pending(&row(subscription.number, delivery, due))?;
        }
        self.rows.move_cursor(subscription.number, cursor)?;
        batch.changes.cursors.0.push(CursorMove { subscription, cursor, rowless });
        Ok(())
    }

    /// Writes rows for deliveries that wait for their ordering keys, so that the window has room for later events.
    pub(super) fn spill(&self, subscription: &Arc<FeedState>, batch: &mut Batch) -> Result<(), StoreError> {
        batch.windows.note_spill(subscription);
        if subscription.window().deleted || batch.deletes(subscription) {
            return Ok(());
        }
        let (cursor, rowless) = {
            let window = subscription.window();
            let Some(last) = window.ready.get(PAGE - 1).or(window.ready.back()) else { return Ok(()) };
            let cursor = last.logged.position.max(window.cursor);
            // Deliveries that are settled in this batch are done.
            let none = HashSet::new();
            let settled = batch.changes.deliveries.settled_without_row(subscription).unwrap_or(&none);
            (cursor, window.rowless_up_to(cursor, settled))
        };
        self.move_cursor(Arc::clone(subscription), cursor, rowless, batch)
    }
}

impl AfterCommit for Changes {
    fn apply(self, _: &mut Writer, context: &mut AfterCommitContext) {
        for CursorMove { subscription, cursor, rowless } in self.0 {
            subscription.window().apply_cursor_move(cursor, rowless);
            context.wake(&subscription);
        }
    }
}
