//! The event log.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{WrongChecksum, from_json_column, signed, to_json, unsigned};
use crate::bus::{EventPlace, StoreError};
use crate::clock::Timestamp;
use crate::event::reserved::publishing_plugin;
use crate::event::{Event, LoggedEvent, Position, stored_data, stored_kind};

/// The columns that [`logged`] reads, in order.
pub(super) const EVENT_COLUMNS: &str = "e.position, t.name, e.id, e.source, e.subject, e.time, e.datacontenttype, e.dataschema, e.extensions, e.data, e.stored_at,
    e.sum IS checksum(e.position, e.type, e.id, e.source, e.subject, e.time, e.datacontenttype, e.dataschema, e.extensions, e.data, e.stored_at)";
/// The number of these columns.
pub(super) const EVENT_WIDTH: usize = 12;
/// The member of the column `extensions` with the kind of the data. No extension attribute can have this name.
const DATA_KIND: &str = "data_kind";
/// The member of the same column with the names of the attributes that are JSON booleans or integers.
const TYPED: &str = "json_typed";
/// The member of the same column with the producer of the event.
const PRODUCER: &str = "held_for";
pub(super) const EVENTS: &str = "events e JOIN types t ON t.id = e.type";

pub(super) fn logged(row: &Row<'_>) -> rusqlite::Result<LoggedEvent> {
    let position = unsigned(row, 0)?;
    if !row.get::<_, bool>(11)? {
        let error = WrongChecksum { what: "the event at position", number: signed(position) };
        return Err(rusqlite::Error::FromSqlConversionFailure(11, rusqlite::types::Type::Integer, Box::new(error)));
    }
    let extensions: Option<String> = row.get(8)?;
    let mut extensions: BTreeMap<String, String> =
        extensions.map_or_else(|| Ok(BTreeMap::new()), |text| from_json_column(8, &text))?;
    let typed = extensions.remove(TYPED).unwrap_or_default();
    let producer = extensions.remove(PRODUCER);
    let (kind, datacontenttype) = (extensions.remove(DATA_KIND), row.get::<_, Option<String>>(6)?);
    let bytes: Option<Vec<u8>> = row.get(9)?;
    let event = Event {
        event_type: row.get(1)?,
        id: row.get(2)?,
        source: row.get(3)?,
        subject: row.get(4)?,
        time: row.get(5)?,
        dataschema: row.get(7)?,
        extensions,
        typed: typed.split_whitespace().map(str::to_owned).collect(),
        data: bytes.map(|bytes| stored_data(datacontenttype.as_deref(), kind.as_deref(), bytes)),
        datacontenttype,
        producer,
    };
    Ok(LoggedEvent { position: Position(position), stored_at: Timestamp(unsigned(row, 10)?), event: Arc::new(event) })
}

/// The extension attributes in JSON, with the names of those that are not strings, the kind of the data if its media
/// type does not declare it, and the producer.
fn extensions_column(event: &Event) -> Option<String> {
    let kind = stored_kind(event.datacontenttype.as_deref(), event.data.as_ref());
    if kind.is_none() && event.typed.is_empty() && event.producer.is_none() {
        return (!event.extensions.is_empty()).then(|| to_json(&event.extensions));
    }
    let mut members = event.extensions.clone();
    members.extend(kind.map(|kind| (DATA_KIND.to_owned(), kind.to_owned())));
    members.extend(event.producer.clone().map(|producer| (PRODUCER.to_owned(), producer)));
    if !event.typed.is_empty() {
        let names: Vec<_> = event.typed.iter().map(String::as_str).collect();
        members.insert(TYPED.to_owned(), names.join(" "));
    }
    Some(to_json(&members))
}

/// Appends an event, unless the log has one with its source and id.
pub(in super::super) fn append_event(
    connection: &Connection,
    position: Position,
    type_number: i64,
    event: &Event,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let extensions = extensions_column(event);
    let mut statement = connection.prepare_cached(
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

pub(super) fn query(
    connection: &Connection,
    rest: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<LoggedEvent>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM {EVENTS} {rest}"))?;
    let rows = statement.query_map(values, logged)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Events of one type after a position, in order.
pub(in super::super) fn events_of_type(
    connection: &Connection,
    type_number: i64,
    after: Position,
    limit: usize,
) -> Result<Vec<LoggedEvent>, StoreError> {
    let values = params![type_number, signed(after.0), signed(limit as u64)];
    query(connection, "WHERE e.type = ?1 AND e.position > ?2 ORDER BY e.position LIMIT ?3", values)
}

/// Events of all types after a position, in order.
pub(in super::super) fn events_after(
    connection: &Connection,
    after: Position,
    limit: usize,
) -> Result<Vec<LoggedEvent>, StoreError> {
    query(
        connection,
        "WHERE e.position > ?1 ORDER BY e.position LIMIT ?2",
        params![signed(after.0), signed(limit as u64)],
    )
}

/// Events in reverse order, starting before a position or with the newest one.
pub(in super::super) fn events_before(
    connection: &Connection,
    before: Option<Position>,
    limit: usize,
) -> Result<Vec<LoggedEvent>, StoreError> {
    let before = before.map_or(i64::MAX, |before| signed(before.0));
    let values = params![before, signed(limit as u64)];
    query(connection, "WHERE e.position < ?1 ORDER BY e.position DESC LIMIT ?2", values)
}

/// Events with an id. Events of different sources may share one.
pub(in super::super) fn events_with_id(connection: &Connection, id: &str) -> Result<Vec<LoggedEvent>, StoreError> {
    query(connection, "WHERE e.id = ?1 ORDER BY e.position LIMIT 100", [id])
}

/// The event with a source and an id.
pub(super) fn logged_event(connection: &Connection, source: &str, id: &str) -> Result<Option<LoggedEvent>, StoreError> {
    Ok(query(connection, "WHERE e.id = ?1 AND e.source = ?2", [id, source])?.pop())
}

/// The number of events of a type after a position, up to another one.
pub(in super::super) fn count_of_type(
    connection: &Connection,
    type_number: i64,
    after: Position,
    until: Position,
) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT count(*) FROM events WHERE type = ?1 AND position > ?2 AND position <= ?3")?;
    Ok(statement.query_row(params![type_number, signed(after.0), signed(until.0)], |row| unsigned(row, 0))?)
}

/// The position before the first event that was stored at or after a time. The log's times never go back, so it is
/// found by binary search.
pub(in super::super) fn position_before(connection: &Connection, time: Timestamp) -> Result<Position, StoreError> {
    let mut first_from = connection
        .prepare_cached("SELECT position, stored_at FROM events WHERE position >= ?1 ORDER BY position LIMIT 1")?;
    let head = log(connection)?.head;
    // Events up to `low` are older, and events from `high` on are not.
    let (mut low, mut high) = (0, head.0 + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let found = first_from
            .query_row([signed(middle)], |row| Ok((unsigned(row, 0)?, Timestamp(unsigned(row, 1)?))))
            .optional()?;
        match found {
            Some((position, stored_at)) if stored_at < time => low = position.max(middle),
            _ => high = middle,
        }
    }
    Ok(Position(low))
}

// The log as a whole.

/// The state of the log as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Log {
    /// The position of the newest event.
    pub(in super::super) head: Position,
    /// Events up to here were deleted, except those that deliveries or dead letters need.
    pub(in super::super) floor: Position,
    /// The size of the events.
    pub(in super::super) bytes: u64,
    /// When the newest event was stored.
    pub(in super::super) newest: Timestamp,
}

pub(in super::super) fn log(connection: &Connection) -> Result<Log, StoreError> {
    let mut statement = connection.prepare_cached("SELECT head, floor, bytes, newest FROM log")?;
    Ok(statement.query_row([], |row| {
        Ok(Log {
            head: Position(unsigned(row, 0)?),
            floor: Position(unsigned(row, 1)?),
            bytes: unsigned(row, 2)?,
            newest: Timestamp(unsigned(row, 3)?),
        })
    })?)
}

pub(in super::super) fn put_log(connection: &Connection, log: &Log) -> Result<(), StoreError> {
    let values = params![signed(log.head.0), signed(log.floor.0), signed(log.bytes), signed(log.newest.0)];
    connection
        .prepare_cached(
            "UPDATE log SET head = ?1, floor = ?2, bytes = ?3, newest = ?4, sum = checksum(?1, ?2, ?3, ?4)",
        )?
        .execute(values)?;
    Ok(())
}

/// The oldest and the newest event, both from one moment.
pub(in super::super) fn ends_of_log(connection: &Connection) -> Result<[Option<EventPlace>; 2], StoreError> {
    let moment = connection.unchecked_transaction()?;
    let end = |order: &str| {
        let sql = format!("SELECT position, stored_at FROM events ORDER BY position {order} LIMIT 1");
        let place = |row: &Row<'_>| {
            Ok(EventPlace { position: Position(unsigned(row, 0)?), stored_at: Timestamp(unsigned(row, 1)?) })
        };
        moment.prepare_cached(&sql)?.query_row([], place).optional()
    };
    Ok([end("ASC")?, end("DESC")?])
}

/// An event that may be deleted.
pub(in super::super) struct OldestEvent {
    pub(in super::super) position: Position,
    pub(in super::super) stored_at: Timestamp,
    pub(in super::super) bytes: u64,
}

/// The oldest events after a position.
pub(in super::super) fn oldest_events(
    connection: &Connection,
    after: Position,
    limit: usize,
) -> Result<Vec<OldestEvent>, StoreError> {
    let mut statement = connection.prepare_cached(
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

/// An event that was deleted.
pub(in super::super) struct DeletedEvent {
    pub(in super::super) bytes: u64,
    pub(in super::super) type_number: i64,
    /// The holder against whose usage it counted.
    pub(in super::super) holder: Option<String>,
}

/// Deletes an event that no delivery needs. None if it is needed or does not exist.
pub(in super::super) fn delete_event(
    connection: &Connection,
    position: Position,
) -> Result<Option<DeletedEvent>, StoreError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM events WHERE position = ?1
             AND NOT EXISTS (SELECT 1 FROM pending WHERE position = ?1)
             AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE position = ?1) RETURNING bytes, type, source, extensions ->> '$.held_for'",
    )?;
    Ok(statement.query_row([signed(position.0)], deleted).optional()?)
}

/// Deletes the events after a position, which only this transaction has seen.
pub(in super::super) fn take_back_events(
    connection: &Connection,
    after: Position,
) -> Result<Vec<DeletedEvent>, StoreError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM events WHERE position > ?1 RETURNING bytes, type, source, extensions ->> '$.held_for'",
    )?;
    let rows = statement.query_map([signed(after.0)], deleted)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn deleted(row: &Row<'_>) -> rusqlite::Result<DeletedEvent> {
    Ok(DeletedEvent { bytes: unsigned(row, 0)?, type_number: row.get(1)?, holder: holder(row, 2)? })
}

/// The holder of an event, from a column with its source and the next one with its producer.
pub(super) fn holder(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    let source: String = row.get(index)?;
    match publishing_plugin(&source) {
        Some(plugin) => Ok(Some(plugin.to_owned())),
        None => row.get(index + 1),
    }
}
