//! The set of subscriptions: declared, made at run time, paused, replayed, deleted.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::super::batch::{Batch, Refused};
use super::super::load::{count_flows, count_taken, load_keys};
use super::super::rows;
use super::super::subscription::{ReplayOf, Subscription};
use super::{Writer, parks};
use crate::bus::window::{PAGE, Pause, Progress, Stop};
use crate::bus::{CommitError, Replay, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId, Target};

impl Writer {
    /// The subscription of this name, also if this batch has made it.
    pub(super) fn find(&self, id: &SubscriptionId, batch: &Batch) -> Option<Arc<Subscription>> {
        let mut all = self.subscriptions.values().chain(&batch.added);
        all.find(|one| one.replay.is_none() && one.id == *id && !batch.deletes(one)).cloned()
    }

    fn found(&self, id: &SubscriptionId, batch: &Batch) -> Result<Arc<Subscription>, CommitError> {
        self.find(id, batch).ok_or_else(|| CommitError::NotFound(format!("subscription `{id}`")))
    }

    /// The replays of a subscription.
    fn replays(&self, of: i64) -> Vec<Arc<Subscription>> {
        let replays =
            self.subscriptions.values().filter(|one| one.replay.is_some_and(|replay| replay.subscription == of));
        replays.cloned().collect()
    }

    /// How many events after a position, up to another one, a definition takes.
    pub(super) fn count_taken(
        &self,
        definition: &Definition,
        after: Position,
        until: Position,
    ) -> Result<u64, StoreError> {
        count_taken(&self.connection, &self.shared.types(), definition, after, until)
    }

    /// The position after which a start begins.
    fn cursor_of(&self, start: Start) -> Result<Position, StoreError> {
        // What this batch has appended comes after it.
        let head = self.log.head;
        Ok(match start {
            Start::Now => head,
            Start::Beginning => Position(0),
            Start::Time(time) => rows::position_before(&self.connection, time)?.min(head),
            Start::Position(position) => Position(position.0.saturating_sub(1)).min(head),
        })
    }

    /// Makes a subscription, or gives the one of this name new rules.
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
        // What this batch has appended is offered to it as to all others.
        let last = self.log.head;
        let backlog = self.count_taken(&definition, cursor, last)?;
        let number =
            rows::add_subscription(&self.connection, &id, dynamic, &definition, cursor, Pause::default(), None)?;
        let last = if backlog > 0 { last } else { cursor };
        let progress = Progress::new(Arc::new(definition), cursor, last, backlog);
        batch.added.push(Subscription::new(number, id, dynamic, None, progress));
        Ok(())
    }

    /// Gives a subscription new rules. If they take other events, or in another order, the new rules begin
    /// where the old ones have not looked yet: what they have found gets rows, unless it is not taken any
    /// more, and the rest is read by the new rules.
    fn redefine(&self, one: &Arc<Subscription>, definition: &Definition, batch: &mut Batch) -> Result<(), StoreError> {
        if !one.progress().definition.selects_like(definition) {
            batch.freeze(one);
        }
        let (present, offered, holes) = {
            let progress = one.progress();
            let offered = if progress.is_behind() { progress.offered } else { self.log.head };
            let none = HashSet::new();
            let settled = batch.fresh.get(&one.number).map_or(&none, |(_, positions)| positions);
            let mut holes = progress.holes(offered.max(progress.cursor), settled);
            let in_flight = |position| progress.claimed.contains_key(&position);
            holes.retain(|hole| {
                in_flight(hole.delivery.logged.position) || definition.takes(&hole.delivery.logged.event)
            });
            (Arc::clone(&progress.definition), offered.max(progress.cursor), holes)
        };
        let pause = one.progress().pause;
        let same_endpoint = matches!(&present.target, Target::Webhook(webhook) if definition.sends_to(&webhook.url));
        if pause.stopped == Some(Stop::Gone) && !same_endpoint {
            self.put_pause(Arc::clone(one), Pause { stopped: None, ..pause }, batch)?;
        }
        if *present != *definition {
            rows::redefine_subscription(&self.connection, one.number, definition)?;
            batch.redefined.push((Arc::clone(one), definition.clone()));
        }
        if parks(one, present.dead_letter_policy) && !parks(one, definition.dead_letter_policy) {
            let released = rows::release_parked(&self.connection, one.number)?;
            batch.unparked.extend(released.into_iter().map(|key| (Arc::clone(one), key.into())));
        }
        if present.selects_like(definition) {
            return Ok(());
        }
        self.move_cursor(Arc::clone(one), offered, holes, batch)?;
        if present.ordering_key != definition.ordering_key {
            self.rekey(one.number, definition)?;
        }
        Ok(())
    }

    /// Finds the keys of all rows anew.
    fn rekey(&self, number: i64, definition: &Definition) -> Result<(), StoreError> {
        let mut after = Position(0);
        loop {
            let rows = rows::all_pending(&self.connection, number, after, PAGE)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.logged.position;
            for row in &rows {
                let key = definition.ordering_key.as_ref().and_then(|key| key.of(&row.logged.event));
                rows::rekey_pending(&self.connection, number, row.logged.position, key.as_deref())?;
            }
        }
    }

    /// Takes over what a generation declares. Subscriptions that it no longer declares are paused and kept,
    /// and named.
    pub(super) fn declare(
        &mut self,
        plugin: &str,
        declaration: Declaration,
        batch: &mut Batch,
    ) -> Result<Vec<SubscriptionId>, Refused> {
        let owned = self.subscriptions.values().filter(|one| one.id.owner == plugin && !one.dynamic);
        let owned: Vec<_> = owned.cloned().collect();
        let mut orphans = Vec::new();
        for subscription in owned {
            let orphaned = !declaration.subscriptions.iter().any(|(name, ..)| *name == subscription.id.name);
            if orphaned && subscription.replay.is_none() {
                orphans.push(subscription.id.clone());
            }
            let pause = Pause { orphaned, ..subscription.progress().pause };
            self.put_pause(subscription, pause, batch)?;
        }
        self.held.share(plugin).limits = declaration.limits;
        self.declare_schedules(plugin, &declaration, batch)?;
        for (name, definition, start) in declaration.subscriptions {
            let id = SubscriptionId { owner: plugin.to_owned(), name };
            self.put_subscription(id, false, definition, start, batch)?;
        }
        Ok(orphans)
    }

    fn put_pause(&self, subscription: Arc<Subscription>, pause: Pause, batch: &mut Batch) -> Result<(), StoreError> {
        if subscription.progress().pause != pause {
            rows::pause_subscription(&self.connection, subscription.number, pause)?;
            batch.pauses.push((subscription, pause));
        }
        Ok(())
    }

    /// Stops a subscription and its replays, or lets them go on. Then nothing holds its endpoint back either.
    pub(super) fn stop(&self, id: &SubscriptionId, stopped: Option<Stop>, batch: &mut Batch) -> Result<(), Refused> {
        let subscription = self.found(id, batch)?;
        let definition = Arc::clone(&subscription.progress().definition);
        if let (Target::Webhook(webhook), None) = (&definition.target, stopped) {
            rows::delete_hold(&self.connection, &webhook.url)?;
            batch.holds.push((webhook.url.clone(), None));
        }
        for one in self.replays(subscription.number).into_iter().chain([subscription]) {
            let pause = Pause { stopped, ..one.progress().pause };
            self.put_pause(one, pause, batch)?;
        }
        Ok(())
    }

    /// Lets everybody see which endpoints are held back now.
    pub(super) fn see_holds(&self, batch: &mut Batch) {
        for (endpoint, hold) in batch.holds.drain(..) {
            for subscription in self.subscriptions.values() {
                if subscription.progress().definition.sends_to(&endpoint) {
                    subscription.wake.notify_one();
                }
            }
            self.shared.holds.set(endpoint, hold, batch.now);
        }
    }

    pub(super) fn delete(&self, id: &SubscriptionId, batch: &mut Batch) -> Result<(), Refused> {
        let subscription = self.found(id, batch)?;
        Ok(self.delete_whole(&subscription, batch)?)
    }

    /// Deletes a subscription with its replays, its backlog and its dead letters.
    pub(super) fn delete_whole(&self, subscription: &Arc<Subscription>, batch: &mut Batch) -> Result<(), StoreError> {
        for replay in self.replays(subscription.number) {
            self.delete_one(&replay, batch)?;
        }
        for position in rows::delete_dead_letters(&self.connection, subscription.number)? {
            self.let_go(position, batch)?;
        }
        self.delete_one(subscription, batch)
    }

    fn delete_one(&self, subscription: &Arc<Subscription>, batch: &mut Batch) -> Result<(), StoreError> {
        for position in rows::delete_all_pending(&self.connection, subscription.number)? {
            self.let_go(position, batch)?;
        }
        rows::delete_subscription(&self.connection, subscription.number)?;
        batch.deleted.push(Arc::clone(subscription));
        Ok(())
    }

    /// Begins a replay: a feed of its own, from a start up to the subscription's cursor. What lies behind
    /// the cursor comes by itself.
    pub(super) fn replay(
        &self,
        id: &SubscriptionId,
        start: Start,
        per_second: Option<NonZeroU32>,
        batch: &mut Batch,
    ) -> Result<Replay, Refused> {
        let subscription = self.found(id, batch)?;
        let (definition, pause, until) = {
            let progress = subscription.progress();
            (Arc::clone(&progress.definition), progress.pause, progress.safe_floor(self.log.head))
        };
        let cursor = self.cursor_of(start)?.min(until);
        let events = self.count_taken(&definition, cursor, until)?;
        if events == 0 {
            return Ok(Replay { number: None, events });
        }
        let replay = ReplayOf { subscription: subscription.number, until, per_second };
        let (dynamic, id) = (subscription.dynamic, subscription.id.clone());
        let number = rows::add_subscription(&self.connection, &id, dynamic, &definition, cursor, pause, Some(&replay))?;
        let mut progress = Progress::new(definition, cursor, until, events).paced(per_second);
        progress.pause = pause;
        batch.added.push(Subscription::new(number, id, dynamic, Some(replay), progress));
        Ok(Replay { number: Some(number), events })
    }

    pub(super) fn stop_replays(&self, id: &SubscriptionId, batch: &mut Batch) -> Result<usize, Refused> {
        let subscription = self.found(id, batch)?;
        let replays = self.replays(subscription.number);
        for replay in &replays {
            self.delete_one(replay, batch)?;
        }
        Ok(replays.len())
    }

    /// Deletes the replays that have come to their end.
    pub(super) fn end_replays(&mut self) -> Result<(), StoreError> {
        let mut over = std::mem::take(&mut self.ended);
        over.retain(|replay| self.subscriptions.contains_key(&replay.number));
        if over.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(self.shared.clock.now(), self.log);
        match self.delete_replays(&over, &mut batch) {
            Ok(()) => {
                self.publish_results(&mut batch);
                Ok(())
            }
            // With nothing left to deliver they do no harm until the store takes changes again.
            Err(error) if !error.kind().is_fatal() => {
                self.ended = over;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn delete_replays(&self, over: &[Arc<Subscription>], batch: &mut Batch) -> Result<(), StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        for replay in over {
            tracing::info!(subscription = %replay.id, replay = replay.number, "the replay is over");
            self.delete_one(replay, batch)?;
        }
        self.put_totals(batch)?;
        Ok(transaction.commit()?)
    }

    /// Lets everybody see which subscriptions there are now, and by which rules. What comes after the head before the
    /// commit is still to be offered.
    pub(super) fn change_subscriptions(&mut self, head_before: Position, batch: &mut Batch) {
        let changed = !(batch.added.is_empty() && batch.deleted.is_empty() && batch.redefined.is_empty());
        for subscription in batch.added.drain(..) {
            self.subscriptions.insert(subscription.number, subscription);
        }
        for (subscription, definition) in batch.redefined.drain(..) {
            self.see_redefined(&subscription, definition, head_before);
            self.note_replay(&subscription);
            subscription.wake.notify_one();
        }
        for (subscription, pause) in batch.pauses.drain(..) {
            subscription.progress().pause = pause;
            subscription.wake.notify_one();
        }
        for subscription in batch.deleted.drain(..) {
            let flows = {
                let mut progress = subscription.progress();
                progress.deleted = true;
                progress.flows.take()
            };
            self.held.take_off(flows);
            self.subscriptions.remove(&subscription.number);
            subscription.wake.notify_one();
        }
        if changed {
            self.takers.clear();
            self.shared.set_subscriptions(self.subscriptions.values().cloned());
        }
    }

    fn see_redefined(&mut self, subscription: &Subscription, definition: Definition, head_before: Position) {
        let mut progress = subscription.progress();
        let selects_alike = progress.definition.selects_like(&definition);
        let reordered = progress.definition.ordering_key != definition.ordering_key;
        progress.definition = Arc::new(definition);
        if selects_alike {
            return;
        }
        let (definition, last) = (Arc::clone(&progress.definition), subscription.replay.map(|replay| replay.until));
        // What is taken by the new rules has a row.
        progress.drop_ready(|_| false);
        progress.offered = progress.cursor;
        progress.void_read();
        progress.missed = last.unwrap_or(head_before).max(progress.cursor);
        // An error of the store shows at the next write; until then a wrong count only shows in the metrics.
        let rows = rows::count_pending(&self.connection, subscription.number).unwrap_or(0);
        let unread = self.count_taken(&definition, progress.cursor, progress.missed).unwrap_or(0);
        progress.backlog = rows + unread;
        if subscription.replay.is_none() {
            let before = progress.flows.held().map(|(plugin, count)| (plugin.into(), count)).collect();
            self.held.take_off(before);
            let backlog = progress.backlog;
            match count_flows(&self.connection, &self.shared.types(), subscription.number, &mut progress) {
                Ok(true) => {}
                // As above; until it has caught up too many may be counted.
                Ok(false) | Err(_) => drop(progress.flows.clamp(backlog)),
            }
            self.held.add(progress.flows.held());
        }
        if reordered {
            progress.due.clear();
            progress.next_due = Some(Timestamp(0));
            if let Ok(keys) = load_keys(&self.connection, subscription.number) {
                progress.keys = keys;
            }
            // What is in flight ends under the old rules, and then lets the next one of its new key go.
            for claimed in progress.claimed.values_mut() {
                claimed.key = definition.ordering_key.as_ref().and_then(|key| key.of(&claimed.logged.event));
            }
        }
    }
}
