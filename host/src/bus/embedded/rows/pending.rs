//! Deliveries that have a row: those before their subscription's cursor that are not handled.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::schema::PENDING_SUMMED;
use super::events::{EVENT_COLUMNS, EVENT_WIDTH, logged};
use super::{parse, signed, to_json, unsigned};
use crate::bus::window::{Due, FirstRow, Key, PendingDelivery};
use crate::bus::{DeadLetterId, FailedAttempt, StoreError};
use crate::clock::Timestamp;
use crate::event::{LoggedEvent, Position};

/// The column `due` of a row that waits for the turn of its ordering key. Zero stands for a row that is due now.
const ON_TURN: i64 = i64::MAX;

fn due_column(due: Due) -> i64 {
    match due {
        Due::Now => 0,
        Due::At(time) => signed(time.0),
        Due::OnTurn => ON_TURN,
    }
}

pub(super) fn due_from_column(column: i64) -> Due {
    match column {
        0 => Due::Now,
        ON_TURN => Due::OnTurn,
        time => Due::At(Timestamp(u64::try_from(time).unwrap_or(0))),
    }
}

/// A delivery's row.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct PendingRow<'a> {
    pub(in super::super) subscription: i64,
    pub(in super::super) position: Position,
    pub(in super::super) key: Option<&'a str>,
    pub(in super::super) attempts: u32,
    pub(in super::super) due: Due,
    pub(in super::super) redriven_replay: Option<DeadLetterId>,
    pub(in super::super) history: &'a [FailedAttempt],
    /// The data, if an operator has edited it.
    pub(in super::super) edited: Option<&'a [u8]>,
    pub(in super::super) redriven_at: Option<Timestamp>,
}

/// Inserts or replaces a delivery's row.
pub(in super::super) fn put_pending(connection: &Connection, row: &PendingRow<'_>) -> Result<(), StoreError> {
    insert(connection, "INSERT OR REPLACE", row).map(drop)
}

/// Inserts a delivery's row unless there is one. Returns whether it did.
pub(in super::super) fn add_pending(connection: &Connection, row: &PendingRow<'_>) -> Result<bool, StoreError> {
    insert(connection, "INSERT OR IGNORE", row)
}

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
        due_column(row.due),
        row.redriven_replay.map_or(0, DeadLetterId::number),
        to_json(&row.history),
        row.edited,
        row.redriven_at.map(|time| signed(time.0))
    ])?;
    Ok(changed == 1)
}

pub(in super::super) fn delete_pending(
    connection: &Connection,
    subscription: i64,
    position: Position,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM pending WHERE subscription = ?1 AND position = ?2")?
        .execute(params![subscription, signed(position.0)])?;
    Ok(())
}

/// Whether a delivery has a row.
pub(in super::super) fn has_pending(
    connection: &Connection,
    subscription: i64,
    position: Position,
) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM pending WHERE subscription = ?1 AND position = ?2")?;
    Ok(statement.exists(params![subscription, signed(position.0)])?)
}

/// Deletes all rows of a subscription, and returns their positions.
pub(in super::super) fn delete_all_pending(
    connection: &Connection,
    subscription: i64,
) -> Result<Vec<Position>, StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM pending WHERE subscription = ?1 RETURNING position")?;
    let rows = statement.query_map([subscription], |row| Ok(Position(unsigned(row, 0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the oldest event was stored that has a row of a subscription.
pub(in super::super) fn oldest_pending(
    connection: &Connection,
    subscription: i64,
) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT stored_at FROM events WHERE position = (SELECT min(position) FROM pending WHERE subscription = ?1)",
    )?;
    Ok(statement.query_row([subscription], |row| unsigned(row, 0)).optional()?.map(Timestamp))
}

/// The failed attempts of a delivery.
pub(in super::super) fn history(
    connection: &Connection,
    subscription: i64,
    position: Position,
) -> Result<Vec<FailedAttempt>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT history FROM pending WHERE subscription = ?1 AND position = ?2")?;
    let text: Option<String> =
        statement.query_row(params![subscription, signed(position.0)], |row| row.get(0)).optional()?;
    text.map_or_else(|| Ok(Vec::new()), |text| parse(&text))
}

pub(super) const PENDING: &str = "pending p JOIN events e ON e.position = p.position JOIN types t ON t.id = e.type";

pub(super) fn waiting(row: &Row<'_>) -> rusqlite::Result<PendingDelivery> {
    let key: Option<String> = row.get(EVENT_WIDTH)?;
    let edited: Option<Vec<u8>> = row.get(EVENT_WIDTH + 3)?;
    let is_edited = edited.is_some();
    let redriven_at: Option<i64> = row.get(EVENT_WIDTH + 4)?;
    let logged = logged(row)?;
    Ok(PendingDelivery {
        logged: match edited {
            None => logged,
            Some(data) => LoggedEvent { event: Arc::new(logged.event.with_edited_data(data)), ..logged },
        },
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

/// Rows that are due, in order.
pub(in super::super) fn due_pending(
    connection: &Connection,
    subscription: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<PendingDelivery>, StoreError> {
    query(
        connection,
        "p.subscription = ?1 AND p.due <= ?2 ORDER BY p.due, p.position LIMIT ?3",
        params![subscription, signed(now.0), signed(limit as u64)],
    )
}

/// When the next row after a time is due. Rows that wait for their turn never are.
pub(in super::super) fn next_pending_after(
    connection: &Connection,
    subscription: i64,
    now: Timestamp,
) -> Result<Option<Due>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT due FROM pending WHERE subscription = ?1 AND due > ?2 AND due < ?3 ORDER BY due LIMIT 1",
    )?;
    let values = params![subscription, signed(now.0), ON_TURN];
    Ok(statement.query_row(values, |row| unsigned(row, 0)).optional()?.map(|due| Due::At(Timestamp(due))))
}

/// The first row of a key, in the order of the log.
pub(in super::super) fn first_of_key(
    connection: &Connection,
    subscription: i64,
    key: &str,
) -> Result<Option<FirstRow>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, p.key, p.attempts, p.replayed, p.edited, p.redriven_at, p.due FROM {PENDING}
         WHERE p.subscription = ?1 AND p.key = ?2 ORDER BY p.position LIMIT 1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let row = |row: &Row<'_>| {
        let awaits_turn = row.get::<_, i64>(EVENT_WIDTH + 5)? == ON_TURN;
        Ok(FirstRow { delivery: waiting(row)?, awaits_turn })
    };
    Ok(statement.query_row(params![subscription, key], row).optional()?)
}

/// The keys that have rows.
pub(in super::super) fn stored_keys(connection: &Connection, subscription: i64) -> Result<Vec<Key>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT DISTINCT key FROM pending WHERE subscription = ?1 AND key IS NOT NULL")?;
    let rows = statement.query_map([subscription], |row| Ok(Key::from(row.get::<_, String>(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in super::super) fn count_pending(connection: &Connection, subscription: i64) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM pending WHERE subscription = ?1")?;
    Ok(statement.query_row([subscription], |row| unsigned(row, 0))?)
}

/// All rows of a subscription after a position, in order.
pub(in super::super) fn all_pending(
    connection: &Connection,
    subscription: i64,
    after: Position,
    limit: usize,
) -> Result<Vec<PendingDelivery>, StoreError> {
    query(
        connection,
        "p.subscription = ?1 AND p.position > ?2 ORDER BY p.position LIMIT ?3",
        params![subscription, signed(after.0), signed(limit as u64)],
    )
}

/// Changes the key of a row. The row no longer waits for its turn, which is determined again.
pub(in super::super) fn rekey_pending(
    connection: &Connection,
    subscription: i64,
    position: Position,
    key: Option<&str>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE pending SET key = ?3, due = iif(due = ?4, 0, due) WHERE subscription = ?1 AND position = ?2",
        )?
        .execute(params![subscription, signed(position.0), key, ON_TURN])?;
    connection
        .prepare_cached(&format!(
            "UPDATE pending SET sum = checksum({PENDING_SUMMED}) WHERE subscription = ?1 AND position = ?2"
        ))?
        .execute(params![subscription, signed(position.0)])?;
    Ok(())
}

/// Makes the rows of a subscription due that are due after a time, except for rows that wait for their turn: all of
/// them, or those of an event, of a key, or of some types. Returns how many there are.
pub(in super::super) fn make_due(
    connection: &Connection,
    subscription: i64,
    now: Timestamp,
    which: &DueRows<'_>,
) -> Result<usize, StoreError> {
    let DueRows { event, key, types } = which;
    let mut statement = connection.prepare_cached(
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

/// Selects rows of a subscription.
pub(in super::super) struct DueRows<'a> {
    /// Only the row of this event.
    pub(in super::super) event: Option<Position>,
    /// Only those with this key.
    pub(in super::super) key: Option<&'a str>,
    /// Only those of events with these types.
    pub(in super::super) types: Option<&'a [i64]>,
}

/// Moves the due times of rows after the clock was set back, except for rows that wait for their turn.
pub(in super::super) fn shift_pending(
    connection: &Connection,
    now: Timestamp,
    by: std::time::Duration,
) -> Result<(), StoreError> {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "UPDATE pending SET due = max(0, due - ?1),
                 sum = checksum(subscription, position, key, attempts, max(0, due - ?1), replayed, history, edited,
                     redriven_at)
             WHERE due > ?2 AND due < ?3",
        )?
        .execute(params![by, signed(now.0), ON_TURN])?;
    Ok(())
}
