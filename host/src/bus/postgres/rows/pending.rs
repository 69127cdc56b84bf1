//! Deliveries that have a row: those before their subscription's cursor that are not handled.

use std::time::Duration;

use tokio_postgres::Row;

use super::super::batch::PendingState;
use super::super::connection::PgConnection;
use super::super::session::{Columns as _, Value};
use super::events::{EVENT_COLUMNS, EVENT_WIDTH, logged};
use crate::bus::engine::store::encoding::{ON_TURN, encode_due, signed, to_json, with_edited_data};
use crate::bus::engine::store::{PendingFilter, PendingRow, PendingRows};
use crate::bus::window::{Due, FirstRow, Key, PendingDelivery};
use crate::bus::{DeadLetterId, FailedAttempt, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;

pub(super) const PENDING: &str = "pending p JOIN events e ON e.position = p.position JOIN types t ON t.id = e.type";

/// The columns that [`waiting`] reads after those of the event.
pub(super) const PENDING_COLUMNS: &str = "p.key, p.attempts, p.replayed, p.edited, p.redriven_at";

pub(super) fn waiting(row: &Row) -> Result<PendingDelivery, StoreError> {
    let edited: Option<Vec<u8>> = row.column(EVENT_WIDTH + 3)?;
    let is_edited = edited.is_some();
    let redriven_at: Option<i64> = row.column(EVENT_WIDTH + 4)?;
    Ok(PendingDelivery {
        logged: with_edited_data(logged(row)?, edited),
        is_edited,
        key: row.any_text(EVENT_WIDTH)?.map(Into::into),
        attempts: u32::try_from(row.unsigned(EVENT_WIDTH + 1)?).unwrap_or(u32::MAX),
        redriven_replay: Some(row.column(EVENT_WIDTH + 2)?).filter(|number| *number != 0).map(DeadLetterId::new),
        redriven_at: redriven_at.map(|time| Timestamp(u64::try_from(time).unwrap_or(0))),
        has_row: true,
    })
}

fn deliveries(
    connection: &PgConnection,
    which: &str,
    values: &[Value<'_>],
) -> Result<Vec<PendingDelivery>, StoreError> {
    let sql = format!("SELECT {EVENT_COLUMNS}, {PENDING_COLUMNS} FROM {PENDING} WHERE {which}");
    connection.query(&sql, values)?.iter().map(waiting).collect()
}

impl PendingRows for PgConnection {
    fn put_pending(&self, row: &PendingRow<'_>) -> Result<(), StoreError> {
        self.change(|batch| batch.put_pending(row))
    }

    fn add_pending(&self, row: &PendingRow<'_>) -> Result<bool, StoreError> {
        let values: [Value<'_>; 9] = [
            &row.subscription,
            &signed(row.position.0),
            &row.key.map(str::as_bytes),
            &i64::from(row.attempts),
            &encode_due(row.due),
            &row.redriven_replay.map_or(0, DeadLetterId::number),
            &to_json(&row.history),
            &row.edited,
            &row.redriven_at.map(|time| signed(time.0)),
        ];
        let sql =
            "INSERT INTO pending (subscription, position, key, attempts, due, replayed, history, edited, redriven_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        Ok(self.execute(sql, &values)? == 1)
    }

    fn delete_pending(&self, subscription: i64, position: Position) -> Result<(), StoreError> {
        self.change(|batch| batch.delete_pending(subscription, position))
    }

    fn has_pending(&self, subscription: i64, position: Position) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM pending WHERE subscription = $1 AND position = $2";
        Ok(self.query_one(sql, &[&subscription, &signed(position.0)])?.is_some())
    }

    fn delete_all_pending(&self, subscription: i64) -> Result<Vec<Position>, StoreError> {
        let rows =
            self.query_changed("DELETE FROM pending WHERE subscription = $1 RETURNING position", &[&subscription])?;
        rows.iter().map(|row| row.unsigned(0).map(Position)).collect()
    }

    fn oldest_pending(&self, subscription: i64) -> Result<Option<Timestamp>, StoreError> {
        let sql =
            "SELECT stored_at FROM events WHERE position = (SELECT min(position) FROM pending WHERE subscription = $1)";
        self.query_one(sql, &[&subscription])?.map(|row| row.unsigned(0).map(Timestamp)).transpose()
    }

    fn history(&self, subscription: i64, position: Position) -> Result<Vec<FailedAttempt>, StoreError> {
        match self.batch.borrow().pending(subscription, position) {
            PendingState::Put(history) => return Ok(history.to_vec()),
            PendingState::Deleted => return Ok(Vec::new()),
            PendingState::Unchanged => {}
        }
        let sql = "SELECT history FROM pending WHERE subscription = $1 AND position = $2";
        let rows = self.query_directly(sql, &[&subscription, &signed(position.0)])?;
        rows.first().map_or(Ok(Vec::new()), |row| row.json(0))
    }

    fn due_pending(&self, subscription: i64, now: Timestamp, limit: usize) -> Result<Vec<PendingDelivery>, StoreError> {
        let values: [Value<'_>; 3] = [&subscription, &signed(now.0), &signed(limit as u64)];
        deliveries(self, "p.subscription = $1 AND p.due <= $2 ORDER BY p.due, p.position LIMIT $3", &values)
    }

    fn next_pending_after(&self, subscription: i64, now: Timestamp) -> Result<Option<Due>, StoreError> {
        let sql = "SELECT due FROM pending WHERE subscription = $1 AND due > $2 AND due < $3 ORDER BY due LIMIT 1";
        let row = self.query_one(sql, &[&subscription, &signed(now.0), &ON_TURN])?;
        row.map(|row| row.unsigned(0).map(|due| Due::At(Timestamp(due)))).transpose()
    }

    fn first_of_key(&self, subscription: i64, key: &str) -> Result<Option<FirstRow>, StoreError> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS}, {PENDING_COLUMNS}, p.due FROM {PENDING}
             WHERE p.subscription = $1 AND p.key = $2 ORDER BY p.position LIMIT 1"
        );
        let row = self.query_one(&sql, &[&subscription, &key.as_bytes()])?;
        let first = |row: Row| {
            let awaits_turn = row.column::<i64>(EVENT_WIDTH + 5)? == ON_TURN;
            Ok(FirstRow { delivery: waiting(&row)?, awaits_turn })
        };
        row.map(first).transpose()
    }

    fn stored_keys(&self, subscription: i64) -> Result<Vec<Key>, StoreError> {
        let sql = "SELECT DISTINCT key FROM pending WHERE subscription = $1 AND key IS NOT NULL";
        let rows = self.query(sql, &[&subscription])?;
        let keys = rows.iter().map(|row| Ok(row.any_text(0)?.map(Key::from)));
        keys.filter_map(Result::transpose).collect()
    }

    fn count_pending(&self, subscription: i64) -> Result<u64, StoreError> {
        let row = self.query_one("SELECT count(*) FROM pending WHERE subscription = $1", &[&subscription])?;
        row.map_or(Ok(0), |row| row.unsigned(0))
    }

    fn all_pending(
        &self,
        subscription: i64,
        after: Position,
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, StoreError> {
        let values: [Value<'_>; 3] = [&subscription, &signed(after.0), &signed(limit as u64)];
        deliveries(self, "p.subscription = $1 AND p.position > $2 ORDER BY p.position LIMIT $3", &values)
    }

    fn rekey_pending(&self, subscription: i64, position: Position, key: Option<&str>) -> Result<(), StoreError> {
        let sql = "UPDATE pending SET key = $3, due = CASE WHEN due = $4 THEN 0 ELSE due END
             WHERE subscription = $1 AND position = $2";
        let values: [Value<'_>; 4] = [&subscription, &signed(position.0), &key.map(str::as_bytes), &ON_TURN];
        self.execute(sql, &values).map(drop)
    }

    fn make_due(&self, subscription: i64, now: Timestamp, filter: &PendingFilter<'_>) -> Result<usize, StoreError> {
        let sql = "UPDATE pending p SET due = 0
             WHERE p.subscription = $1 AND p.due > $2 AND p.due < $3
               AND ($4::bigint IS NULL OR p.position = $4) AND ($5::bytea IS NULL OR p.key = $5)
               AND ($6::bigint[] IS NULL OR (SELECT e.type FROM events e WHERE e.position = p.position) = ANY ($6))";
        let values: [Value<'_>; 6] = [
            &subscription,
            &signed(now.0),
            &ON_TURN,
            &filter.event.map(|event| signed(event.0)),
            &filter.key.map(str::as_bytes),
            &filter.types,
        ];
        Ok(usize::try_from(self.execute(sql, &values)?).unwrap_or(usize::MAX))
    }

    fn shift_pending(&self, now: Timestamp, by: Duration) -> Result<(), StoreError> {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let sql = "UPDATE pending SET due = greatest(0, due - $1) WHERE due > $2 AND due < $3";
        self.execute(sql, &[&by, &signed(now.0), &ON_TURN]).map(drop)
    }
}
