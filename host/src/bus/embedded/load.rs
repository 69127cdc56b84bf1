//! Loads the subscriptions at the start.

use std::sync::Arc;

use rusqlite::Connection;

use super::engine_state::Types;
use super::rows;
use super::selection::Selection;
use super::subscription::Subscription;
use crate::bus::StoreError;
use crate::bus::window::{OrderingKeys, Window};
use crate::event::Position;

pub(super) fn load_subscriptions(
    connection: &Connection,
    types: &Types,
    head: Position,
) -> Result<Vec<Arc<Subscription>>, StoreError> {
    let mut all = Vec::new();
    for row in rows::subscriptions(connection)? {
        let range = row.replay.as_ref().map(|(range, _)| *range);
        let last = range.map_or(head, |replay| replay.until);
        let only = row.replay.as_ref().and_then(|(_, only)| only.as_ref());
        let selection = Selection { definition: &row.definition, only };
        let unread = selection.count(connection, types, row.cursor, last)?;
        let backlog = unread + rows::count_pending(connection, row.number)?;
        let last = if unread > 0 { last } else { row.cursor };
        let mut window = Window::new(Arc::new(row.definition), row.cursor, last, backlog)
            .rate_limited(range.and_then(|replay| replay.per_second));
        window.selects_after = row.selects_after;
        window.pause = row.pause;
        window.keys = load_keys(connection, row.number)?;
        if range.is_none() {
            count_publishers(connection, types, row.number, &mut window)?;
        }
        all.push(Subscription::new(row.number, row.id, row.dynamic, row.replay, window));
    }
    Ok(all)
}

/// Counts which plugins published a subscription's open deliveries and dead letters. Returns false, and changes
/// nothing, if there are more than `LIMIT`, or if the subscription has filters, because counting would then require
/// reading the events.
pub(super) fn count_publishers(
    connection: &Connection,
    types: &Types,
    number: i64,
    window: &mut Window,
) -> Result<bool, StoreError> {
    /// The maximum number of deliveries that are counted.
    pub(super) const LIMIT: u64 = 50_000;
    if window.backlog > LIMIT || !window.definition.filters.is_empty() {
        return Ok(false);
    }
    window.publishers.take();
    for (plugin, count) in rows::rows_by_plugin(connection, rows::Rows::Pending, number)? {
        window.publishers.add(&plugin, count, 0);
    }
    for (plugin, count) in rows::rows_by_plugin(connection, rows::Rows::DeadLetters, number)? {
        window.publishers.add(&plugin, 0, count);
    }
    for type_number in types.matching(&window.definition.pattern) {
        for (plugin, count) in rows::events_by_plugin(connection, type_number, window.cursor, window.last_not_offered)?
        {
            window.publishers.add(&plugin, count, 0);
        }
    }
    window.counted_from = Position(0);
    Ok(true)
}

pub(super) fn load_keys(connection: &Connection, number: i64) -> Result<OrderingKeys, StoreError> {
    let parked = rows::parked_keys(connection, number)?.into_iter().map(Into::into).collect();
    Ok(OrderingKeys::restore(rows::stored_keys(connection, number)?, parked))
}
