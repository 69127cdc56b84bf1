//! The SQL statements of the store.
//!
//! Each row has a checksum of its columns. Rows are verified when the store is opened, and events and sequences also
//! each time they are read.

mod dead_letters;
mod events;
mod group_marks;
mod holds;
mod inspection;
mod pending;
mod scheduled;
mod searches;
mod sequences;
mod state;
mod subscriptions;
mod usage;

use rusqlite::{Connection, Row};
use serde::Deserialize;

use super::error::EmbeddedError;
use crate::bus::StoreError;

/// Begins or ends a transaction, by a statement that is compiled once for each connection.
pub(super) fn transact(connection: &Connection, statement: &str) -> Result<(), StoreError> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(|number| u64::try_from(number).unwrap_or(0))
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| EmbeddedError::Damaged(format!("`{text}`: {error}")).into())
}

fn from_json_column<T: for<'a> Deserialize<'a>>(index: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error)))
}

/// A row's checksum does not fit what is in it.
#[derive(Debug, thiserror::Error)]
#[error("{what} {number} is damaged: its checksum does not fit")]
struct WrongChecksum {
    what: &'static str,
    number: i64,
}
