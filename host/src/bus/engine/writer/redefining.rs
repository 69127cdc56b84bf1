//! Redefined subscriptions.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::feed_state::FeedState;
use super::super::load::{count_by_plugin, load_keys};
use super::super::selection::Selection;
use super::Writer;
use super::batch::Batch;
use super::deliveries::parks;
use crate::bus::StoreError;
use crate::bus::window::{PAGE, Pause, PauseReason, RowlessDelivery, Window};
use crate::event::Position;
use crate::subscription::{Definition, Target};

impl Writer {
    /// Redefines a subscription. If the new definition selects other events, or orders them differently, it takes
    /// effect after the last event that the old one was matched against. Pending deliveries up to there get rows if
    /// they still match, and later events are matched by the new definition.
    pub(super) fn redefine(
        &self,
        one: &Arc<FeedState>,
        definition: &Definition,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if !one.window().definition.selects_and_orders_like(definition) {
            batch.windows.freeze(one);
        }
        let (present, examined, rowless) = {
            let window = one.window();
            let examined = if window.is_behind() { window.loaded_through } else { self.log.head };
            let none = HashSet::new();
            let settled = batch.changes.deliveries.settled_without_row(one).unwrap_or(&none);
            let mut rowless = window.rowless_up_to(examined.max(window.cursor), settled);
            let in_flight = |position| window.claimed.contains_key(&position);
            rowless.retain(|RowlessDelivery { delivery, .. }| {
                in_flight(delivery.logged.position) || definition.selects(&delivery.logged.event)
            });
            (Arc::clone(&window.definition), examined.max(window.cursor), rowless)
        };
        let pause = one.window().pause;
        let same_endpoint = matches!(&present.target, Target::Webhook(webhook) if definition.sends_to(&webhook.url));
        if pause.paused_by == Some(PauseReason::EndpointGone) && !same_endpoint {
            self.put_pause(Arc::clone(one), Pause { paused_by: None, ..pause }, batch)?;
        }
        if *present != *definition {
            let selects_after =
                if present.selects_same_events(definition) { one.window().selects_after } else { examined };
            self.rows.redefine_subscription(one.number, definition, selects_after)?;
            batch.changes.subscriptions.redefined.push((Arc::clone(one), definition.clone()));
        }
        if parks(one, present.dead_letter_policy) && !parks(one, definition.dead_letter_policy) {
            let released = self.rows.release_parked(one.number)?;
            batch.changes.dead_letters.unparked.extend(released.into_iter().map(|key| (Arc::clone(one), key.into())));
        }
        if present.selects_and_orders_like(definition) {
            return Ok(());
        }
        self.move_cursor(Arc::clone(one), examined, rowless, batch)?;
        if present.ordering_key != definition.ordering_key {
            self.rekey(one.number, definition)?;
        }
        Ok(())
    }

    /// Computes the ordering keys of all rows again.
    fn rekey(&self, number: i64, definition: &Definition) -> Result<(), StoreError> {
        let mut after = Position(0);
        loop {
            let rows = self.rows.all_pending(number, after, PAGE)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.logged.position;
            for row in &rows {
                let key = definition.ordering_key.as_ref().and_then(|key| key.of(&row.logged.event));
                self.rows.rekey_pending(number, row.logged.position, key.as_deref())?;
            }
        }
    }

    /// Applies a new definition, which is durable, to the window.
    pub(super) fn apply_redefined_in_memory(
        &mut self,
        subscription: &FeedState,
        definition: Definition,
        head_before: Position,
    ) {
        let mut window = subscription.window();
        let is_alike = window.definition.selects_and_orders_like(&definition);
        let reordered = window.definition.ordering_key != definition.ordering_key;
        let definition = Arc::new(definition);
        if is_alike {
            window.definition = definition;
            return;
        }
        let last = subscription.replay.map_or(head_before, |replay| replay.until);
        window.apply_selection(Arc::clone(&definition), last);
        let selection = Selection::of(subscription, &definition);
        let unread = self.count_matching(selection, window.cursor, window.last_left_in_log);
        let backlog = self.rows.count_pending(subscription.number).and_then(|rows| Ok(rows + unread?));
        if let Some(backlog) = self.or_fail_bus(backlog) {
            window.backlog = backlog;
        }
        if subscription.replay.is_none() {
            self.recount_by_plugin(subscription.number, &mut window);
        }
        if reordered {
            window.apply_ordering(self.or_fail_bus(load_keys(&*self.rows, subscription.number)));
        }
    }

    /// Counts again which plugins published a subscription's pending deliveries and dead letters.
    fn recount_by_plugin(&mut self, number: i64, window: &mut Window) {
        let before = window.plugin_counts.totals().map(|(plugin, count)| (plugin.into(), count)).collect();
        self.usage.subtract(before);
        let backlog = window.backlog;
        match count_by_plugin(&*self.rows, &self.shared.types(), number, window) {
            Ok(true) => {}
            // The deliveries could not be counted. The old counts remain, limited by the backlog. They may be too high
            // until the subscription has caught up.
            Ok(false) | Err(_) => drop(window.plugin_counts.clamp(backlog)),
        }
        self.usage.add(window.plugin_counts.totals());
    }
}
