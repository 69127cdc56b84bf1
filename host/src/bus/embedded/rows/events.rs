//! The event log.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{WrongChecksum, unsigned};
use crate::bus::engine::store::encoding::{self, EventColumns, encode_extensions, signed};
use crate::bus::engine::store::*;
use crate::bus::{EventPlace, StoreError};
use crate::clock::Timestamp;
use crate::event::{Event, LoggedEvent, Position};

/// The columns that [`logged`] reads, in order.
pub(super) const EVENT_COLUMNS: &str = "e.position, t.name, e.id, e.source, e.subject, e.time, e.datacontenttype, e.dataschema, e.extensions, e.data, e.stored_at,
    e.sum IS checksum(e.position, e.type, e.id, e.source, e.subject, e.time, e.datacontenttype, e.dataschema, e.extensions, e.data, e.stored_at)";
/// The number of these columns.
pub(super) const EVENT_WIDTH: usize = 12;
pub(super) const EVENTS: &str = "events e JOIN types t ON t.id = e.type";

pub(super) fn logged(row: &Row<'_>) -> rusqlite::Result<LoggedEvent> {
    let position = unsigned(row, 0)?;
    if !row.get::<_, bool>(11)? {
        let error = WrongChecksum { what: "the event at position", number: signed(position) };
        return Err(rusqlite::Error::FromSqlConversionFailure(11, rusqlite::types::Type::Integer, Box::new(error)));
    }
    let columns = EventColumns {
        position,
        event_type: row.get(1)?,
        id: row.get(2)?,
        source: row.get(3)?,
        subject: row.get(4)?,
        time: row.get(5)?,
        datacontenttype: row.get(6)?,
        dataschema: row.get(7)?,
        extensions: row.get(8)?,
        data: row.get(9)?,
        stored_at: unsigned(row, 10)?,
    };
    columns
        .decode()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(8, rusqlite::types::Type::Text, Box::new(error)))
}

pub(super) fn query(
    connection: &Connection,
    rest: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<LoggedEvent>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM {EVENTS} {rest}"))?;
    let rows = statement.query_map(values, logged)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The event with a source and an id.
pub(super) fn logged_event(connection: &Connection, source: &str, id: &str) -> Result<Option<LoggedEvent>, StoreError> {
    Ok(query(connection, "WHERE e.id = ?1 AND e.source = ?2", [id, source])?.pop())
}

fn place(row: &Row<'_>) -> rusqlite::Result<EventPlace> {
    Ok(EventPlace { position: Position(unsigned(row, 0)?), stored_at: Timestamp(unsigned(row, 1)?) })
}

fn deleted(row: &Row<'_>) -> rusqlite::Result<DeletedEvent> {
    Ok(DeletedEvent { bytes: unsigned(row, 0)?, type_number: row.get(1)?, holder: holder(row, 2)? })
}

/// The holder of an event, from a column with its source and the next one with its producer.
pub(super) fn holder(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    Ok(encoding::holder(&row.get::<_, String>(index)?, row.get(index + 1)?))
}

impl EventRows for Connection {
    fn append_event(
        &self,
        position: Position,
        type_number: i64,
        event: &Event,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let extensions = encode_extensions(event);
        let mut statement = self.prepare_cached(
        "INSERT INTO events (position, type, id, source, subject, time, datacontenttype, dataschema, extensions, data, stored_at, bytes, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11))
         ON CONFLICT (id, source) DO NOTHING",
    )?;
        let added = statement.execute(params![
            signed(position.0),
            type_number,
            event.id,
            event.source,
            event.subject,
            event.time,
            event.datacontenttype,
            event.dataschema,
            extensions,
            event.data.as_deref(),
            signed(now.0),
            signed(event.size_bytes() as u64)
        ])?;
        Ok(added == 1)
    }

    fn events_of_type(&self, type_number: i64, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StoreError> {
        let values = params![type_number, signed(after.0), signed(limit as u64)];
        query(self, "WHERE e.type = ?1 AND e.position > ?2 ORDER BY e.position LIMIT ?3", values)
    }

    fn events_after(&self, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StoreError> {
        query(
            self,
            "WHERE e.position > ?1 ORDER BY e.position LIMIT ?2",
            params![signed(after.0), signed(limit as u64)],
        )
    }

    fn events_before(&self, before: Option<Position>, limit: usize) -> Result<Vec<LoggedEvent>, StoreError> {
        let before = before.map_or(i64::MAX, |before| signed(before.0));
        let values = params![before, signed(limit as u64)];
        query(self, "WHERE e.position < ?1 ORDER BY e.position DESC LIMIT ?2", values)
    }

    fn events_with_id(&self, id: &str) -> Result<Vec<LoggedEvent>, StoreError> {
        query(self, "WHERE e.id = ?1 ORDER BY e.position LIMIT 100", [id])
    }

    fn count_of_type(&self, type_number: i64, after: Position, until: Position) -> Result<u64, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT count(*) FROM events WHERE type = ?1 AND position > ?2 AND position <= ?3")?;
        Ok(statement.query_row(params![type_number, signed(after.0), signed(until.0)], |row| unsigned(row, 0))?)
    }

    fn first_from(&self, position: Position) -> Result<Option<EventPlace>, StoreError> {
        let mut statement = self
            .prepare_cached("SELECT position, stored_at FROM events WHERE position >= ?1 ORDER BY position LIMIT 1")?;
        Ok(statement.query_row([signed(position.0)], place).optional()?)
    }

    fn log(&self) -> Result<Log, StoreError> {
        let mut statement = self.prepare_cached("SELECT head, floor, bytes, newest FROM log")?;
        Ok(statement.query_row([], |row| {
            Ok(Log {
                head: Position(unsigned(row, 0)?),
                floor: Position(unsigned(row, 1)?),
                bytes: unsigned(row, 2)?,
                newest: Timestamp(unsigned(row, 3)?),
            })
        })?)
    }

    fn put_log(&self, log: &Log) -> Result<(), StoreError> {
        let values = params![signed(log.head.0), signed(log.floor.0), signed(log.bytes), signed(log.newest.0)];
        self.prepare_cached(
            "UPDATE log SET head = ?1, floor = ?2, bytes = ?3, newest = ?4, sum = checksum(?1, ?2, ?3, ?4)",
        )?
        .execute(values)?;
        Ok(())
    }

    fn ends_of_log(&self) -> Result<[Option<EventPlace>; 2], StoreError> {
        let moment = self.unchecked_transaction()?;
        let end = |order: &str| {
            let sql = format!("SELECT position, stored_at FROM events ORDER BY position {order} LIMIT 1");
            moment.prepare_cached(&sql)?.query_row([], place).optional()
        };
        Ok([end("ASC")?, end("DESC")?])
    }

    fn oldest_events(&self, after: Position, limit: usize) -> Result<Vec<OldestEvent>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT position, stored_at, bytes FROM events WHERE position > ?1 ORDER BY position LIMIT ?2",
        )?;
        let rows = statement.query_map(params![signed(after.0), signed(limit as u64)], |row| {
            Ok(OldestEvent {
                position: Position(unsigned(row, 0)?),
                stored_at: Timestamp(unsigned(row, 1)?),
                bytes: unsigned(row, 2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn delete_event(&self, position: Position) -> Result<Option<DeletedEvent>, StoreError> {
        let mut statement = self.prepare_cached(
        "DELETE FROM events WHERE position = ?1
             AND NOT EXISTS (SELECT 1 FROM pending WHERE position = ?1)
             AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE position = ?1) RETURNING bytes, type, source, extensions ->> '$.held_for'",
    )?;
        Ok(statement.query_row([signed(position.0)], deleted).optional()?)
    }

    fn take_back_events(&self, after: Position) -> Result<Vec<DeletedEvent>, StoreError> {
        let mut statement = self.prepare_cached(
            "DELETE FROM events WHERE position > ?1 RETURNING bytes, type, source, extensions ->> '$.held_for'",
        )?;
        let rows = statement.query_map([signed(after.0)], deleted)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
