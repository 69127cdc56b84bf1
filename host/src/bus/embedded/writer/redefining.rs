//! Redefined subscriptions.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::load::{count_publishers, load_keys};
use super::super::rows;
use super::super::selection::Selection;
use super::super::subscription::Subscription;
use super::Writer;
use super::batch::Batch;
use super::deliveries::parks;
use crate::bus::StoreError;
use crate::bus::window::{PAGE, Pause, PauseReason, Window};
use crate::event::Position;
use crate::subscription::{Definition, Target};

impl Writer {
    /// Redefines a subscription. If the new definition selects other events, or orders them differently, it takes
    /// effect after the last event that the old one was matched against. Open deliveries up to there get rows if they
    /// still match, and later events are matched by the new definition.
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
            gaps.retain(|gap| {
                in_flight(gap.delivery.logged.position) || definition.selects(&gap.delivery.logged.event)
            });
            (Arc::clone(&window.definition), offered.max(window.cursor), gaps)
        };
        let pause = one.window().pause;
        let same_endpoint = matches!(&present.target, Target::Webhook(webhook) if definition.sends_to(&webhook.url));
        if pause.paused_by == Some(PauseReason::EndpointGone) && !same_endpoint {
            self.put_pause(Arc::clone(one), Pause { paused_by: None, ..pause }, batch)?;
        }
        if *present != *definition {
            let selects_after =
                if present.selects_same_events(definition) { one.window().selects_after } else { offered };
            rows::redefine_subscription(&self.connection, one.number, definition, selects_after)?;
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

    /// Computes the ordering keys of all rows again.
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

    /// Applies a new definition, which is durable, to the window.
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
        // An error of the store shows again at the next write. Until then, only the metrics show a wrong count.
        let rows = rows::count_pending(&self.connection, subscription.number).unwrap_or(0);
        let unread = self
            .count_matching(Selection::of(subscription, &definition), window.cursor, window.last_not_offered)
            .unwrap_or(0);
        window.backlog = rows + unread;
        if subscription.replay.is_none() {
            self.recount_publishers(subscription.number, &mut window);
        }
        if reordered {
            window.apply_ordering(load_keys(&self.connection, subscription.number).ok());
        }
    }

    /// Counts again which plugins published a subscription's open deliveries and dead letters.
    fn recount_publishers(&mut self, number: i64, window: &mut Window) {
        let before = window.publishers.totals().map(|(plugin, count)| (plugin.into(), count)).collect();
        self.usage.subtract(before);
        let backlog = window.backlog;
        match count_publishers(&self.connection, &self.shared.types(), number, window) {
            Ok(true) => {}
            // As above. The counts may be too high until the subscription has caught up.
            Ok(false) | Err(_) => drop(window.publishers.clamp(backlog)),
        }
        self.usage.add(window.publishers.totals());
    }
}
