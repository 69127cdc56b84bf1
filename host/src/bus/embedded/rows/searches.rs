//! Positions of events, newest first, by each of the indexes, for searches.

use rusqlite::{Connection, Params, params};

use super::events::query;
use super::inspection::by_correlation;
use super::unsigned;
use crate::bus::engine::store::encoding::signed;
use crate::bus::engine::store::*;
use crate::bus::{EventFilter, StoreError};
use crate::event::{LoggedEvent, Position};

fn positions(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<Position>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| Ok(Position(unsigned(row, 0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl SearchRows for Connection {
    fn positions_in(&self, range: SearchRange, limit: usize) -> Result<Vec<Position>, StoreError> {
        positions(
            self,
            "SELECT position FROM events WHERE position > ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3",
            params![signed(range.low.0), signed(range.high.0), signed(limit as u64)],
        )
    }

    fn positions_of_type(
        &self,
        type_number: i64,
        range: SearchRange,
        limit: usize,
    ) -> Result<Vec<Position>, StoreError> {
        positions(
            self,
            "SELECT position FROM events WHERE type = ?1 AND position > ?2 AND position < ?3 ORDER BY position DESC LIMIT ?4",
            params![type_number, signed(range.low.0), signed(range.high.0), signed(limit as u64)],
        )
    }

    fn positions_correlated(
        &self,
        correlation: &str,
        range: SearchRange,
        limit: usize,
    ) -> Result<Vec<Position>, StoreError> {
        let values = params![correlation, signed(range.low.0), signed(range.high.0), signed(limit as u64)];
        let mut found = positions(
            self,
            &format!(
                "SELECT e.position FROM {} WHERE e.extensions ->> '$.correlationid' IS NOT NULL
             AND e.extensions ->> '$.correlationid' = ?1 AND e.position > ?2 AND e.position < ?3
             ORDER BY e.position DESC LIMIT ?4",
                by_correlation()
            ),
            values,
        )?;
        found.extend(positions(
            self,
            "SELECT position FROM events WHERE id = ?1 AND position > ?2 AND position < ?3
         AND extensions ->> '$.correlationid' IS NULL ORDER BY position DESC LIMIT ?4",
            values,
        )?);
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.truncate(limit);
        Ok(found)
    }

    fn positions_with_id_prefix(
        &self,
        prefix: &str,
        range: SearchRange,
        limit: usize,
    ) -> Result<Option<Vec<Position>>, StoreError> {
        // No id has this character, and every other one is before it.
        let end = format!("{prefix}\u{10ffff}");
        let mut found = positions(
            self,
            "SELECT position FROM events INDEXED BY events_by_identity
         WHERE id >= ?1 AND id < ?2 AND position > ?3 AND position < ?4 LIMIT ?5",
            params![prefix, end, signed(range.low.0), signed(range.high.0), signed(limit as u64 + 1)],
        )?;
        found.sort_unstable_by(|one, other| other.cmp(one));
        Ok((found.len() <= limit).then_some(found))
    }

    fn searched_event(&self, position: Position, filter: &EventFilter) -> Result<Option<LoggedEvent>, StoreError> {
        let found = query(
            self,
            "WHERE e.position = ?1 AND (?2 IS NULL OR e.source = ?2) AND (?3 IS NULL OR e.subject = ?3)",
            params![signed(position.0), filter.source, filter.subject],
        )?;
        Ok(found.into_iter().next())
    }
}
