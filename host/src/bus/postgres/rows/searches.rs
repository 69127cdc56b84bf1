//! Positions of events, newest first, by each of the indexes, for searches.

use super::super::connection::PgConnection;
use super::super::session::{Columns as _, Value, can_be_stored};
use super::events::events;
use crate::bus::engine::store::encoding::signed;
use crate::bus::engine::store::{SearchRange, SearchRows};
use crate::bus::{EventFilter, StoreError};
use crate::event::{LoggedEvent, Position};

fn positions(connection: &PgConnection, sql: &str, values: &[Value<'_>]) -> Result<Vec<Position>, StoreError> {
    connection.query(sql, values)?.iter().map(|row| row.unsigned(0).map(Position)).collect()
}

impl SearchRows for PgConnection {
    fn positions_in(&self, range: SearchRange, limit: usize) -> Result<Vec<Position>, StoreError> {
        let sql = "SELECT position FROM events WHERE position > $1 AND position < $2 ORDER BY position DESC LIMIT $3";
        positions(self, sql, &[&signed(range.low.0), &signed(range.high.0), &signed(limit as u64)])
    }

    fn positions_of_type(
        &self,
        type_number: i64,
        range: SearchRange,
        limit: usize,
    ) -> Result<Vec<Position>, StoreError> {
        let sql = "SELECT position FROM events WHERE type = $1 AND position > $2 AND position < $3
             ORDER BY position DESC LIMIT $4";
        positions(self, sql, &[&type_number, &signed(range.low.0), &signed(range.high.0), &signed(limit as u64)])
    }

    fn positions_correlated(
        &self,
        correlation: &str,
        range: SearchRange,
        limit: usize,
    ) -> Result<Vec<Position>, StoreError> {
        if !can_be_stored(correlation) {
            return Ok(Vec::new());
        }
        let sql = "(SELECT position FROM events WHERE left(correlation, 200) = left($1, 200) AND correlation = $1 AND position > $2 AND position < $3
               ORDER BY position DESC LIMIT $4)
             UNION
             (SELECT position FROM events WHERE left(id, 200) = left($1, 200) AND id = $1 AND correlation IS NULL AND position > $2 AND position < $3
               ORDER BY position DESC LIMIT $4)
             ORDER BY position DESC LIMIT $4";
        positions(self, sql, &[&correlation, &signed(range.low.0), &signed(range.high.0), &signed(limit as u64)])
    }

    fn positions_with_id_prefix(
        &self,
        prefix: &str,
        range: SearchRange,
        limit: usize,
    ) -> Result<Option<Vec<Position>>, StoreError> {
        if !can_be_stored(prefix) {
            return Ok(Some(Vec::new()));
        }
        // No id has this character, and every other one is before it: ids are ordered by their bytes.
        let end = format!("{prefix}\u{10ffff}");
        let sql = "SELECT position FROM events WHERE left(id, 200) >= left($1, 200) AND left(id, 200) < $2 AND id >= $1 AND id < $2
               AND position > $3 AND position < $4 LIMIT $5";
        let values: [Value<'_>; 5] =
            [&prefix, &end, &signed(range.low.0), &signed(range.high.0), &signed(limit as u64 + 1)];
        let mut found = positions(self, sql, &values)?;
        found.sort_unstable_by(|one, other| other.cmp(one));
        Ok((found.len() <= limit).then_some(found))
    }

    fn searched_event(&self, position: Position, filter: &EventFilter) -> Result<Option<LoggedEvent>, StoreError> {
        if !filter.source.iter().chain(&filter.subject).all(|text| can_be_stored(text)) {
            return Ok(None);
        }
        let rest =
            "WHERE e.position = $1 AND ($2::text IS NULL OR e.source = $2) AND ($3::text IS NULL OR e.subject = $3)";
        Ok(events(self, rest, &[&signed(position.0), &filter.source, &filter.subject])?.into_iter().next())
    }
}
