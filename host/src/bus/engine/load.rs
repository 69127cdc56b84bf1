//! Loads the state of the feeds at the start.

use std::sync::Arc;

use super::engine_state::Types;
use super::feed_state::FeedState;
use super::selection::Selection;
use super::store::{DeliveryTable, Rows};
use crate::bus::StoreError;
use crate::bus::window::{OrderingKeys, Window};
use crate::event::Position;

pub(super) fn load_feeds(rows: &dyn Rows, types: &Types, head: Position) -> Result<Vec<Arc<FeedState>>, StoreError> {
    let mut all = Vec::new();
    for row in rows.subscriptions()? {
        let range = row.replay.as_ref().map(|(range, _)| *range);
        let last = range.map_or(head, |replay| replay.until);
        let replay_filter = row.replay.as_ref().and_then(|(_, filter)| filter.as_ref());
        let selection = Selection { definition: &row.definition, replay_filter };
        let unread = selection.count(rows, types, row.cursor, last)?;
        let backlog = unread + rows.count_pending(row.number)?;
        let last = if unread > 0 { last } else { row.cursor };
        let mut window = Window::new(Arc::new(row.definition), row.cursor, last, backlog)
            .rate_limited(range.and_then(|replay| replay.per_second));
        window.selects_after = row.selects_after;
        window.pause = row.pause;
        window.keys = load_keys(rows, row.number)?;
        if range.is_none() {
            count_by_plugin(rows, types, row.number, &mut window)?;
        }
        all.push(FeedState::new(row.number, row.id, row.dynamic, row.replay, window));
    }
    Ok(all)
}

/// Counts which plugins published a subscription's pending deliveries and dead letters. Returns false, and changes
/// nothing, if there are more than `LIMIT`, or if the subscription has filters, because counting would then require
/// reading the events.
pub(super) fn count_by_plugin(
    rows: &dyn Rows,
    types: &Types,
    number: i64,
    window: &mut Window,
) -> Result<bool, StoreError> {
    /// The maximum number of deliveries that are counted.
    pub(super) const LIMIT: u64 = 50_000;
    if window.backlog > LIMIT || !window.definition.filters.is_empty() {
        return Ok(false);
    }
    window.plugin_counts.take();
    for (plugin, count) in rows.rows_by_plugin(DeliveryTable::Pending, number)? {
        window.plugin_counts.add(&plugin, count, 0);
    }
    for (plugin, count) in rows.rows_by_plugin(DeliveryTable::DeadLetters, number)? {
        window.plugin_counts.add(&plugin, 0, count);
    }
    for type_number in types.matching(&window.definition.pattern) {
        for (plugin, count) in rows.events_by_plugin(type_number, window.cursor, window.last_left_in_log)? {
            window.plugin_counts.add(&plugin, count, 0);
        }
    }
    window.counted_from = Position(0);
    Ok(true)
}

pub(super) fn load_keys(rows: &dyn Rows, number: i64) -> Result<OrderingKeys, StoreError> {
    let parked = rows.parked_keys(number)?.into_iter().map(Into::into).collect();
    Ok(OrderingKeys::restore(rows.stored_keys(number)?, parked))
}
