//! The SQL statements of the store.
//!
//! Each row has a checksum of its columns. Rows are verified when the store is opened, and events also each time they
//! are read.

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

pub(super) use dead_letters::*;
pub(super) use events::*;
pub(super) use group_marks::*;
pub(super) use holds::*;
pub(super) use inspection::*;
pub(super) use pending::*;
pub(super) use scheduled::*;
pub(super) use searches::*;
pub(super) use sequences::*;
pub(super) use state::*;
pub(super) use subscriptions::*;
pub(super) use usage::*;

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use super::error::EngineError;
use crate::bus::StoreError;

/// Begins or ends a transaction, by a statement that is compiled once for each connection.
pub(super) fn transact(connection: &Connection, statement: &str) -> Result<(), StoreError> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(|number| u64::try_from(number).unwrap_or(0))
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| EngineError::Damaged(format!("`{text}`: {error}")).into())
}

pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the bus's own types have string keys and cannot fail to be written")
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
