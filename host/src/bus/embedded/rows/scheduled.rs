//! Scheduled events, and the schedules of plugins.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::events::logged_event;
use super::{from_json_column, parse, unsigned};
use crate::bus::engine::store::encoding::{signed, to_json};
use crate::bus::engine::store::*;
use crate::bus::{PluginSchedule, ScheduledCursor, ScheduledEvent, StoreError};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::schedule::Schedule;

fn taken(json: &str) -> Result<RemovedScheduled, StoreError> {
    Ok(RemovedScheduled { event: parse(json)?, bytes: json.len() as u64 })
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

impl ScheduleRows for Connection {
    fn is_scheduled(&self, event: &Event) -> Result<bool, StoreError> {
        let mut statement = self.prepare_cached("SELECT 1 FROM scheduled WHERE id = ?1 AND source = ?2")?;
        Ok(statement.exists(params![event.id, event.source])?)
    }

    fn is_logged(&self, event: &Event) -> Result<bool, StoreError> {
        let mut statement = self.prepare_cached("SELECT 1 FROM events WHERE id = ?1 AND source = ?2")?;
        Ok(statement.exists(params![event.id, event.source])?)
    }

    fn find_event(&self, source: &str, id: &str) -> Result<Option<Event>, StoreError> {
        if let Some(logged) = logged_event(self, source, id)? {
            return Ok(Some(Arc::unwrap_or_clone(logged.event)));
        }
        let mut statement = self.prepare_cached("SELECT event FROM scheduled WHERE id = ?1 AND source = ?2")?;
        let json: Option<String> = statement.query_row([id, source], |row| row.get(0)).optional()?;
        json.map(|json| parse(&json)).transpose()
    }

    fn schedule_event(&self, due: Timestamp, event: &Event) -> Result<Option<u64>, StoreError> {
        let json = to_json(event);
        let bytes = json.len() as u64;
        let mut statement = self.prepare_cached(
            "INSERT INTO scheduled (due, id, source, event, sum) VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4))
         ON CONFLICT (id, source) DO NOTHING",
        )?;
        let added = statement.execute(params![signed(due.0), event.id, event.source, json])?;
        Ok((added == 1).then_some(bytes))
    }

    fn cancel_event(&self, source: &str, id: &str) -> Result<Option<RemovedScheduled>, StoreError> {
        let mut statement =
            self.prepare_cached("DELETE FROM scheduled WHERE id = ?1 AND source = ?2 RETURNING event")?;
        let json: Option<String> = statement.query_row([id, source], |row| row.get(0)).optional()?;
        json.map(|json| taken(&json)).transpose()
    }

    fn next_scheduled(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut statement = self.prepare_cached(
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

    fn has_scheduled(&self) -> Result<bool, StoreError> {
        Ok(self.prepare_cached("SELECT 1 FROM scheduled LIMIT 1")?.exists([])?)
    }

    fn scheduled_events(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> Result<Vec<ScheduledEvent>, StoreError> {
        let (due, number) = after.map_or((-1, 0), |cursor| (signed(cursor.due.0), cursor.number));
        let mut statement = self.prepare_cached(
            "SELECT due, event, number FROM scheduled WHERE (due, number) > (?1, ?2) ORDER BY due, number LIMIT ?3",
        )?;
        let rows = statement.query_map([due, number, signed(limit as u64)], |row| {
            let (due, event): (_, String) = (Timestamp(unsigned(row, 0)?), row.get(1)?);
            let cursor = ScheduledCursor { due, number: row.get(2)? };
            Ok(ScheduledEvent { cursor, due, event: from_json_column(1, &event)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn take_scheduled(&self, now: Timestamp, limit: usize) -> Result<Vec<RemovedScheduled>, StoreError> {
        let mut select =
            self.prepare_cached("SELECT number, event FROM scheduled WHERE due <= ?1 ORDER BY due, number LIMIT ?2")?;
        let rows = select.query_map(params![signed(now.0), signed(limit as u64)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let mut delete = self.prepare_cached("DELETE FROM scheduled WHERE number = ?1")?;
        let mut events = Vec::with_capacity(rows.len());
        for (number, json) in rows {
            delete.execute([number])?;
            events.push(taken(&json)?);
        }
        Ok(events)
    }

    fn schedules(&self) -> Result<Vec<PluginSchedule>, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT plugin, name, schedule, next FROM schedules ORDER BY plugin, name")?;
        let rows = statement.query_map([], scheduling)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn due_schedules(&self, now: Timestamp, limit: usize) -> Result<Vec<PluginSchedule>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT plugin, name, schedule, next FROM schedules
         WHERE next <= ?1 AND plugin IN (SELECT plugin FROM temp.running) ORDER BY next LIMIT ?2",
        )?;
        let rows = statement.query_map(params![signed(now.0), signed(limit as u64)], scheduling)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn set_running(&self, plugin: &str, runs: bool) -> Result<(), StoreError> {
        let change = if runs {
            "INSERT INTO temp.running VALUES (?1) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM temp.running WHERE plugin = ?1"
        };
        self.prepare_cached(change)?.execute([plugin])?;
        Ok(())
    }

    fn find_schedule(&self, plugin: &str, name: &str) -> Result<Option<PluginSchedule>, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT plugin, name, schedule, next FROM schedules WHERE plugin = ?1 AND name = ?2")?;
        Ok(statement.query_row([plugin, name], scheduling).optional()?)
    }

    fn put_schedule(
        &self,
        plugin: &str,
        name: &str,
        schedule: &Schedule,
        next: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self
        .prepare_cached(
            "INSERT INTO schedules (plugin, name, schedule, next, sum) VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4))
             ON CONFLICT (plugin, name) DO UPDATE SET schedule = ?3, next = ?4, sum = checksum(?1, ?2, ?3, ?4)",
        )?
        .execute(params![plugin, name, to_json(schedule), next.map(|next| signed(next.0))])?;
        Ok(())
    }

    fn move_schedule(&self, plugin: &str, name: &str, next: Option<Timestamp>) -> Result<(), StoreError> {
        self
        .prepare_cached(
            "UPDATE schedules SET next = ?3, sum = checksum(plugin, name, schedule, ?3) WHERE plugin = ?1 AND name = ?2",
        )?
        .execute(params![plugin, name, next.map(|next| signed(next.0))])?;
        Ok(())
    }

    fn delete_schedule(&self, plugin: &str, name: &str) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM schedules WHERE plugin = ?1 AND name = ?2")?.execute([plugin, name])?;
        Ok(())
    }
}
