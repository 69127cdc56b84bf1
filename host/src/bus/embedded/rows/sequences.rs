//! Sequences, from which plugins draw numbers.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::error::EngineError;
use super::{signed, unsigned};
use crate::bus::StoreError;

/// The first number of a sequence that is not reserved. None if there is no such sequence.
pub(in super::super) fn unreserved(
    connection: &Connection,
    plugin: &str,
    name: &str,
) -> Result<Option<u64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT next, sum IS checksum(plugin, name, next) FROM sequences WHERE plugin = ?1 AND name = ?2",
    )?;
    let found =
        statement.query_row([plugin, name], |row| Ok((unsigned(row, 0)?, row.get::<_, bool>(1)?))).optional()?;
    match found {
        // If the number was altered, it may have been drawn before.
        Some((_, false)) => {
            Err(EngineError::Damaged(format!("the sequence `{name}` of `{plugin}` has a wrong checksum")).into())
        }
        found => Ok(found.map(|(next, _)| next)),
    }
}

/// The number of a plugin's sequences.
pub(in super::super) fn count_sequences(connection: &Connection, plugin: &str) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM sequences WHERE plugin = ?1")?;
    Ok(statement.query_row([plugin], |row| unsigned(row, 0))?)
}

/// Stores the first number that is not reserved.
pub(in super::super) fn put_unreserved(
    connection: &Connection,
    plugin: &str,
    name: &str,
    next: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO sequences VALUES (?1, ?2, ?3, checksum(?1, ?2, ?3))";
    connection.prepare_cached(sql)?.execute(params![plugin, name, signed(next)])?;
    Ok(())
}
