//! Loads the subscriptions at the start, and counts events in the store.

use std::sync::Arc;

use rusqlite::Connection;

use super::engine_state::Types;
use super::rows;
use super::subscription::Subscription;
use crate::bus::StoreError;
use crate::bus::window::{OrderingKeys, PAGE, Window};
use crate::event::Position;
use crate::subscription::Definition;

pub(super) fn load_subscriptions(
    connection: &Connection,
    types: &Types,
    head: Position,
) -> Result<Vec<Arc<Subscription>>, StoreError> {
    let mut all = Vec::new();
    for row in rows::subscriptions(connection)? {
        let last = row.replay.map_or(head, |replay| replay.until);
        let unread = count_matching(connection, types, &row.definition, row.cursor, last)?;
        let backlog = unread + rows::count_pending(connection, row.number)?;
        let last = if unread > 0 { last } else { row.cursor };
        let mut window = Window::new(Arc::new(row.definition), row.cursor, last, backlog)
            .rate_limited(row.replay.and_then(|replay| replay.per_second));
        window.selects_after = row.selects_after;
        window.pause = row.pause;
        window.keys = load_keys(connection, row.number)?;
        if row.replay.is_none() {
            count_publishers(connection, types, row.number, &mut window)?;
        }
        all.push(Subscription::new(row.number, row.id, row.dynamic, row.replay, window));
    }
    Ok(all)
}

/// Counts which plugins published a subscription's open deliveries and dead letters. Returns false, and changes
/// nothing, if there are too many or if they would have to be read.
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
        for (plugin, count) in rows::events_by_plugin(connection, type_number, window.cursor, window.missed)? {
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

/// The number of events after a position, up to another one, whose types match a definition.
pub(super) fn count_of_types(
    connection: &Connection,
    types: &Types,
    definition: &Definition,
    after: Position,
    until: Position,
) -> Result<u64, StoreError> {
    let types = types.matching(&definition.pattern);
    types.into_iter().map(|number| rows::count_of_type(connection, number, after, until)).sum()
}

/// The number of events after a position, up to another one, that match a definition. With filters, the events are
/// read.
pub(super) fn count_matching(
    connection: &Connection,
    types: &Types,
    definition: &Definition,
    after: Position,
    until: Position,
) -> Result<u64, StoreError> {
    if definition.filters.is_empty() {
        return count_of_types(connection, types, definition, after, until);
    }
    let mut count = 0;
    for number in types.matching(&definition.pattern) {
        let mut after = after;
        loop {
            let page = rows::events_of_type(connection, number, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.position;
            let taken = page.iter().filter(|logged| logged.position <= until && definition.takes(&logged.event));
            count += taken.count() as u64;
        }
    }
    Ok(count)
}
