//! Recognises a `bus.db` that Sandbus did not write, before anything in it is changed.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use rusqlite::Connection;

use super::error::EmbeddedError;
use crate::bus::StoreError;

/// The first bytes of every SQLite database ("Database File Format", section 1.3.1).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Marks a store as ours, in the file's `application_id`: "Sbus". Stores of the first releases have zero there.
pub(super) const APPLICATION_ID: i64 = 0x5362_7573;
/// Tables that a store of every version has.
const OWN_TABLES: [&str; 2] = ["events", "subscriptions"];
/// How many tables of another program a message names.
const NAMED_TABLES: usize = 3;

/// Refuses a file that is not an SQLite database. A file that is missing or empty becomes a store.
pub(super) fn check_file(path: &Path) -> Result<(), StoreError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // Opening a pipe would block.
    if !metadata.is_file() {
        return Err(foreign("it is not a regular file"));
    }
    let mut start = Vec::with_capacity(MAGIC.len());
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    if start.is_empty() || start == MAGIC { Ok(()) } else { Err(foreign("it does not start like an SQLite database")) }
}

/// Refuses the database of another program: one with tables or an application id that are not ours.
pub(super) fn check_tables(connection: &Connection, version: i64) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let tables = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let is_ours = version != 0 && OWN_TABLES.iter().all(|own| tables.iter().any(|table| table == own));
    if is_ours {
        return Ok(());
    }
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != 0 && application != APPLICATION_ID {
        return Err(foreign(&format!("it has the application id {application:#010x}")));
    }
    if tables.is_empty() {
        return Ok(());
    }
    let named = tables.iter().take(NAMED_TABLES).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Err(foreign(&format!("it has the tables of another program, such as {named}")))
}

fn foreign(found: &str) -> StoreError {
    EmbeddedError::Foreign(found.to_owned()).into()
}
