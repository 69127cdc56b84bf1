//! Scheduled events, and the schedules of plugins.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::events::logged_event;
use super::{from_json_column, parse, signed, to_json, unsigned};
use crate::bus::{PluginSchedule, ScheduledCursor, ScheduledEvent, StoreError};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::schedule::Schedule;

pub(in super::super) fn is_scheduled(connection: &Connection, event: &Event) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM scheduled WHERE id = ?1 AND source = ?2")?;
    Ok(statement.exists(params![event.id, event.source])?)
}

pub(in super::super) fn is_logged(connection: &Connection, event: &Event) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM events WHERE id = ?1 AND source = ?2")?;
    Ok(statement.exists(params![event.id, event.source])?)
}

/// The event with a source and an id, in the log or scheduled.
pub(in super::super) fn find_event(
    connection: &Connection,
    source: &str,
    id: &str,
) -> Result<Option<Event>, StoreError> {
    if let Some(logged) = logged_event(connection, source, id)? {
        return Ok(Some(Arc::unwrap_or_clone(logged.event)));
    }
    let mut statement = connection.prepare_cached("SELECT event FROM scheduled WHERE id = ?1 AND source = ?2")?;
    let json: Option<String> = statement.query_row([id, source], |row| row.get(0)).optional()?;
    json.map(|json| parse(&json)).transpose()
}

/// Schedules an event, unless one with its source and id is scheduled. Returns its size.
pub(in super::super) fn schedule_event(
    connection: &Connection,
    due: Timestamp,
    event: &Event,
) -> Result<Option<u64>, StoreError> {
    let json = to_json(event);
    let bytes = json.len() as u64;
    let mut statement = connection.prepare_cached(
        "INSERT INTO scheduled (due, id, source, event, sum) VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4))
         ON CONFLICT (id, source) DO NOTHING",
    )?;
    let added = statement.execute(params![signed(due.0), event.id, event.source, json])?;
    Ok((added == 1).then_some(bytes))
}

/// An event that is no longer scheduled.
pub(in super::super) struct RemovedScheduled {
    pub(in super::super) event: Event,
    pub(in super::super) bytes: u64,
}

fn taken(json: &str) -> Result<RemovedScheduled, StoreError> {
    Ok(RemovedScheduled { event: parse(json)?, bytes: json.len() as u64 })
}

/// Removes a scheduled event, if it exists.
pub(in super::super) fn cancel_event(
    connection: &Connection,
    source: &str,
    id: &str,
) -> Result<Option<RemovedScheduled>, StoreError> {
    let mut statement =
        connection.prepare_cached("DELETE FROM scheduled WHERE id = ?1 AND source = ?2 RETURNING event")?;
    let json: Option<String> = statement.query_row([id, source], |row| row.get(0)).optional()?;
    json.map(|json| taken(&json)).transpose()
}

/// When the next event is due, or the next schedule of a plugin that runs. For the writer's connection.
pub(in super::super) fn next_scheduled(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT min(due) FROM (
           SELECT min(due) AS due FROM scheduled
           UNION ALL
           SELECT * FROM (SELECT next FROM schedules
             WHERE next IS NOT NULL AND plugin IN (SELECT plugin FROM temp.running) ORDER BY next LIMIT 1)
         )",
    )?;
    let due: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(due.map(|due| Timestamp(u64::try_from(due).unwrap_or(0))))
}

/// Whether there are scheduled events.
pub(in super::super) fn has_scheduled(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM scheduled LIMIT 1")?.exists([])?)
}

/// Scheduled events in order, starting after a cursor.
pub(in super::super) fn scheduled_events(
    connection: &Connection,
    after: Option<ScheduledCursor>,
    limit: usize,
) -> Result<Vec<ScheduledEvent>, StoreError> {
    let (due, number) = after.map_or((-1, 0), |cursor| (signed(cursor.due.0), cursor.number));
    let mut statement = connection.prepare_cached(
        "SELECT due, event, number FROM scheduled WHERE (due, number) > (?1, ?2) ORDER BY due, number LIMIT ?3",
    )?;
    let rows = statement.query_map([due, number, signed(limit as u64)], |row| {
        let (due, event): (_, String) = (Timestamp(unsigned(row, 0)?), row.get(1)?);
        let cursor = ScheduledCursor { due, number: row.get(2)? };
        Ok(ScheduledEvent { cursor, due, event: from_json_column(1, &event)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes events that are due, in order.
pub(in super::super) fn take_scheduled(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<RemovedScheduled>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT number, event FROM scheduled WHERE due <= ?1 ORDER BY due, number LIMIT ?2")?;
    let rows = select.query_map(params![signed(now.0), signed(limit as u64)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM scheduled WHERE number = ?1")?;
    let mut events = Vec::with_capacity(rows.len());
    for (number, json) in rows {
        delete.execute([number])?;
        events.push(taken(&json)?);
    }
    Ok(events)
}

// Schedules.

pub(in super::super) fn schedules(connection: &Connection) -> Result<Vec<PluginSchedule>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT plugin, name, schedule, next FROM schedules ORDER BY plugin, name")?;
    let rows = statement.query_map([], scheduling)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The due schedules of plugins that run. For the writer's connection.
pub(in super::super) fn due_schedules(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<PluginSchedule>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT plugin, name, schedule, next FROM schedules
         WHERE next <= ?1 AND plugin IN (SELECT plugin FROM temp.running) ORDER BY next LIMIT ?2",
    )?;
    let rows = statement.query_map(params![signed(now.0), signed(limit as u64)], scheduling)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn scheduling(row: &rusqlite::Row<'_>) -> rusqlite::Result<PluginSchedule> {
    let schedule: String = row.get(2)?;
    let next: Option<i64> = row.get(3)?;
    Ok(PluginSchedule {
        plugin: row.get(0)?,
        name: row.get(1)?,
        schedule: from_json_column(2, &schedule)?,
        next: next.map(|next| Timestamp(u64::try_from(next).unwrap_or(0))),
    })
}

/// Records whether a plugin runs. For the writer's connection.
pub(in super::super) fn set_running(connection: &Connection, plugin: &str, runs: bool) -> Result<(), StoreError> {
    let change = if runs {
        "INSERT INTO temp.running VALUES (?1) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM temp.running WHERE plugin = ?1"
    };
    connection.prepare_cached(change)?.execute([plugin])?;
    Ok(())
}

pub(in super::super) fn find_schedule(
    connection: &Connection,
    plugin: &str,
    name: &str,
) -> Result<Option<PluginSchedule>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT plugin, name, schedule, next FROM schedules WHERE plugin = ?1 AND name = ?2")?;
    Ok(statement.query_row([plugin, name], scheduling).optional()?)
}

pub(in super::super) fn put_schedule(
    connection: &Connection,
    plugin: &str,
    name: &str,
    schedule: &Schedule,
    next: Option<Timestamp>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO schedules (plugin, name, schedule, next, sum) VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4))
             ON CONFLICT (plugin, name) DO UPDATE SET schedule = ?3, next = ?4, sum = checksum(?1, ?2, ?3, ?4)",
        )?
        .execute(params![plugin, name, to_json(schedule), next.map(|next| signed(next.0))])?;
    Ok(())
}

/// Records when a schedule is due next.
pub(in super::super) fn move_schedule(
    connection: &Connection,
    plugin: &str,
    name: &str,
    next: Option<Timestamp>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE schedules SET next = ?3, sum = checksum(plugin, name, schedule, ?3) WHERE plugin = ?1 AND name = ?2",
        )?
        .execute(params![plugin, name, next.map(|next| signed(next.0))])?;
    Ok(())
}

pub(in super::super) fn delete_schedule(connection: &Connection, plugin: &str, name: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM schedules WHERE plugin = ?1 AND name = ?2")?.execute([plugin, name])?;
    Ok(())
}
