//! Cursors, and the deliveries that are still open before them.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::rows::{self, HELD};
use super::super::subscription::Subscription;
use super::Writer;
use super::batch::Batch;
use super::deliveries::row;
use super::subjects::{After, AfterCommit};
use crate::bus::StoreError;
use crate::bus::window::{Hole, PAGE};
use crate::clock::Timestamp;
use crate::event::Position;

/// Cursors that move.
#[derive(Default)]
pub(super) struct Changes(Vec<CursorMove>);

/// A cursor's new place, and the deliveries before it that got a row.
struct CursorMove {
    subscription: Arc<Subscription>,
    cursor: Position,
    holes: Vec<Hole>,
}

impl Writer {
    /// Moves the cursors of the subscriptions whose first attempts were settled in this batch.
    pub(super) fn move_cursors(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for (subscription, positions) in batch.changes.deliveries.take_fresh() {
            if batch.deletes(&subscription) {
                continue;
            }
            let furthest = positions.iter().copied().max().unwrap_or_default();
            let mut moves = batch.changes.cursors.0.iter();
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
        batch.changes.cursors.0.push(CursorMove { subscription, cursor, holes });
        Ok(())
    }

    /// Gives what waits behind its ordering keys rows, so that later events can be looked at.
    pub(super) fn hold(&self, subscription: &Arc<Subscription>, batch: &mut Batch) -> Result<(), StoreError> {
        batch.frozen.holds(subscription);
        if subscription.progress().deleted || batch.deletes(subscription) {
            return Ok(());
        }
        let (cursor, holes) = {
            let progress = subscription.progress();
            let Some(last) = progress.ready.get(PAGE - 1).or(progress.ready.back()) else { return Ok(()) };
            let cursor = last.logged.position.max(progress.cursor);
            // Settled in this batch, those are done already.
            let none = HashSet::new();
            (cursor, progress.holes(cursor, batch.changes.deliveries.fresh(subscription).unwrap_or(&none)))
        };
        self.move_cursor(Arc::clone(subscription), cursor, holes, batch)
    }
}

impl AfterCommit for Changes {
    fn publish(self, _: &mut Writer, after: &mut After) {
        for CursorMove { subscription, cursor, holes } in self.0 {
            subscription.progress().moved(cursor, holes);
            after.wake(&subscription);
        }
    }
}
