//! Replays.

use std::sync::Arc;

use super::super::rows;
use super::super::selection::Selection;
use super::super::subscription::{ReplayRange, Subscription};
use super::Writer;
use super::batch::{ApplyError, Batch};
use crate::bus::window::Window;
use crate::bus::{FeedId, Replay, ReplayEnd, ReplayScope, StoreError};
use crate::subscription::SubscriptionId;

impl Writer {
    /// The replays of a subscription.
    pub(super) fn replays(&self, of: i64) -> Vec<Arc<Subscription>> {
        let replays =
            self.subscriptions.values().filter(|one| one.replay.is_some_and(|replay| replay.subscription == of));
        replays.cloned().collect()
    }

    /// Notes a replay that has ended.
    pub(super) fn note_finished_replay(&mut self, subscription: &Arc<Subscription>) {
        if subscription.replay.is_some() && subscription.window().backlog == 0 {
            self.finished_replays.push(Arc::clone(subscription));
        }
    }

    /// Starts a replay: a feed from a start up to the subscription's cursor. The subscription itself delivers later
    /// events.
    pub(super) fn replay(
        &self,
        id: &SubscriptionId,
        scope: ReplayScope,
        batch: &mut Batch,
    ) -> Result<Replay, ApplyError> {
        let ReplayScope { start, end, only, per_second } = scope;
        let subscription = self.require(id, batch)?;
        self.check_start(start, batch)?;
        let (definition, pause, until) = {
            let window = subscription.window();
            (Arc::clone(&window.definition), window.pause, window.safe_floor(self.log.head))
        };
        let end = match end {
            None => until,
            Some(ReplayEnd::Position(position)) => position,
            Some(ReplayEnd::Time(time)) => rows::position_before(&self.connection, time)?,
        };
        let until = until.min(end);
        let cursor = self.cursor_of(start)?.min(until);
        let only = Some(only).filter(|only| !only.is_empty());
        let selection = Selection { definition: &definition, only: only.as_ref() };
        let events = self.count_matching(selection, cursor, until)?;
        if events == 0 {
            return Ok(Replay { number: None, events });
        }
        let replay = ReplayRange { subscription: subscription.number, until, per_second };
        let (dynamic, id) = (subscription.dynamic, subscription.id.clone());
        let row = Some((&replay, only.as_ref()));
        let number = rows::add_subscription(&self.connection, &id, dynamic, &definition, cursor, pause, row)?;
        let mut window = Window::new(definition, cursor, until, events).rate_limited(per_second);
        window.pause = pause;
        batch.changes.subscriptions.added.push(Subscription::new(number, id, dynamic, Some((replay, only)), window));
        Ok(Replay { number: Some(FeedId::new(number)), events })
    }

    pub(super) fn stop_replays(&self, id: &SubscriptionId, batch: &mut Batch) -> Result<usize, ApplyError> {
        let subscription = self.require(id, batch)?;
        let replays = self.replays(subscription.number);
        for replay in &replays {
            self.delete_feed(replay, batch)?;
        }
        Ok(replays.len())
    }

    /// Deletes the replays that have ended.
    pub(super) fn end_replays(&mut self) -> Result<(), StoreError> {
        let mut over = std::mem::take(&mut self.finished_replays);
        over.retain(|replay| self.subscriptions.contains_key(&replay.number));
        if over.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(self.shared.clock.now(), self.log);
        match self.delete_replays(&over, &mut batch) {
            Ok(()) => {
                self.apply_after_commit(&mut batch);
                Ok(())
            }
            // They have nothing left to deliver, and can stay until the store accepts changes again.
            Err(error) if !error.kind().is_fatal() => {
                self.finished_replays = over;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn delete_replays(&self, over: &[Arc<Subscription>], batch: &mut Batch) -> Result<(), StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        for replay in over {
            tracing::info!(subscription = %replay.id, replay = replay.number, "the replay has ended");
            self.delete_feed(replay, batch)?;
        }
        self.put_totals(batch)?;
        Ok(transaction.commit()?)
    }
}
