//! Cursors, and the open deliveries before them.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::rows;
use super::super::subscription::Subscription;
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::Batch;
use super::deliveries::row;
use crate::bus::StoreError;
use crate::bus::window::{Due, Gap, PAGE};
use crate::event::Position;

/// Cursors that move.
#[derive(Default)]
pub(super) struct Changes(Vec<CursorMove>);

/// The new position of a cursor, and the deliveries before it that got rows.
struct CursorMove {
    subscription: Arc<Subscription>,
    cursor: Position,
    gaps: Vec<Gap>,
}

impl Writer {
    /// Moves the cursors of subscriptions whose deliveries were settled by their first attempts.
    pub(super) fn move_cursors(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for (subscription, positions) in batch.changes.deliveries.take_first_attempts() {
            if batch.deletes(&subscription) {
                continue;
            }
            let furthest = positions.iter().copied().max().unwrap_or_default();
            let mut moves = batch.changes.cursors.0.iter();
            if moves.any(|other| other.subscription.number == subscription.number && other.cursor >= furthest) {
                continue;
            }
            let (cursor, gaps) = {
                let window = subscription.window();
                let cursor = furthest.max(window.cursor);
                (cursor, window.gaps(cursor, &positions))
            };
            self.move_cursor(subscription, cursor, gaps, batch)?;
        }
        Ok(())
    }

    /// Moves a cursor, and writes rows for the open deliveries before it.
    pub(super) fn move_cursor(
        &self,
        subscription: Arc<Subscription>,
        cursor: Position,
        gaps: Vec<Gap>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        for gap in &gaps {
            let due = if gap.awaits_turn { Due::OnTurn } else { Due::Now };
            rows::put_pending(&self.connection, &row(subscription.number, &gap.delivery, due))?;
        }
        rows::move_cursor(&self.connection, subscription.number, cursor)?;
        batch.changes.cursors.0.push(CursorMove { subscription, cursor, gaps });
        Ok(())
    }

    /// Writes rows for deliveries that wait for their ordering keys, so that the window has room for later events.
    pub(super) fn spill(&self, subscription: &Arc<Subscription>, batch: &mut Batch) -> Result<(), StoreError> {
        batch.frozen.spills(subscription);
        if subscription.window().deleted || batch.deletes(subscription) {
            return Ok(());
        }
        let (cursor, gaps) = {
            let window = subscription.window();
            let Some(last) = window.ready.get(PAGE - 1).or(window.ready.back()) else { return Ok(()) };
            let cursor = last.logged.position.max(window.cursor);
            // Deliveries that are settled in this batch are done.
            let none = HashSet::new();
            (cursor, window.gaps(cursor, batch.changes.deliveries.first_attempts(subscription).unwrap_or(&none)))
        };
        self.move_cursor(Arc::clone(subscription), cursor, gaps, batch)
    }
}

impl AfterCommit for Changes {
    fn apply(self, _: &mut Writer, context: &mut AfterCommitContext) {
        for CursorMove { subscription, cursor, gaps } in self.0 {
            subscription.window().apply_cursor_move(cursor, gaps);
            context.wake(&subscription);
        }
    }
}
