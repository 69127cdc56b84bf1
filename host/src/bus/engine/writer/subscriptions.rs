//! The set of subscriptions: declared, created at run time, paused, and deleted.

use std::sync::Arc;

use super::super::feed_state::FeedState;
use super::super::selection::Selection;
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};
use crate::bus::window::{Pause, PauseReason, Window};
use crate::bus::{CommitError, StoreError};
use crate::event::Position;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId, Target};

/// Subscriptions that were added, changed or deleted.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) added: Vec<Arc<FeedState>>,
    pub(super) redefined: Vec<(Arc<FeedState>, Definition)>,
    pauses: Vec<(Arc<FeedState>, Pause)>,
    deleted: Vec<Arc<FeedState>>,
}

impl Changes {
    pub(super) fn added(&self) -> &[Arc<FeedState>] {
        &self.added
    }

    pub(super) fn deletes(&self, subscription: &FeedState) -> bool {
        self.deleted.iter().any(|gone| gone.number == subscription.number)
    }
}

impl Writer {
    /// The subscription of this name, even if this batch has created it.
    pub(super) fn find(&self, id: &SubscriptionId, batch: &Batch) -> Option<Arc<FeedState>> {
        let mut all = self.feeds.values().chain(&batch.changes.subscriptions.added);
        all.find(|one| one.replay.is_none() && one.id == *id && !batch.deletes(one)).cloned()
    }

    pub(super) fn require(&self, id: &SubscriptionId, batch: &Batch) -> Result<Arc<FeedState>, CommitError> {
        self.find(id, batch).ok_or_else(|| CommitError::NotFound(format!("subscription `{id}`")))
    }

    /// The number of selected events after a position, up to another one.
    pub(super) fn count_matching(
        &self,
        selection: Selection<'_>,
        after: Position,
        until: Position,
    ) -> Result<u64, StoreError> {
        selection.count(&*self.rows, &self.shared.types(), after, until)
    }

    /// Refuses a start that lies in the future.
    pub(super) fn check_start(&self, start: Start, batch: &Batch) -> Result<(), CommitError> {
        let next = self.log.head.0 + 1;
        // The log's times never go back, even if the clock is set back.
        let now = batch.now.max(self.log.newest);
        let (start, reached) = match start {
            Start::Position(position) if position.0 > next => {
                (format!("at position {}", position.0), format!("position {next}"))
            }
            Start::Time(time) if time > now => (format!("at {time}"), now.to_string()),
            Start::Now | Start::Beginning | Start::Time(_) | Start::Position(_) => return Ok(()),
        };
        Err(CommitError::StartInFuture { start, reached })
    }

    /// The initial cursor of a subscription with this start: the position before its first event.
    pub(super) fn cursor_of(&self, start: Start) -> Result<Position, StoreError> {
        // Events that this batch appends come after it.
        let head = self.log.head;
        Ok(match start {
            Start::Now => head,
            Start::Beginning => Position(0),
            Start::Time(time) => self.rows.position_before(time)?.min(head),
            Start::Position(position) => Position(position.0.saturating_sub(1)).min(head),
        })
    }

    /// Creates a subscription at run time, or redefines the one of this name.
    pub(super) fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
        batch: &mut Batch,
    ) -> Result<(), ApplyError> {
        if self.find(&id, batch).is_none() {
            self.check_start(start, batch)?;
        }
        Ok(self.put_subscription(id, true, definition, start, batch)?)
    }

    /// Creates a subscription, or redefines the one of this name. The caller has checked the start.
    pub(super) fn put_subscription(
        &self,
        id: SubscriptionId,
        dynamic: bool,
        definition: Definition,
        start: Start,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if let Some(present) = self.find(&id, batch) {
            for one in self.replays(present.number).into_iter().chain([present]) {
                self.redefine(&one, &definition, batch)?;
            }
            return Ok(());
        }
        let cursor = self.cursor_of(start)?;
        // Events that this batch appends are offered to it, as to all others.
        let last = self.log.head;
        let backlog = self.count_matching(Selection { definition: &definition, replay_filter: None }, cursor, last)?;
        let number = self.rows.add_subscription(&id, dynamic, &definition, cursor, Pause::default(), None)?;
        let last = if backlog > 0 { last } else { cursor };
        let window = Window::new(Arc::new(definition), cursor, last, backlog);
        batch.changes.subscriptions.added.push(FeedState::new(number, id, dynamic, None, window));
        Ok(())
    }

    /// Takes over the declaration of a generation. Subscriptions that it no longer declares are paused, kept, and
    /// returned.
    pub(super) fn declare(
        &mut self,
        plugin: &str,
        declaration: Declaration,
        batch: &mut Batch,
    ) -> Result<Vec<SubscriptionId>, ApplyError> {
        // Before the first write, since other changes share the transaction.
        for (name, _, start) in &declaration.subscriptions {
            if self.find(&SubscriptionId { owner: plugin.to_owned(), name: name.clone() }, batch).is_none() {
                self.check_start(*start, batch)?;
            }
        }
        let owned = self.feeds.values().filter(|one| one.id.owner == plugin && !one.dynamic);
        let owned: Vec<_> = owned.cloned().collect();
        let mut orphans = Vec::new();
        for subscription in owned {
            let orphaned = !declaration.subscriptions.iter().any(|(name, ..)| *name == subscription.id.name);
            if orphaned && subscription.replay.is_none() {
                orphans.push(subscription.id.clone());
            }
            let pause = Pause { orphaned, ..subscription.window().pause };
            self.put_pause(subscription, pause, batch)?;
        }
        self.usage.holder_mut(plugin).limits = declaration.limits;
        self.declare_schedules(plugin, &declaration, batch)?;
        for (name, definition, start) in declaration.subscriptions {
            let id = SubscriptionId { owner: plugin.to_owned(), name };
            self.put_subscription(id, false, definition, start, batch)?;
        }
        Ok(orphans)
    }

    pub(super) fn put_pause(
        &self,
        subscription: Arc<FeedState>,
        pause: Pause,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if subscription.window().pause != pause {
            self.rows.pause_subscription(subscription.number, pause)?;
            batch.changes.subscriptions.pauses.push((subscription, pause));
        }
        Ok(())
    }

    /// Pauses a subscription and its replays, or resumes them, which also ends the hold of the endpoint.
    pub(super) fn set_pause(
        &self,
        id: &SubscriptionId,
        paused_by: Option<PauseReason>,
        batch: &mut Batch,
    ) -> Result<(), ApplyError> {
        let subscription = self.require(id, batch)?;
        let definition = Arc::clone(&subscription.window().definition);
        if let (Target::Webhook(webhook), None) = (&definition.target, paused_by) {
            self.release(&webhook.url, batch)?;
        }
        for one in self.replays(subscription.number).into_iter().chain([subscription]) {
            let pause = Pause { paused_by, ..one.window().pause };
            self.put_pause(one, pause, batch)?;
        }
        Ok(())
    }

    pub(super) fn delete(&self, id: &SubscriptionId, batch: &mut Batch) -> Result<(), ApplyError> {
        let subscription = self.require(id, batch)?;
        Ok(self.delete_with_replays(&subscription, batch)?)
    }

    /// Deletes a subscription with its replays, its backlog and its dead letters.
    pub(super) fn delete_with_replays(
        &self,
        subscription: &Arc<FeedState>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        for replay in self.replays(subscription.number) {
            self.delete_feed(&replay, batch)?;
        }
        for position in self.rows.delete_dead_letters(subscription.number)? {
            self.delete_below_floor(position, batch)?;
        }
        self.rows.delete_group_marks_of(subscription.number)?;
        self.delete_feed(subscription, batch)
    }

    pub(super) fn delete_feed(&self, subscription: &Arc<FeedState>, batch: &mut Batch) -> Result<(), StoreError> {
        for position in self.rows.delete_all_pending(subscription.number)? {
            self.delete_below_floor(position, batch)?;
        }
        self.rows.delete_subscription(subscription.number)?;
        batch.changes.subscriptions.deleted.push(Arc::clone(subscription));
        Ok(())
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
        let changed = !(self.added.is_empty() && self.deleted.is_empty() && self.redefined.is_empty());
        for subscription in self.added {
            writer.feeds.insert(subscription.number, subscription);
        }
        for (subscription, definition) in self.redefined {
            writer.apply_redefined_in_memory(&subscription, definition, context.head_before);
            writer.note_finished_replay(&subscription);
            context.wake(&subscription);
        }
        for (subscription, pause) in self.pauses {
            subscription.window().pause = pause;
            context.wake(&subscription);
        }
        for subscription in self.deleted {
            let gone = subscription.window().apply_deleted();
            subscription.deletion.cancel();
            writer.usage.subtract(gone);
            writer.feeds.remove(&subscription.number);
            context.wake(&subscription);
        }
        if changed {
            writer.matches.clear();
            writer.shared.set_feeds(writer.feeds.values().cloned());
        }
    }
}
