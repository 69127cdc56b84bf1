//! What operators see of deliveries and cause trees.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::events::{EVENT_COLUMNS, EVENT_WIDTH, EVENTS, logged, query};
use super::from_json_column;
use super::pending::{PENDING, waiting};
use crate::bus::engine::store::encoding::{decode_due, signed};
use crate::bus::engine::store::*;
use crate::bus::{DeadLetterId, FailedAttempt, StoreError};
use crate::event::{CauseTreeId, LoggedEvent, Position};

/// The events, by the index of cause trees.
pub(super) fn by_correlation() -> String {
    EVENTS.replacen("events e", "events e INDEXED BY events_by_correlation", 1)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredDelivery> {
    let due = decode_due(row.get(EVENT_WIDTH + 5)?);
    let history: String = row.get(EVENT_WIDTH + 6)?;
    let mut history: Vec<FailedAttempt> = from_json_column(EVENT_WIDTH + 6, &history)?;
    Ok(StoredDelivery { delivery: waiting(row)?, due, last: history.pop() })
}

fn stored_deliveries(
    connection: &Connection,
    which: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<(i64, StoredDelivery)>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, p.key, p.attempts, p.replayed, p.edited, p.redriven_at, p.due, p.history,
           p.subscription FROM {PENDING} WHERE {which}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(values, |row| Ok((row.get(EVENT_WIDTH + 7)?, stored(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn event_dead_letters(connection: &Connection, position: Position) -> Result<Vec<EventDeadLetter>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT number, subscription, replay FROM dead_letters WHERE position = ?1 ORDER BY number")?;
    let rows = statement.query_map([signed(position.0)], |row| {
        Ok(EventDeadLetter { number: DeadLetterId::new(row.get(0)?), subscription: row.get(1)?, replay: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl InspectionRows for Connection {
    fn event_at(&self, position: Position) -> Result<Option<LoggedEvent>, StoreError> {
        Ok(query(self, "WHERE e.position = ?1", [signed(position.0)])?.pop())
    }

    fn events_in_tree(
        &self,
        tree: &CauseTreeId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let after = signed(after.unwrap_or_default().0);
        let mut found = query(
            self,
            "WHERE e.id = ?1 AND e.source = ?2 AND e.extensions ->> '$.correlationid' IS NULL AND e.position > ?3",
            params![tree.id, tree.source, after],
        )?;
        let mut statement = self.prepare_cached(&format!(
            "SELECT {EVENT_COLUMNS} FROM {} WHERE e.extensions ->> '$.correlationid' IS NOT NULL
         AND e.extensions ->> '$.correlationid' = ?1 AND e.position > ?3
         AND e.extensions ->> '$.correlationsource' IS ?2 ORDER BY e.position LIMIT ?4",
            by_correlation()
        ))?;
        let rows = statement.query_map(params![tree.id, tree.source, after, signed(limit as u64)], logged)?;
        found.extend(rows.collect::<Result<Vec<_>, _>>()?);
        // The first event was stored before those that it caused, unless its producer named a tree that had begun.
        found.sort_by_key(|logged| logged.position);
        found.truncate(limit);
        Ok(found)
    }

    fn delivery_rows(&self, position: Position) -> Result<EventDeliveryRows, StoreError> {
        let moment = self.unchecked_transaction()?;
        let pending = stored_deliveries(&moment, "p.position = ?1", [signed(position.0)])?.into_iter().collect();
        Ok(EventDeliveryRows { pending, letters: event_dead_letters(&moment, position)? })
    }

    fn pending_from(&self, subscription: i64, from: Position, limit: usize) -> Result<Vec<StoredDelivery>, StoreError> {
        let rows = stored_deliveries(
            self,
            "p.subscription = ?1 AND p.position >= ?2 ORDER BY p.position LIMIT ?3",
            params![subscription, signed(from.0), signed(limit as u64)],
        )?;
        Ok(rows.into_iter().map(|(_, stored)| stored).collect())
    }

    fn first_position_of_key(&self, subscription: i64, key: &str) -> Result<Option<Position>, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT min(position) FROM pending WHERE subscription = ?1 AND key = ?2")?;
        let first: Option<i64> = statement.query_row(params![subscription, key], |row| row.get(0))?;
        Ok(first.map(|first| Position(u64::try_from(first).unwrap_or(0))))
    }

    fn parking_letter(&self, subscription: i64, key: &str) -> Result<Option<DeadLetterId>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT number FROM dead_letters WHERE subscription = ?1 AND parks AND key = ?2 ORDER BY number LIMIT 1",
        )?;
        Ok(statement.query_row(params![subscription, key], |row| row.get(0)).optional()?.map(DeadLetterId::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::embedded::schema;
    use crate::clock::Timestamp;

    /// Without the index, each cause tree would cost a scan of the log.
    #[test]
    fn a_cause_tree_is_found_by_its_index() {
        let directory = tempfile::tempdir().unwrap();
        let connection = schema::open(&directory.path().join("bus.db"), Timestamp(0)).unwrap();
        let mut statement = connection
            .prepare(&format!(
                "EXPLAIN QUERY PLAN SELECT e.position FROM {} WHERE e.extensions ->> '$.correlationid' IS NOT NULL
                 AND e.extensions ->> '$.correlationid' = 'a' AND e.position > 7 ORDER BY e.position",
                by_correlation()
            ))
            .unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let plan = plan.join("; ");
        assert!(plan.contains("events_by_correlation (<expr>=? AND position>?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn events_without_a_cause_tree_are_not_in_the_index() {
        let directory = tempfile::tempdir().unwrap();
        let connection = schema::open(&directory.path().join("bus.db"), Timestamp(0)).unwrap();
        let mut add = connection
            .prepare("INSERT INTO events VALUES (?1, 1, ?1, 's', NULL, NULL, NULL, NULL, ?2, NULL, 0, 0, 0)")
            .unwrap();
        for position in 1..=1_000_i64 {
            let extensions = match position % 2 {
                0 => None,
                _ => Some(r#"{"region":"eu"}"#),
            };
            add.execute(params![position, extensions]).unwrap();
        }
        add.execute(params![1_001, r#"{"correlationid":"a"}"#]).unwrap();
        let entries: i64 = connection
            .query_row(
                "SELECT count(*) FROM events INDEXED BY events_by_correlation WHERE extensions ->> '$.correlationid' IS NOT NULL",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(entries, 1);
    }
}
