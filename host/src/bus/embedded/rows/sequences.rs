//! Sequences, from which plugins draw numbers.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::error::EmbeddedError;
use super::unsigned;
use crate::bus::StoreError;
use crate::bus::engine::store::encoding::signed;
use crate::bus::engine::store::*;

impl SequenceRows for Connection {
    fn first_unreserved(&self, plugin: &str, name: &str) -> Result<Option<u64>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT next, sum IS checksum(plugin, name, next) FROM sequences WHERE plugin = ?1 AND name = ?2",
        )?;
        let found =
            statement.query_row([plugin, name], |row| Ok((unsigned(row, 0)?, row.get::<_, bool>(1)?))).optional()?;
        match found {
            // If the number was altered, it may have been drawn before.
            Some((_, false)) => {
                Err(EmbeddedError::Damaged(format!("the sequence `{name}` of `{plugin}` has a wrong checksum")).into())
            }
            found => Ok(found.map(|(next, _)| next)),
        }
    }

    fn count_sequences(&self, plugin: &str) -> Result<u64, StoreError> {
        let mut statement = self.prepare_cached("SELECT count(*) FROM sequences WHERE plugin = ?1")?;
        Ok(statement.query_row([plugin], |row| unsigned(row, 0))?)
    }

    fn put_first_unreserved(&self, plugin: &str, name: &str, next: u64) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO sequences VALUES (?1, ?2, ?3, checksum(?1, ?2, ?3))";
        self.prepare_cached(sql)?.execute(params![plugin, name, signed(next)])?;
        Ok(())
    }
}
