//! Deliveries that have a row: those before their subscription's cursor that are not handled.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::schema::PENDING_SUMMED;
use super::events::{EVENT_COLUMNS, EVENT_WIDTH, logged};
use super::{parse, unsigned};
use crate::bus::engine::store::encoding::{ON_TURN, encode_due, signed, to_json, with_edited_data};
use crate::bus::engine::store::*;
use crate::bus::window::{Due, FirstRow, Key, PendingDelivery};
use crate::bus::{DeadLetterId, FailedAttempt, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;

fn insert(connection: &Connection, how: &str, row: &PendingRow<'_>) -> Result<bool, StoreError> {
    let sql = format!(
        "{how} INTO pending (subscription, position, key, attempts, due, replayed, history, edited, redriven_at, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))"
    );
    let changed = connection.prepare_cached(&sql)?.execute(params![
        row.subscription,
        signed(row.position.0),
        row.key,
        row.attempts,
        encode_due(row.due),
        row.redriven_replay.map_or(0, DeadLetterId::number),
        to_json(&row.history),
        row.edited,
        row.redriven_at.map(|time| signed(time.0))
    ])?;
    Ok(changed == 1)
}

pub(super) const PENDING: &str = "pending p JOIN events e ON e.position = p.position JOIN types t ON t.id = e.type";

pub(super) fn waiting(row: &Row<'_>) -> rusqlite::Result<PendingDelivery> {
    let key: Option<String> = row.get(EVENT_WIDTH)?;
    let edited: Option<Vec<u8>> = row.get(EVENT_WIDTH + 3)?;
    let is_edited = edited.is_some();
    let redriven_at: Option<i64> = row.get(EVENT_WIDTH + 4)?;
    Ok(PendingDelivery {
        logged: with_edited_data(logged(row)?, edited),
        is_edited,
        key: key.map(Into::into),
        attempts: row.get(EVENT_WIDTH + 1)?,
        redriven_replay: Some(row.get(EVENT_WIDTH + 2)?).filter(|number| *number != 0).map(DeadLetterId::new),
        redriven_at: redriven_at.map(|time| Timestamp(u64::try_from(time).unwrap_or(0))),
        has_row: true,
    })
}

fn query(
    connection: &Connection,
    which: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<PendingDelivery>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, p.key, p.attempts, p.replayed, p.edited, p.redriven_at FROM {PENDING} WHERE {which}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(values, waiting)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl PendingRows for Connection {
    fn put_pending(&self, row: &PendingRow<'_>) -> Result<(), StoreError> {
        insert(self, "INSERT OR REPLACE", row).map(drop)
    }

    fn add_pending(&self, row: &PendingRow<'_>) -> Result<bool, StoreError> {
        insert(self, "INSERT OR IGNORE", row)
    }

    fn delete_pending(&self, subscription: i64, position: Position) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM pending WHERE subscription = ?1 AND position = ?2")?
            .execute(params![subscription, signed(position.0)])?;
        Ok(())
    }

    fn has_pending(&self, subscription: i64, position: Position) -> Result<bool, StoreError> {
        let mut statement = self.prepare_cached("SELECT 1 FROM pending WHERE subscription = ?1 AND position = ?2")?;
        Ok(statement.exists(params![subscription, signed(position.0)])?)
    }

    fn delete_all_pending(&self, subscription: i64) -> Result<Vec<Position>, StoreError> {
        let mut statement = self.prepare_cached("DELETE FROM pending WHERE subscription = ?1 RETURNING position")?;
        let rows = statement.query_map([subscription], |row| Ok(Position(unsigned(row, 0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn oldest_pending(&self, subscription: i64) -> Result<Option<Timestamp>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT stored_at FROM events WHERE position = (SELECT min(position) FROM pending WHERE subscription = ?1)",
        )?;
        Ok(statement.query_row([subscription], |row| unsigned(row, 0)).optional()?.map(Timestamp))
    }

    fn history(&self, subscription: i64, position: Position) -> Result<Vec<FailedAttempt>, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT history FROM pending WHERE subscription = ?1 AND position = ?2")?;
        let text: Option<String> =
            statement.query_row(params![subscription, signed(position.0)], |row| row.get(0)).optional()?;
        text.map_or_else(|| Ok(Vec::new()), |text| parse(&text))
    }

    fn due_pending(&self, subscription: i64, now: Timestamp, limit: usize) -> Result<Vec<PendingDelivery>, StoreError> {
        query(
            self,
            "p.subscription = ?1 AND p.due <= ?2 ORDER BY p.due, p.position LIMIT ?3",
            params![subscription, signed(now.0), signed(limit as u64)],
        )
    }

    fn next_pending_after(&self, subscription: i64, now: Timestamp) -> Result<Option<Due>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT due FROM pending WHERE subscription = ?1 AND due > ?2 AND due < ?3 ORDER BY due LIMIT 1",
        )?;
        let values = params![subscription, signed(now.0), ON_TURN];
        Ok(statement.query_row(values, |row| unsigned(row, 0)).optional()?.map(|due| Due::At(Timestamp(due))))
    }

    fn first_of_key(&self, subscription: i64, key: &str) -> Result<Option<FirstRow>, StoreError> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS}, p.key, p.attempts, p.replayed, p.edited, p.redriven_at, p.due FROM {PENDING}
         WHERE p.subscription = ?1 AND p.key = ?2 ORDER BY p.position LIMIT 1"
        );
        let mut statement = self.prepare_cached(&sql)?;
        let row = |row: &Row<'_>| {
            let awaits_turn = row.get::<_, i64>(EVENT_WIDTH + 5)? == ON_TURN;
            Ok(FirstRow { delivery: waiting(row)?, awaits_turn })
        };
        Ok(statement.query_row(params![subscription, key], row).optional()?)
    }

    fn stored_keys(&self, subscription: i64) -> Result<Vec<Key>, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT DISTINCT key FROM pending WHERE subscription = ?1 AND key IS NOT NULL")?;
        let rows = statement.query_map([subscription], |row| Ok(Key::from(row.get::<_, String>(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_pending(&self, subscription: i64) -> Result<u64, StoreError> {
        let mut statement = self.prepare_cached("SELECT count(*) FROM pending WHERE subscription = ?1")?;
        Ok(statement.query_row([subscription], |row| unsigned(row, 0))?)
    }

    fn all_pending(
        &self,
        subscription: i64,
        after: Position,
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, StoreError> {
        query(
            self,
            "p.subscription = ?1 AND p.position > ?2 ORDER BY p.position LIMIT ?3",
            params![subscription, signed(after.0), signed(limit as u64)],
        )
    }

    fn rekey_pending(&self, subscription: i64, position: Position, key: Option<&str>) -> Result<(), StoreError> {
        self.prepare_cached(
            "UPDATE pending SET key = ?3, due = iif(due = ?4, 0, due) WHERE subscription = ?1 AND position = ?2",
        )?
        .execute(params![subscription, signed(position.0), key, ON_TURN])?;
        self.prepare_cached(&format!(
            "UPDATE pending SET sum = checksum({PENDING_SUMMED}) WHERE subscription = ?1 AND position = ?2"
        ))?
        .execute(params![subscription, signed(position.0)])?;
        Ok(())
    }

    fn make_due(&self, subscription: i64, now: Timestamp, filter: &PendingFilter<'_>) -> Result<usize, StoreError> {
        let PendingFilter { event, key, types } = filter;
        let mut statement = self.prepare_cached(
        "UPDATE pending SET due = 0, sum = checksum(subscription, position, key, attempts, 0, replayed, history, edited,
             redriven_at)
         WHERE subscription = ?1 AND due > ?2 AND due < ?3
           AND (?4 IS NULL OR position = ?4) AND (?5 IS NULL OR key = ?5)
           AND (?6 IS NULL OR (SELECT type FROM events WHERE position = pending.position) IN (SELECT value FROM json_each(?6)))",
    )?;
        Ok(statement.execute(params![
            subscription,
            signed(now.0),
            ON_TURN,
            event.map(|event| signed(event.0)),
            key,
            types.map(|types| to_json(&types))
        ])?)
    }

    fn shift_pending(&self, now: Timestamp, by: std::time::Duration) -> Result<(), StoreError> {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.prepare_cached(
            "UPDATE pending SET due = max(0, due - ?1),
                 sum = checksum(subscription, position, key, attempts, max(0, due - ?1), replayed, history, edited,
                     redriven_at)
             WHERE due > ?2 AND due < ?3",
        )?
        .execute(params![by, signed(now.0), ON_TURN])?;
        Ok(())
    }
}
