//! The event log.

use tokio_postgres::Row;

use super::super::batch::identity_digest;
use super::super::connection::PgConnection;
use super::super::error::PostgresError;
use super::super::session::{Columns as _, Value, can_be_stored};
use crate::bus::engine::store::encoding::{EventColumns, signed};
use crate::bus::engine::store::{DeletedEvent, EventRows, Log, OldestEvent};
use crate::bus::{EventPlace, StoreError};
use crate::clock::Timestamp;
use crate::event::{Event, LoggedEvent, Position};

/// The columns that [`logged`] reads, in order.
pub(super) const EVENT_COLUMNS: &str = "e.position, t.name, e.id, e.source, e.subject, e.time, e.datacontenttype, e.dataschema, e.extensions, e.data, e.stored_at";
/// The number of these columns.
pub(super) const EVENT_WIDTH: usize = 11;
pub(super) const EVENTS: &str = "events e JOIN types t ON t.id = e.type";

pub(super) fn logged(row: &Row) -> Result<LoggedEvent, StoreError> {
    let columns = EventColumns {
        position: row.unsigned(0)?,
        event_type: row.column(1)?,
        id: row.column(2)?,
        source: row.column(3)?,
        subject: row.column(4)?,
        time: row.column(5)?,
        datacontenttype: row.column(6)?,
        dataschema: row.column(7)?,
        extensions: row.column(8)?,
        data: row.column(9)?,
        stored_at: row.unsigned(10)?,
    };
    let position = columns.position;
    columns
        .decode()
        .map_err(|error| PostgresError::Damaged(format!("the event at position {position}: {error}")).into())
}

/// The events of the statement that ends in `rest`.
pub(super) fn events(
    connection: &PgConnection,
    rest: &str,
    values: &[Value<'_>],
) -> Result<Vec<LoggedEvent>, StoreError> {
    let rows = connection.query(&format!("SELECT {EVENT_COLUMNS} FROM {EVENTS} {rest}"), values)?;
    rows.iter().map(logged).collect()
}

fn place(row: &Row) -> Result<EventPlace, StoreError> {
    Ok(EventPlace { position: Position(row.unsigned(0)?), stored_at: Timestamp(row.unsigned(1)?) })
}

fn deleted(row: &Row) -> Result<DeletedEvent, StoreError> {
    Ok(DeletedEvent { bytes: row.unsigned(0)?, type_number: row.column(1)?, holder: row.column(2)? })
}

impl EventRows for PgConnection {
    fn append_event(
        &self,
        position: Position,
        type_number: i64,
        event: &Event,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.is_logged_identity(&event.source, &event.id)? {
            return Ok(false);
        }
        self.change(|batch| batch.append_event(position, type_number, event, now))?;
        Ok(true)
    }

    fn events_of_type(&self, type_number: i64, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StoreError> {
        let values: [Value<'_>; 3] = [&type_number, &signed(after.0), &signed(limit as u64)];
        events(self, "WHERE e.type = $1 AND e.position > $2 ORDER BY e.position LIMIT $3", &values)
    }

    fn events_after(&self, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StoreError> {
        let values: [Value<'_>; 2] = [&signed(after.0), &signed(limit as u64)];
        events(self, "WHERE e.position > $1 ORDER BY e.position LIMIT $2", &values)
    }

    fn events_before(&self, before: Option<Position>, limit: usize) -> Result<Vec<LoggedEvent>, StoreError> {
        let before = before.map_or(i64::MAX, |before| signed(before.0));
        let values: [Value<'_>; 2] = [&before, &signed(limit as u64)];
        events(self, "WHERE e.position < $1 ORDER BY e.position DESC LIMIT $2", &values)
    }

    fn events_with_id(&self, id: &str) -> Result<Vec<LoggedEvent>, StoreError> {
        if !can_be_stored(id) {
            return Ok(Vec::new());
        }
        events(self, "WHERE left(e.id, 200) = left($1, 200) AND e.id = $1 ORDER BY e.position LIMIT 100", &[&id])
    }

    fn count_of_type(&self, type_number: i64, after: Position, until: Position) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM events WHERE type = $1 AND position > $2 AND position <= $3";
        let row = self.query_one(sql, &[&type_number, &signed(after.0), &signed(until.0)])?;
        row.map_or(Ok(0), |row| row.unsigned(0))
    }

    fn first_from(&self, position: Position) -> Result<Option<EventPlace>, StoreError> {
        let sql = "SELECT position, stored_at FROM events WHERE position >= $1 ORDER BY position LIMIT 1";
        self.query_one(sql, &[&signed(position.0)])?.map(|row| place(&row)).transpose()
    }

    fn log(&self) -> Result<Log, StoreError> {
        let row = self.query_one("SELECT head, floor, bytes, newest FROM log", &[])?;
        let row = row.ok_or_else(|| PostgresError::Damaged("the table `log` is empty".to_owned()))?;
        Ok(Log {
            head: Position(row.unsigned(0)?),
            floor: Position(row.unsigned(1)?),
            bytes: row.unsigned(2)?,
            newest: Timestamp(row.unsigned(3)?),
        })
    }

    fn put_log(&self, log: &Log) -> Result<(), StoreError> {
        self.change(|batch| batch.put_log(*log))
    }

    fn ends_of_log(&self) -> Result<[Option<EventPlace>; 2], StoreError> {
        let sql = "(SELECT position, stored_at, 0 AS which FROM events ORDER BY position LIMIT 1)
             UNION ALL (SELECT position, stored_at, 1 FROM events ORDER BY position DESC LIMIT 1) ORDER BY which";
        let mut ends = [None, None];
        for (end, row) in ends.iter_mut().zip(self.query(sql, &[])?) {
            *end = Some(place(&row)?);
        }
        Ok(ends)
    }

    fn oldest_events(&self, after: Position, limit: usize) -> Result<Vec<OldestEvent>, StoreError> {
        let sql = "SELECT position, stored_at, bytes FROM events WHERE position > $1 ORDER BY position LIMIT $2";
        let rows = self.query(sql, &[&signed(after.0), &signed(limit as u64)])?;
        let event = |row: &Row| {
            Ok(OldestEvent {
                position: Position(row.unsigned(0)?),
                stored_at: Timestamp(row.unsigned(1)?),
                bytes: row.unsigned(2)?,
            })
        };
        rows.iter().map(event).collect()
    }

    fn delete_event(&self, position: Position) -> Result<Option<DeletedEvent>, StoreError> {
        let sql = "DELETE FROM events e WHERE e.position = $1
             AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.position = e.position)
             AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.position = e.position)
             RETURNING e.bytes, e.type, e.holder, e.source, e.id";
        let Some(row) = self.query_one(sql, &[&signed(position.0)])? else { return Ok(None) };
        self.note_deleted_events(std::slice::from_ref(&row))?;
        deleted(&row).map(Some)
    }

    fn take_back_events(&self, after: Position) -> Result<Vec<DeletedEvent>, StoreError> {
        let sql = "DELETE FROM events WHERE position > $1 RETURNING bytes, type, holder, source, id";
        let rows = self.query(sql, &[&signed(after.0)])?;
        self.note_deleted_events(&rows)?;
        rows.iter().map(deleted).collect()
    }
}

impl PgConnection {
    /// Whether the log has an event with a source and an id.
    pub(super) fn is_logged_identity(&self, source: &str, id: &str) -> Result<bool, StoreError> {
        let cached = self.batch.borrow().cache.logged.get(&(source.to_owned(), id.to_owned())).copied();
        if let Some(cached) = cached {
            return Ok(cached);
        }
        let found = self.query_directly("SELECT 1 FROM events WHERE identity = $1", &[&identity_digest(source, id)])?;
        Ok(!found.is_empty())
    }

    /// Notes that events were deleted, whose sources and ids are in the columns 3 and 4.
    fn note_deleted_events(&self, rows: &[Row]) -> Result<(), StoreError> {
        let identity = |row: &Row| Ok::<_, StoreError>((row.column::<String>(3)?, row.column::<String>(4)?));
        let identities = rows.iter().map(identity).collect::<Result<_, _>>()?;
        self.change(|batch| batch.forget_logged(&identities))
    }
}
