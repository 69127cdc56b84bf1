//! Usage of the store: event types, the sizes of plugins' events, and the secret for ids.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::events::holder;
use super::{signed, unsigned};
use crate::bus::StoreError;
use crate::event::Position;
use crate::event::reserved::PLUGIN_SOURCES;

/// The secret from which ids of published events are derived.
pub(in super::super) fn secret(connection: &Connection) -> Result<Vec<u8>, StoreError> {
    Ok(connection.query_row("SELECT value FROM secret", [], |row| row.get(0))?)
}

/// The size of each plugin's events in the log.
pub(in super::super) fn publishers(connection: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = connection.prepare("SELECT plugin, bytes FROM publishers")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in super::super) fn put_publisher(connection: &Connection, plugin: &str, bytes: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO publishers (plugin, bytes, sum) VALUES (?1, ?2, checksum(?1, ?2))
             ON CONFLICT (plugin) DO UPDATE SET bytes = ?2, sum = checksum(?1, ?2)",
        )?
        .execute(params![plugin, signed(bytes)])?;
    Ok(())
}

/// The scheduled events of one type and one holder.
pub(in super::super) struct ScheduledUsage {
    /// The holder against whose usage they count.
    pub(in super::super) holder: Option<String>,
    pub(in super::super) event_type: String,
    pub(in super::super) count: u64,
    pub(in super::super) bytes: u64,
}

/// The scheduled events by holder and type.
pub(in super::super) fn scheduled_usage(connection: &Connection) -> Result<Vec<ScheduledUsage>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT event ->> '$.event_type' AS type, count(*), sum(octet_length(event)), source, event ->> '$.producer' AS producer
         FROM scheduled GROUP BY source, producer, type",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(ScheduledUsage {
            event_type: row.get(0)?,
            count: unsigned(row, 1)?,
            bytes: unsigned(row, 2)?,
            holder: holder(row, 3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Tables with deliveries.
#[derive(Clone, Copy)]
pub(in super::super) enum Rows {
    Pending,
    DeadLetters,
}

/// The number of a subscription's deliveries with rows, or of its dead letters, for each plugin that published their
/// events.
pub(in super::super) fn rows_by_plugin(
    connection: &Connection,
    rows: Rows,
    subscription: i64,
) -> Result<Vec<(String, u64)>, StoreError> {
    // Deliveries of replays count against no plugin.
    let rows = match rows {
        Rows::Pending => "pending d JOIN events e ON e.position = d.position WHERE NOT d.replayed",
        Rows::DeadLetters => "dead_letters d JOIN events e ON e.position = d.position WHERE NOT d.replay",
    };
    let sql = format!(
        "SELECT e.source, count(*) FROM {rows} AND d.subscription = ?1
         AND e.source >= '/plugins/' AND e.source < '/plugins0' GROUP BY e.source"
    );
    by_plugin(connection, &sql, [subscription])
}

/// The number of events of a type, after a position and up to another one, for each plugin.
pub(in super::super) fn events_by_plugin(
    connection: &Connection,
    type_number: i64,
    after: Position,
    until: Position,
) -> Result<Vec<(String, u64)>, StoreError> {
    let sql = "SELECT source, count(*) FROM events WHERE type = ?1 AND position > ?2 AND position <= ?3
               AND source >= '/plugins/' AND source < '/plugins0' GROUP BY source";
    by_plugin(connection, sql, params![type_number, signed(after.0), signed(until.0)])
}

fn by_plugin(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| {
        let source: String = row.get(0)?;
        Ok((source[PLUGIN_SOURCES.len()..].to_owned(), unsigned(row, 1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The source of an event, if it exists.
pub(in super::super) fn source_of(connection: &Connection, position: Position) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT source FROM events WHERE position = ?1")?;
    Ok(statement.query_row([signed(position.0)], |row| row.get(0)).optional()?)
}

// Types.

pub(in super::super) fn types(connection: &Connection) -> Result<Vec<(i64, String)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, name FROM types ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in super::super) fn add_type(connection: &Connection, number: i64, name: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO types (id, name, sum) VALUES (?1, ?2, checksum(?1, ?2))")?
        .execute(params![number, name])?;
    Ok(())
}

/// The holder of the first event of a type in the log, if there is one.
pub(in super::super) fn first_holder_of(
    connection: &Connection,
    type_number: i64,
) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT source, extensions ->> '$.held_for' FROM events WHERE type = ?1 ORDER BY position LIMIT 1",
    )?;
    Ok(statement.query_row([type_number], |row| holder(row, 0)).optional()?.flatten())
}

/// The holder of the first scheduled event of each type, if it has one.
pub(in super::super) fn first_scheduled_holders(
    connection: &Connection,
) -> Result<HashMap<String, Option<String>>, StoreError> {
    // With `min`, SQLite takes the other columns from the row with the minimum.
    let mut statement = connection.prepare(
        "SELECT event ->> '$.event_type' AS type, source, event ->> '$.producer', min(number) FROM scheduled GROUP BY type",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, holder(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether the log has events of a type.
pub(in super::super) fn has_events_of(connection: &Connection, type_number: i64) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM events WHERE type = ?1 LIMIT 1")?.exists([type_number])?)
}

/// Deletes a type. Returns its name, if it existed.
pub(in super::super) fn delete_type(connection: &Connection, type_number: i64) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM types WHERE id = ?1 RETURNING name")?;
    Ok(statement.query_row([type_number], |row| row.get(0)).optional()?)
}

/// Deletes the types that have no events, neither in the log nor scheduled.
pub(in super::super) fn forget_unused_types(connection: &Connection) -> Result<usize, StoreError> {
    let forgotten = connection.execute(
        "DELETE FROM types WHERE NOT EXISTS (SELECT 1 FROM events WHERE type = types.id)
         AND name NOT IN (SELECT json_extract(event, '$.event_type') FROM scheduled)",
        [],
    )?;
    Ok(forgotten)
}
