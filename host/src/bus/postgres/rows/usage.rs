//! Usage of the store: event types, the sizes of each holder's events, and the secret for ids.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::super::connection::PgConnection;
use super::super::error::PostgresError;
use super::super::session::{Columns as _, Value};
use crate::bus::StoreError;
use crate::bus::engine::store::encoding::{holder, signed};
use crate::bus::engine::store::{DeliveryTable, ScheduledUsage, UsageRows};
use crate::event::Position;
use crate::event::reserved::PLUGIN_SOURCES;

/// The events of plugins, whose sources begin with [`PLUGIN_SOURCES`] and are ordered by their bytes.
const OF_PLUGINS: &str = "e.source >= '/plugins/' AND e.source < '/plugins0'";

fn by_plugin(connection: &PgConnection, sql: &str, values: &[Value<'_>]) -> Result<Vec<(String, u64)>, StoreError> {
    let count = |row: &Row| {
        let source: &str = row.column(0)?;
        Ok((source.strip_prefix(PLUGIN_SOURCES).unwrap_or(source).to_owned(), row.unsigned(1)?))
    };
    connection.query(sql, values)?.iter().map(count).collect()
}

impl UsageRows for PgConnection {
    fn secret(&self) -> Result<Vec<u8>, StoreError> {
        let row = self.query_one("SELECT secret FROM store", &[])?;
        row.ok_or_else(|| PostgresError::Damaged("the table `store` is empty".to_owned()))?.column(0)
    }

    fn log_bytes_by_holder(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = self.query("SELECT plugin, bytes FROM publishers", &[])?;
        rows.iter().map(|row| Ok((row.column(0)?, row.unsigned(1)?))).collect()
    }

    fn put_log_bytes(&self, holder: &str, bytes: u64) -> Result<(), StoreError> {
        self.change(|batch| batch.put_log_bytes(holder, bytes))
    }

    fn scheduled_usage(&self) -> Result<Vec<ScheduledUsage>, StoreError> {
        let sql = "SELECT type, count(*), sum(octet_length(event))::bigint, source, producer FROM scheduled
             GROUP BY source, producer, type";
        let usage = |row: &Row| {
            Ok(ScheduledUsage {
                event_type: row.column(0)?,
                count: row.unsigned(1)?,
                bytes: row.unsigned(2)?,
                holder: holder(row.column(3)?, row.column(4)?),
            })
        };
        self.query(sql, &[])?.iter().map(usage).collect()
    }

    fn rows_by_plugin(&self, table: DeliveryTable, subscription: i64) -> Result<Vec<(String, u64)>, StoreError> {
        // Deliveries of replays count against no plugin.
        let table = match table {
            DeliveryTable::Pending => "pending d JOIN events e ON e.position = d.position WHERE d.replayed = 0",
            DeliveryTable::DeadLetters => "dead_letters d JOIN events e ON e.position = d.position WHERE NOT d.replay",
        };
        let sql = format!(
            "SELECT e.source, count(*) FROM {table} AND d.subscription = $1 AND {OF_PLUGINS} GROUP BY e.source"
        );
        by_plugin(self, &sql, &[&subscription])
    }

    fn events_by_plugin(
        &self,
        type_number: i64,
        after: Position,
        until: Position,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = format!(
            "SELECT e.source, count(*) FROM events e
             WHERE e.type = $1 AND e.position > $2 AND e.position <= $3 AND {OF_PLUGINS} GROUP BY e.source"
        );
        by_plugin(self, &sql, &[&type_number, &signed(after.0), &signed(until.0)])
    }

    fn source_of(&self, position: Position) -> Result<Option<String>, StoreError> {
        let row = self.query_one("SELECT source FROM events WHERE position = $1", &[&signed(position.0)])?;
        row.map(|row| row.column(0)).transpose()
    }

    fn types(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let rows = self.query("SELECT id, name FROM types ORDER BY id", &[])?;
        rows.iter().map(|row| Ok((row.column(0)?, row.column(1)?))).collect()
    }

    fn add_type(&self, number: i64, name: &str) -> Result<(), StoreError> {
        self.execute("INSERT INTO types (id, name) VALUES ($1, $2)", &[&number, &name]).map(drop)
    }

    fn first_holder_of(&self, type_number: i64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT holder FROM events WHERE type = $1 ORDER BY position LIMIT 1";
        self.query_one(sql, &[&type_number])?.map_or(Ok(None), |row| row.column(0))
    }

    fn first_scheduled_holders(&self) -> Result<HashMap<String, Option<String>>, StoreError> {
        let rows =
            self.query("SELECT DISTINCT ON (type) type, source, producer FROM scheduled ORDER BY type, number", &[])?;
        rows.iter().map(|row| Ok((row.column(0)?, holder(row.column(1)?, row.column(2)?)))).collect()
    }

    fn has_events_of(&self, type_number: i64) -> Result<bool, StoreError> {
        Ok(self.query_one("SELECT 1 FROM events WHERE type = $1 LIMIT 1", &[&type_number])?.is_some())
    }

    fn delete_type(&self, type_number: i64) -> Result<Option<String>, StoreError> {
        let rows = self.query_changed("DELETE FROM types WHERE id = $1 RETURNING name", &[&type_number])?;
        rows.first().map(|row| row.column(0)).transpose()
    }

    fn forget_unused_types(&self) -> Result<usize, StoreError> {
        let sql = "DELETE FROM types t WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.type = t.id)
             AND NOT EXISTS (SELECT 1 FROM scheduled s WHERE s.type = t.name)";
        Ok(usize::try_from(self.execute(sql, &[])?).unwrap_or(usize::MAX))
    }
}
