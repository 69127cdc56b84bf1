//! What operators see of deliveries and cause trees.

use tokio_postgres::Row;

use super::super::connection::PgConnection;
use super::super::session::{Columns as _, Value, can_be_stored};
use super::events::{EVENT_COLUMNS, EVENT_WIDTH, events};
use super::pending::{PENDING, PENDING_COLUMNS, waiting};
use crate::bus::engine::store::encoding::{decode_due, signed};
use crate::bus::engine::store::{EventDeadLetter, EventDeliveryRows, InspectionRows, StoredDelivery};
use crate::bus::{DeadLetterId, FailedAttempt, StoreError};
use crate::event::{CauseTreeId, LoggedEvent, Position};

fn stored(row: &Row) -> Result<StoredDelivery, StoreError> {
    let due = decode_due(row.column(EVENT_WIDTH + 5)?);
    let mut history: Vec<FailedAttempt> = row.json(EVENT_WIDTH + 6)?;
    Ok(StoredDelivery { delivery: waiting(row)?, due, last: history.pop() })
}

fn stored_deliveries(
    connection: &PgConnection,
    which: &str,
    values: &[Value<'_>],
) -> Result<Vec<(i64, StoredDelivery)>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, {PENDING_COLUMNS}, p.due, p.history, p.subscription FROM {PENDING} WHERE {which}"
    );
    let rows = connection.query(&sql, values)?;
    rows.iter().map(|row| Ok((row.column(EVENT_WIDTH + 7)?, stored(row)?))).collect()
}

impl InspectionRows for PgConnection {
    fn event_at(&self, position: Position) -> Result<Option<LoggedEvent>, StoreError> {
        Ok(events(self, "WHERE e.position = $1", &[&signed(position.0)])?.pop())
    }

    fn events_in_tree(
        &self,
        tree: &CauseTreeId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        if !tree.source.iter().chain([&tree.id]).all(|text| can_be_stored(text)) {
            return Ok(Vec::new());
        }
        let values: [Value<'_>; 4] =
            [&tree.id, &tree.source, &signed(after.unwrap_or_default().0), &signed(limit as u64)];
        // The first event was stored before those that it caused, unless its producer named a tree that had begun.
        let rest = "WHERE e.position > $3 AND ((left(e.id, 200) = left($1, 200) AND e.id = $1
                 AND e.source = $2::text AND e.correlation IS NULL)
               OR (left(e.correlation, 200) = left($1, 200) AND e.correlation = $1
                 AND e.correlation_source IS NOT DISTINCT FROM $2::text))
             ORDER BY e.position LIMIT $4";
        events(self, rest, &values)
    }

    fn delivery_rows(&self, position: Position) -> Result<EventDeliveryRows, StoreError> {
        let at = signed(position.0);
        // A delivery that becomes a dead letter between the two reads is found in both, and its row counts.
        let pending = stored_deliveries(self, "p.position = $1", &[&at])?.into_iter().collect();
        let sql = "SELECT number, subscription, replay FROM dead_letters WHERE position = $1 ORDER BY number";
        let letter = |row: &Row| {
            Ok(EventDeadLetter {
                number: DeadLetterId::new(row.column(0)?),
                subscription: row.column(1)?,
                replay: row.column(2)?,
            })
        };
        let letters = self.query(sql, &[&at])?.iter().map(letter).collect::<Result<_, StoreError>>()?;
        Ok(EventDeliveryRows { pending, letters })
    }

    fn pending_from(&self, subscription: i64, from: Position, limit: usize) -> Result<Vec<StoredDelivery>, StoreError> {
        let values: [Value<'_>; 3] = [&subscription, &signed(from.0), &signed(limit as u64)];
        let which = "p.subscription = $1 AND p.position >= $2 ORDER BY p.position LIMIT $3";
        Ok(stored_deliveries(self, which, &values)?.into_iter().map(|(_, stored)| stored).collect())
    }

    fn first_position_of_key(&self, subscription: i64, key: &str) -> Result<Option<Position>, StoreError> {
        let sql = "SELECT position FROM pending WHERE subscription = $1 AND key = $2 ORDER BY position LIMIT 1";
        let row = self.query_one(sql, &[&subscription, &key.as_bytes()])?;
        row.map(|row| row.unsigned(0).map(Position)).transpose()
    }

    fn parking_letter(&self, subscription: i64, key: &str) -> Result<Option<DeadLetterId>, StoreError> {
        let sql =
            "SELECT number FROM dead_letters WHERE subscription = $1 AND parks AND key = $2 ORDER BY number LIMIT 1";
        let row = self.query_one(sql, &[&subscription, &key.as_bytes()])?;
        row.map(|row| row.column(0).map(DeadLetterId::new)).transpose()
    }
}
