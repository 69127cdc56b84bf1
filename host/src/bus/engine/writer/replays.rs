//! Replays.

use std::sync::Arc;

use super::super::feed_state::{FeedState, ReplayRange};
use super::super::selection::Selection;
use super::super::store::GroupNeeds;
use super::Writer;
use super::batch::{ApplyError, Batch};
use crate::bus::window::Window;
use crate::bus::{FeedId, Replay, ReplayEnd, ReplayScope, StoreError};
use crate::subscription::SubscriptionId;

impl Writer {
    /// The replays of a subscription.
    pub(super) fn replays(&self, of: i64) -> Vec<Arc<FeedState>> {
        let replays = self.feeds.values().filter(|one| one.replay.is_some_and(|replay| replay.subscription == of));
        replays.cloned().collect()
    }

    /// Notes the feed for deletion if it is a replay that has no deliveries left.
    pub(super) fn note_finished_replay(&mut self, subscription: &Arc<FeedState>) {
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
        let ReplayScope { start, end, filter, per_second } = scope;
        let subscription = self.require(id, batch)?;
        self.check_start(start, batch)?;
        let (definition, pause, until) = {
            let window = subscription.window();
            (Arc::clone(&window.definition), window.pause, window.done_or_stored_through(self.log.head))
        };
        let end = match end {
            None => until,
            Some(ReplayEnd::Position(position)) => position,
            Some(ReplayEnd::Time(time)) => self.rows.position_before(time)?,
        };
        let until = until.min(end);
        let cursor = self.cursor_of(start)?.min(until);
        let filter = Some(filter).filter(|filter| !filter.is_empty());
        let selection = Selection { definition: &definition, replay_filter: filter.as_ref() };
        let events = self.count_matching(selection, cursor, until)?;
        if events == 0 {
            return Ok(Replay { feed: None, events });
        }
        let replay = ReplayRange { subscription: subscription.number, until, per_second };
        let (dynamic, id) = (subscription.dynamic, subscription.id.clone());
        let row = Some((&replay, filter.as_ref()));
        let number = self.rows.add_subscription(&id, dynamic, &definition, cursor, pause, row)?;
        let mut window = Window::new(definition, cursor, until, events).rate_limited(per_second);
        window.pause = pause;
        batch.changes.subscriptions.added.push(FeedState::new(number, id, dynamic, Some((replay, filter)), window));
        Ok(Replay { feed: Some(FeedId::new(number)), events })
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
    pub(super) fn delete_finished_replays(&mut self) -> Result<(), StoreError> {
        let mut finished = std::mem::take(&mut self.finished_replays);
        finished.retain(|replay| self.feeds.contains_key(&replay.number));
        if finished.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(self.shared.clock.now(), self.log);
        match self.delete_replays(&finished, &mut batch) {
            Ok(()) => {
                self.apply_after_commit(&mut batch);
                Ok(())
            }
            // They have nothing left to deliver, and can stay until the store accepts changes again.
            Err(error) if !error.kind().is_fatal() => {
                self.finished_replays = finished;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn delete_replays(&self, finished: &[Arc<FeedState>], batch: &mut Batch) -> Result<(), StoreError> {
        self.rows.begin(self.shared.is_reachable(), &GroupNeeds::default())?;
        let deleted = self
            .delete_replays_in_transaction(finished, batch)
            .and_then(|()| self.rows.commit(&|error| self.shared.note_outage(error)));
        if deleted.is_err() {
            self.rows.roll_back();
        }
        deleted
    }

    fn delete_replays_in_transaction(&self, finished: &[Arc<FeedState>], batch: &mut Batch) -> Result<(), StoreError> {
        for replay in finished {
            tracing::info!(subscription = %replay.id, replay = replay.number, "the replay has ended");
            self.delete_feed(replay, batch)?;
        }
        self.put_totals(batch)
    }
}
