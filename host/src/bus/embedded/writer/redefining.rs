//! New rules of a subscription.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::load::{count_flows, load_keys};
use super::super::rows;
use super::super::subscription::Subscription;
use super::Writer;
use super::batch::Batch;
use super::deliveries::parks;
use crate::bus::StoreError;
use crate::bus::window::{PAGE, Pause, Progress, Stop};
use crate::event::Position;
use crate::subscription::{Definition, Target};

impl Writer {
    /// Gives a subscription new rules. If they take other events, or in another order, the new rules begin
    /// where the old ones have not looked yet: what they have found gets rows, unless it is not taken any
    /// more, and the rest is read by the new rules.
    pub(super) fn redefine(
        &self,
        one: &Arc<Subscription>,
        definition: &Definition,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if !one.progress().definition.selects_like(definition) {
            batch.frozen.freeze(one);
        }
        let (present, offered, holes) = {
            let progress = one.progress();
            let offered = if progress.is_behind() { progress.offered } else { self.log.head };
            let none = HashSet::new();
            let settled = batch.changes.deliveries.fresh(one).unwrap_or(&none);
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
            batch.changes.subscriptions.redefined.push((Arc::clone(one), definition.clone()));
        }
        if parks(one, present.dead_letter_policy) && !parks(one, definition.dead_letter_policy) {
            let released = rows::release_parked(&self.connection, one.number)?;
            batch.changes.dead_letters.unparked.extend(released.into_iter().map(|key| (Arc::clone(one), key.into())));
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

    /// Shows the new rules, which are durable.
    pub(super) fn see_redefined(&mut self, subscription: &Subscription, definition: Definition, head_before: Position) {
        let mut progress = subscription.progress();
        let selects_alike = progress.definition.selects_like(&definition);
        let reordered = progress.definition.ordering_key != definition.ordering_key;
        let definition = Arc::new(definition);
        if selects_alike {
            progress.definition = definition;
            return;
        }
        let last = subscription.replay.map_or(head_before, |replay| replay.until);
        progress.reselect(Arc::clone(&definition), last);
        // An error of the store shows at the next write; until then a wrong count only shows in the metrics.
        let rows = rows::count_pending(&self.connection, subscription.number).unwrap_or(0);
        let unread = self.count_taken(&definition, progress.cursor, progress.missed).unwrap_or(0);
        progress.backlog = rows + unread;
        if subscription.replay.is_none() {
            self.recount_flows(subscription.number, &mut progress);
        }
        if reordered {
            progress.reorder(load_keys(&self.connection, subscription.number).ok());
        }
    }

    /// Counts again which plugins published what a subscription has open or dead.
    fn recount_flows(&mut self, number: i64, progress: &mut Progress) {
        let before = progress.flows.held().map(|(plugin, count)| (plugin.into(), count)).collect();
        self.held.take_off(before);
        let backlog = progress.backlog;
        match count_flows(&self.connection, &self.shared.types(), number, progress) {
            Ok(true) => {}
            // As above; until it has caught up too many may be counted.
            Ok(false) | Err(_) => drop(progress.flows.clamp(backlog)),
        }
        self.held.add(progress.flows.held());
    }
}
