//! Usage of the store: event types, the sizes of each holder's events, and the secret for ids.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::events::holder;
use super::unsigned;
use crate::bus::StoreError;
use crate::bus::engine::store::encoding::signed;
use crate::bus::engine::store::*;
use crate::event::Position;
use crate::event::reserved::PLUGIN_SOURCES;

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

impl UsageRows for Connection {
    fn secret(&self) -> Result<Vec<u8>, StoreError> {
        Ok(self.query_row("SELECT value FROM secret", [], |row| row.get(0))?)
    }

    fn log_bytes_by_holder(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut statement = self.prepare("SELECT plugin, bytes FROM publishers")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn put_log_bytes(&self, holder: &str, bytes: u64) -> Result<(), StoreError> {
        self.prepare_cached(
            "INSERT INTO publishers (plugin, bytes, sum) VALUES (?1, ?2, checksum(?1, ?2))
             ON CONFLICT (plugin) DO UPDATE SET bytes = ?2, sum = checksum(?1, ?2)",
        )?
        .execute(params![holder, signed(bytes)])?;
        Ok(())
    }

    fn scheduled_usage(&self) -> Result<Vec<ScheduledUsage>, StoreError> {
        let mut statement = self.prepare(
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

    fn rows_by_plugin(&self, table: DeliveryTable, subscription: i64) -> Result<Vec<(String, u64)>, StoreError> {
        // Deliveries of replays count against no plugin.
        let table = match table {
            DeliveryTable::Pending => "pending d JOIN events e ON e.position = d.position WHERE NOT d.replayed",
            DeliveryTable::DeadLetters => "dead_letters d JOIN events e ON e.position = d.position WHERE NOT d.replay",
        };
        let sql = format!(
            "SELECT e.source, count(*) FROM {table} AND d.subscription = ?1
         AND e.source >= '/plugins/' AND e.source < '/plugins0' GROUP BY e.source"
        );
        by_plugin(self, &sql, [subscription])
    }

    fn events_by_plugin(
        &self,
        type_number: i64,
        after: Position,
        until: Position,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT source, count(*) FROM events WHERE type = ?1 AND position > ?2 AND position <= ?3
               AND source >= '/plugins/' AND source < '/plugins0' GROUP BY source";
        by_plugin(self, sql, params![type_number, signed(after.0), signed(until.0)])
    }

    fn source_of(&self, position: Position) -> Result<Option<String>, StoreError> {
        let mut statement = self.prepare_cached("SELECT source FROM events WHERE position = ?1")?;
        Ok(statement.query_row([signed(position.0)], |row| row.get(0)).optional()?)
    }

    fn types(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let mut statement = self.prepare_cached("SELECT id, name FROM types ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn add_type(&self, number: i64, name: &str) -> Result<(), StoreError> {
        self.prepare_cached("INSERT INTO types (id, name, sum) VALUES (?1, ?2, checksum(?1, ?2))")?
            .execute(params![number, name])?;
        Ok(())
    }

    fn first_holder_of(&self, type_number: i64) -> Result<Option<String>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT source, extensions ->> '$.held_for' FROM events WHERE type = ?1 ORDER BY position LIMIT 1",
        )?;
        Ok(statement.query_row([type_number], |row| holder(row, 0)).optional()?.flatten())
    }

    fn first_scheduled_holders(&self) -> Result<HashMap<String, Option<String>>, StoreError> {
        // With `min`, SQLite takes the other columns from the row with the minimum.
        let mut statement = self.prepare(
        "SELECT event ->> '$.event_type' AS type, source, event ->> '$.producer', min(number) FROM scheduled GROUP BY type",
    )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, holder(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn has_events_of(&self, type_number: i64) -> Result<bool, StoreError> {
        Ok(self.prepare_cached("SELECT 1 FROM events WHERE type = ?1 LIMIT 1")?.exists([type_number])?)
    }

    fn delete_type(&self, type_number: i64) -> Result<Option<String>, StoreError> {
        let mut statement = self.prepare_cached("DELETE FROM types WHERE id = ?1 RETURNING name")?;
        Ok(statement.query_row([type_number], |row| row.get(0)).optional()?)
    }

    fn forget_unused_types(&self) -> Result<usize, StoreError> {
        let forgotten = self.execute(
            "DELETE FROM types WHERE NOT EXISTS (SELECT 1 FROM events WHERE type = types.id)
         AND name NOT IN (SELECT json_extract(event, '$.event_type') FROM scheduled)",
            [],
        )?;
        Ok(forgotten)
    }
}
