//! The state of plugins.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::unsigned;
use crate::bus::StoreError;
use crate::bus::engine::store::encoding::signed;
use crate::bus::engine::store::*;
use crate::outcome::{Listing, Version};

impl StateRows for Connection {
    fn state_value(&self, plugin: &str, key: &str) -> Result<(Option<Vec<u8>>, Version), StoreError> {
        let mut statement = self.prepare_cached("SELECT value, version FROM state WHERE plugin = ?1 AND key = ?2")?;
        let found =
            statement.query_row([plugin, key], |row| Ok((row.get(0)?, Version(unsigned(row, 1)?)))).optional()?;
        Ok(found.map_or((None, Version(0)), |(value, version)| (Some(value), version)))
    }

    fn state_version(&self, plugin: &str, key: &str) -> Result<Version, StoreError> {
        let mut statement = self.prepare_cached("SELECT version FROM state WHERE plugin = ?1 AND key = ?2")?;
        let version = statement.query_row([plugin, key], |row| unsigned(row, 0)).optional()?;
        Ok(Version(version.unwrap_or(0)))
    }

    fn state_keys(&self, plugin: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        // The empty string sorts first, and may be a key.
        let mut statement = self.prepare_cached(
            "SELECT key FROM state WHERE plugin = ?1 AND (?2 IS NULL OR key > ?2) ORDER BY key LIMIT ?3",
        )?;
        let rows = statement.query_map(params![plugin, after, signed(limit as u64)], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn state_listing(&self, plugin: &str) -> Result<Listing, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT count(*), coalesce(max(made), 0) FROM state WHERE plugin = ?1")?;
        Ok(statement
            .query_row([plugin], |row| Ok(Listing { count: unsigned(row, 0)?, newest: Version(unsigned(row, 1)?) }))?)
    }

    fn set_state(&self, plugin: &str, key: &str, value: &[u8], version: Version) -> Result<(), StoreError> {
        self
        .prepare_cached(
            "INSERT INTO state (plugin, key, value, version, made, sum) VALUES (?1, ?2, ?3, ?4, ?4, checksum(?1, ?2, ?3, ?4, ?4))
             ON CONFLICT (plugin, key) DO UPDATE SET value = ?3, version = ?4, sum = checksum(?1, ?2, ?3, ?4, made)",
        )?
        .execute(params![plugin, key, value, signed(version.0)])?;
        Ok(())
    }

    fn delete_state(&self, plugin: &str, key: &str) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM state WHERE plugin = ?1 AND key = ?2")?.execute([plugin, key])?;
        Ok(())
    }

    fn first_version(&self) -> Result<Version, StoreError> {
        let run = self.query_row(
            "UPDATE runs SET number = number + 1, sum = checksum(number + 1) RETURNING number",
            [],
            |row| unsigned(row, 0),
        )?;
        Ok(Version(run << 40))
    }
}
