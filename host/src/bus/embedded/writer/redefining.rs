//! New rules of a subscription.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::load::{count_publishers, load_keys};
use super::super::rows;
use super::super::subscription::Subscription;
use super::Writer;
use super::batch::Batch;
use super::deliveries::parks;
use crate::bus::StoreError;
use crate::bus::window::{PAGE, Pause, StopReason, Window};
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
        if !one.window().definition.selects_like(definition) {
            batch.frozen.freeze(one);
        }
        let (present, offered, gaps) = {
            let window = one.window();
            let offered = if window.is_behind() { window.offered } else { self.log.head };
            let none = HashSet::new();
            let settled = batch.changes.deliveries.first_attempts(one).unwrap_or(&none);
            let mut gaps = window.gaps(offered.max(window.cursor), settled);
            let in_flight = |position| window.claimed.contains_key(&position);
            gaps.retain(|gap| in_flight(gap.delivery.logged.position) || definition.takes(&gap.delivery.logged.event));
            (Arc::clone(&window.definition), offered.max(window.cursor), gaps)
        };
        let pause = one.window().pause;
        let same_endpoint = matches!(&present.target, Target::Webhook(webhook) if definition.sends_to(&webhook.url));
        if pause.stopped == Some(StopReason::EndpointGone) && !same_endpoint {
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
        self.move_cursor(Arc::clone(one), offered, gaps, batch)?;
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
    pub(super) fn apply_redefined_in_memory(
        &mut self,
        subscription: &Subscription,
        definition: Definition,
        head_before: Position,
    ) {
        let mut window = subscription.window();
        let selects_alike = window.definition.selects_like(&definition);
        let reordered = window.definition.ordering_key != definition.ordering_key;
        let definition = Arc::new(definition);
        if selects_alike {
            window.definition = definition;
            return;
        }
        let last = subscription.replay.map_or(head_before, |replay| replay.until);
        window.apply_selection(Arc::clone(&definition), last);
        // An error of the store shows at the next write; until then a wrong count only shows in the metrics.
        let rows = rows::count_pending(&self.connection, subscription.number).unwrap_or(0);
        let unread = self.count_matching(&definition, window.cursor, window.missed).unwrap_or(0);
        window.backlog = rows + unread;
        if subscription.replay.is_none() {
            self.recount_publishers(subscription.number, &mut window);
        }
        if reordered {
            window.apply_ordering(load_keys(&self.connection, subscription.number).ok());
        }
    }

    /// Counts again which plugins published what a subscription has open or dead.
    fn recount_publishers(&mut self, number: i64, window: &mut Window) {
        let before = window.publishers.totals().map(|(plugin, count)| (plugin.into(), count)).collect();
        self.usage.subtract(before);
        let backlog = window.backlog;
        match count_publishers(&self.connection, &self.shared.types(), number, window) {
            Ok(true) => {}
            // As above; until it has caught up too many may be counted.
            Ok(false) | Err(_) => drop(window.publishers.clamp(backlog)),
        }
        self.usage.add(window.publishers.totals());
    }
}
