//! Positions of events, newest first, by each of the indexes, for searches.

use rusqlite::{Connection, Params, params};

use super::events::query;
use super::inspection::by_correlation;
use super::{signed, unsigned};
use crate::bus::{EventFilter, StoreError};
use crate::event::{LoggedEvent, Position};

/// The positions that are searched: those after `low` and before `high`.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct SearchRange {
    pub(in super::super) low: Position,
    pub(in super::super) high: Position,
}

fn positions(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<Position>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| Ok(Position(unsigned(row, 0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest positions of a range.
pub(in super::super) fn positions_in(
    connection: &Connection,
    range: SearchRange,
    limit: usize,
) -> Result<Vec<Position>, StoreError> {
    positions(
        connection,
        "SELECT position FROM events WHERE position > ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3",
        params![signed(range.low.0), signed(range.high.0), signed(limit as u64)],
    )
}

/// The newest positions of a range with events of a type.
pub(in super::super) fn positions_of_type(
    connection: &Connection,
    type_number: i64,
    range: SearchRange,
    limit: usize,
) -> Result<Vec<Position>, StoreError> {
    positions(
        connection,
        "SELECT position FROM events WHERE type = ?1 AND position > ?2 AND position < ?3 ORDER BY position DESC LIMIT ?4",
        params![type_number, signed(range.low.0), signed(range.high.0), signed(limit as u64)],
    )
}

/// The newest positions of a range with events that have a correlation id, or an id of this name and no correlation id.
pub(in super::super) fn positions_correlated(
    connection: &Connection,
    correlation: &str,
    range: SearchRange,
    limit: usize,
) -> Result<Vec<Position>, StoreError> {
    let values = params![correlation, signed(range.low.0), signed(range.high.0), signed(limit as u64)];
    let mut found = positions(
        connection,
        &format!(
            "SELECT e.position FROM {} WHERE e.extensions ->> '$.correlationid' IS NOT NULL
             AND e.extensions ->> '$.correlationid' = ?1 AND e.position > ?2 AND e.position < ?3
             ORDER BY e.position DESC LIMIT ?4",
            by_correlation()
        ),
        values,
    )?;
    found.extend(positions(
        connection,
        "SELECT position FROM events WHERE id = ?1 AND position > ?2 AND position < ?3
         AND extensions ->> '$.correlationid' IS NULL ORDER BY position DESC LIMIT ?4",
        values,
    )?);
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(limit);
    Ok(found)
}

/// All positions of a range with events whose ids have a prefix, newest first. None if there are more than `limit`.
pub(in super::super) fn positions_with_id_prefix(
    connection: &Connection,
    prefix: &str,
    range: SearchRange,
    limit: usize,
) -> Result<Option<Vec<Position>>, StoreError> {
    // No id has this character, and every other one is before it.
    let end = format!("{prefix}\u{10ffff}");
    let mut found = positions(
        connection,
        "SELECT position FROM events INDEXED BY events_by_identity
         WHERE id >= ?1 AND id < ?2 AND position > ?3 AND position < ?4 LIMIT ?5",
        params![prefix, end, signed(range.low.0), signed(range.high.0), signed(limit as u64 + 1)],
    )?;
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok((found.len() <= limit).then_some(found))
}

/// The event at a position, if it has the source and the subject of a filter. The other conditions are not checked.
pub(in super::super) fn searched_event(
    connection: &Connection,
    position: Position,
    filter: &EventFilter,
) -> Result<Option<LoggedEvent>, StoreError> {
    let found = query(
        connection,
        "WHERE e.position = ?1 AND (?2 IS NULL OR e.source = ?2) AND (?3 IS NULL OR e.subject = ?3)",
        params![signed(position.0), filter.source, filter.subject],
    )?;
    Ok(found.into_iter().next())
}
