//! Scheduled events, and the schedules of plugins.

use std::sync::Arc;

use tokio_postgres::Row;

use super::super::batch::identity_digest;
use super::super::connection::PgConnection;
use super::super::session::{Columns as _, Value};
use super::events::events;
use crate::bus::engine::store::encoding::{signed, to_json};
use crate::bus::engine::store::{RemovedScheduled, ScheduleRows};
use crate::bus::{PluginSchedule, ScheduledCursor, ScheduledEvent, StoreError};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::schedule::Schedule;

fn taken(row: &Row) -> Result<RemovedScheduled, StoreError> {
    let json: &str = row.column(0)?;
    Ok(RemovedScheduled { event: row.json(0)?, bytes: json.len() as u64 })
}

fn scheduling(row: &Row) -> Result<PluginSchedule, StoreError> {
    let next: Option<i64> = row.column(3)?;
    Ok(PluginSchedule {
        plugin: row.column(0)?,
        name: row.column(1)?,
        schedule: row.json(2)?,
        next: next.map(|next| Timestamp(u64::try_from(next).unwrap_or(0))),
    })
}

impl ScheduleRows for PgConnection {
    fn is_scheduled(&self, event: &Event) -> Result<bool, StoreError> {
        let cached = self.batch.borrow().cache.scheduled.get(&(event.source.clone(), event.id.clone())).copied();
        if let Some(cached) = cached {
            return Ok(cached);
        }
        let sql = "SELECT 1 FROM scheduled WHERE identity = $1";
        Ok(!self.query_directly(sql, &[&identity_digest(&event.source, &event.id)])?.is_empty())
    }

    fn is_logged(&self, event: &Event) -> Result<bool, StoreError> {
        self.is_logged_identity(&event.source, &event.id)
    }

    fn find_event(&self, source: &str, id: &str) -> Result<Option<Event>, StoreError> {
        if let Some(logged) = events(self, "WHERE e.identity = $1", &[&identity_digest(source, id)])?.pop() {
            return Ok(Some(Arc::unwrap_or_clone(logged.event)));
        }
        let row = self.query_one("SELECT event FROM scheduled WHERE identity = $1", &[&identity_digest(source, id)])?;
        row.map(|row| row.json(0)).transpose()
    }

    fn schedule_event(&self, due: Timestamp, event: &Event) -> Result<Option<u64>, StoreError> {
        let json = to_json(event);
        let bytes = json.len() as u64;
        let sql = "INSERT INTO scheduled (due, identity, id, source, type, producer, event)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (identity) DO NOTHING";
        let digest = identity_digest(&event.source, &event.id);
        let values: [Value<'_>; 7] =
            [&signed(due.0), &digest, &event.id, &event.source, &event.event_type, &event.producer, &json];
        let added = self.execute(sql, &values)?;
        self.batch.borrow_mut().cache.scheduled.insert((event.source.clone(), event.id.clone()), true);
        Ok((added == 1).then_some(bytes))
    }

    fn cancel_event(&self, source: &str, id: &str) -> Result<Option<RemovedScheduled>, StoreError> {
        let sql = "DELETE FROM scheduled WHERE identity = $1 RETURNING event";
        let row = self.query_changed(sql, &[&identity_digest(source, id)])?.into_iter().next();
        self.batch.borrow_mut().cache.scheduled.insert((source.to_owned(), id.to_owned()), false);
        row.map(|row| taken(&row)).transpose()
    }

    fn next_scheduled(&self) -> Result<Option<Timestamp>, StoreError> {
        let running: Vec<String> = self.running.borrow().iter().cloned().collect();
        let sql = "SELECT least((SELECT min(due) FROM scheduled),
             (SELECT min(next) FROM schedules WHERE next IS NOT NULL AND plugin = ANY ($1)))";
        let Some(row) = self.query_one(sql, &[&running])? else { return Ok(None) };
        let due: Option<i64> = row.column(0)?;
        Ok(due.map(|due| Timestamp(u64::try_from(due).unwrap_or(0))))
    }

    fn has_scheduled(&self) -> Result<bool, StoreError> {
        Ok(self.query_one("SELECT 1 FROM scheduled LIMIT 1", &[])?.is_some())
    }

    fn scheduled_events(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> Result<Vec<ScheduledEvent>, StoreError> {
        let (due, number) = after.map_or((-1, 0), |cursor| (signed(cursor.due.0), cursor.number));
        let sql =
            "SELECT due, event, number FROM scheduled WHERE (due, number) > ($1, $2) ORDER BY due, number LIMIT $3";
        let rows = self.query(sql, &[&due, &number, &signed(limit as u64)])?;
        let event = |row: &Row| {
            let due = Timestamp(row.unsigned(0)?);
            let cursor = ScheduledCursor { due, number: row.column(2)? };
            Ok(ScheduledEvent { cursor, due, event: row.json(1)? })
        };
        rows.iter().map(event).collect()
    }

    fn take_scheduled(&self, now: Timestamp, limit: usize) -> Result<Vec<RemovedScheduled>, StoreError> {
        let sql = "WITH taken AS (
               DELETE FROM scheduled WHERE number IN
                 (SELECT number FROM scheduled WHERE due <= $1 ORDER BY due, number LIMIT $2)
               RETURNING event, due, number)
             SELECT event FROM taken ORDER BY due, number";
        let rows = self.query_changed(sql, &[&signed(now.0), &signed(limit as u64)])?;
        let removed: Vec<_> = rows.iter().map(taken).collect::<Result<_, _>>()?;
        let mut batch = self.batch.borrow_mut();
        for RemovedScheduled { event, .. } in &removed {
            batch.cache.scheduled.insert((event.source.clone(), event.id.clone()), false);
        }
        Ok(removed)
    }

    fn schedules(&self) -> Result<Vec<PluginSchedule>, StoreError> {
        let rows = self.query("SELECT plugin, name, schedule, next FROM schedules ORDER BY plugin, name", &[])?;
        rows.iter().map(scheduling).collect()
    }

    fn due_schedules(&self, now: Timestamp, limit: usize) -> Result<Vec<PluginSchedule>, StoreError> {
        let running: Vec<String> = self.running.borrow().iter().cloned().collect();
        let sql = "SELECT plugin, name, schedule, next FROM schedules
             WHERE next <= $1 AND plugin = ANY ($2) ORDER BY next LIMIT $3";
        self.query(sql, &[&signed(now.0), &running, &signed(limit as u64)])?.iter().map(scheduling).collect()
    }

    fn set_running(&self, plugin: &str, runs: bool) -> Result<(), StoreError> {
        let mut running = self.running.borrow_mut();
        if runs {
            running.insert(plugin.to_owned());
        } else {
            running.remove(plugin);
        }
        Ok(())
    }

    fn find_schedule(&self, plugin: &str, name: &str) -> Result<Option<PluginSchedule>, StoreError> {
        let sql = "SELECT plugin, name, schedule, next FROM schedules WHERE plugin = $1 AND name = $2";
        self.query_one(sql, &[&plugin, &name])?.map(|row| scheduling(&row)).transpose()
    }

    fn put_schedule(
        &self,
        plugin: &str,
        name: &str,
        schedule: &Schedule,
        next: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO schedules (plugin, name, schedule, next) VALUES ($1, $2, $3, $4)
             ON CONFLICT (plugin, name) DO UPDATE SET schedule = excluded.schedule, next = excluded.next";
        let values: [Value<'_>; 4] = [&plugin, &name, &to_json(schedule), &next.map(|next| signed(next.0))];
        self.execute(sql, &values).map(drop)
    }

    fn move_schedule(&self, plugin: &str, name: &str, next: Option<Timestamp>) -> Result<(), StoreError> {
        let sql = "UPDATE schedules SET next = $3 WHERE plugin = $1 AND name = $2";
        self.execute(sql, &[&plugin, &name, &next.map(|next| signed(next.0))]).map(drop)
    }

    fn delete_schedule(&self, plugin: &str, name: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM schedules WHERE plugin = $1 AND name = $2", &[&plugin, &name]).map(drop)
    }
}
