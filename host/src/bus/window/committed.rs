//! Applies durable changes to a window.

use std::sync::Arc;

use super::{CountReductions, Due, OrderingKeys, PendingDelivery, RedrivenDelivery, RowlessDelivery, Window};
use crate::bus::SettledStatus;
use crate::event::Position;
use crate::subscription::Definition;

impl Window {
    /// Applies a move of the cursor. The pending deliveries before it that had no row have got one.
    pub(crate) fn apply_cursor_move(&mut self, cursor: Position, rowless: Vec<RowlessDelivery>) {
        self.cursor = self.cursor.max(cursor);
        for one in rowless {
            let position = one.delivery.logged.position;
            let index = self.ready.binary_search_by_key(&position, |delivery| delivery.logged.position);
            let ready = index.ok().and_then(|index| self.ready.remove(index));
            if let Some(claimed) = self.claimed.get_mut(&position) {
                claimed.has_row = true;
                continue;
            }
            let Some(mut delivery) = ready else { continue };
            delivery.has_row = true;
            match &delivery.key {
                Some(key) if one.awaits_turn => self.keys.note_row(key),
                _ => self.due.push_back(delivery),
            }
        }
    }

    /// Applies the settlement of a delivery in flight. Calls `gone` with each plugin whose count of deliveries has
    /// dropped, and by how much.
    pub(crate) fn apply_settled(
        &mut self,
        position: Position,
        settled: SettledStatus,
        parks: bool,
        mut gone: impl FnMut(&str, u64),
    ) {
        let Some(delivery) = self.end_claim(position) else { return };
        let source = if delivery.redriven_replay.is_none() { delivery.logged.event.source.as_str() } else { "" };
        let plugin = self.counted_publisher(position, source);
        match settled {
            SettledStatus::Handled => {
                self.done(&delivery, false);
                if let Some(plugin) = plugin {
                    gone(plugin, self.plugin_counts.handled(plugin));
                }
            }
            SettledStatus::Dead => {
                self.done(&delivery, parks);
                if let Some(plugin) = plugin {
                    self.plugin_counts.dead_lettered(plugin);
                }
            }
            SettledStatus::Waiting(due) => self.note_row_due(Due::At(due)),
        }
        if self.backlog == 0 {
            self.plugin_counts.clamp(0).into_iter().for_each(|(plugin, count)| gone(&plugin, count));
        }
    }

    /// Removes a handled or dead delivery from the backlog.
    fn done(&mut self, delivery: &PendingDelivery, parks: bool) {
        self.backlog = self.backlog.saturating_sub(1);
        let Some(key) = &delivery.key else { return };
        if parks {
            self.keys.park(key);
        } else {
            self.keys.done(key, delivery.logged.position);
        }
    }

    /// Applies a redrive: a dead letter is a delivery again.
    pub(crate) fn apply_redriven(&mut self, letter: &RedrivenDelivery) {
        self.backlog += 1;
        if let Some(plugin) =
            letter.source.as_deref().and_then(|source| self.counted_publisher(letter.position, source))
        {
            self.plugin_counts.redriven(plugin);
        }
        match &letter.key {
            Some(key) if letter.awaits_turn => self.keys.note_row(key),
            Some(key) => self.keys.redriven(key, letter.position),
            None => {}
        }
        self.note_row_due(Due::Now);
    }

    /// Applies the deletion of a dead letter. Calls `gone` with the plugin whose count of deliveries has dropped, and
    /// by how much.
    pub(crate) fn apply_dropped(&mut self, position: Position, source: &str, gone: impl FnOnce(&str, u64)) {
        if let Some(plugin) = self.counted_publisher(position, source) {
            gone(plugin, self.plugin_counts.dropped(plugin));
        }
    }

    /// Applies the deletion of unhandled events up to a position.
    pub(crate) fn apply_expired(&mut self, floor: Position, expired: u64) -> CountReductions {
        self.expired += expired;
        self.backlog = self.backlog.saturating_sub(expired);
        self.retain_ready(|delivery| delivery.logged.position > floor);
        self.loaded_through = self.loaded_through.max(floor);
        self.plugin_counts.clamp(self.backlog)
    }

    /// Applies the deletion of the subscription, with its pending deliveries and dead letters.
    pub(crate) fn apply_deleted(&mut self) -> CountReductions {
        self.deleted = true;
        self.plugin_counts.take()
    }

    /// Applies a definition that selects other events, or orders them differently. Pending deliveries before the cursor
    /// have rows if they still match. Events after the cursor, up to `last`, are read from the log.
    pub(crate) fn apply_selection(&mut self, definition: Arc<Definition>, last: Position) {
        if !self.definition.selects_same_events(&definition) {
            self.selects_after = self.cursor;
        }
        self.definition = definition;
        self.retain_ready(|_| false);
        self.loaded_through = self.cursor;
        self.void_read();
        self.last_left_in_log = last.max(self.cursor);
    }

    /// Applies a change of the ordering key. `keys` are the busy keys, or None if they could not be read.
    pub(crate) fn apply_ordering(&mut self, keys: Option<OrderingKeys>) {
        self.due.clear();
        self.next_due = Some(Due::Now);
        if let Some(keys) = keys {
            self.keys = keys;
        }
        // Deliveries in flight were claimed under the old definition. When they end, they release their value of the
        // new ordering key.
        for claimed in self.claimed.values_mut() {
            claimed.key = self.definition.ordering_key.as_ref().and_then(|key| key.of(&claimed.logged.event));
        }
    }
}
