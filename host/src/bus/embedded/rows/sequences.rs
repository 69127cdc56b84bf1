//! Sequences of numbers that plugins draw.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::error::EngineError;
use super::{signed, unsigned};
use crate::bus::StoreError;

/// The first number of a sequence that is not reserved; none if there is no such sequence yet.
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
        // A number that was altered might be given away again.
        Some((_, false)) => {
            Err(EngineError::Damaged(format!("the sequence `{name}` of `{plugin}` has a wrong checksum")).into())
        }
        found => Ok(found.map(|(next, _)| next)),
    }
}

/// How many sequences a plugin has.
pub(in super::super) fn count_sequences(connection: &Connection, plugin: &str) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM sequences WHERE plugin = ?1")?;
    Ok(statement.query_row([plugin], |row| unsigned(row, 0))?)
}

/// Puts the first number that is not reserved.
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
