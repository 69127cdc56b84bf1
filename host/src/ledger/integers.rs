//! Integers as SQLite stores them, which are signed.

use std::time::Duration;

use rusqlite::Row;

use crate::clock::Timestamp;

/// A number for a column.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from a column.
pub(super) fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}

/// A duration from a column, in microseconds.
pub(super) fn duration(row: &Row<'_>, index: usize) -> rusqlite::Result<Duration> {
    unsigned(row, index).map(Duration::from_micros)
}

/// A time from a column.
pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    unsigned(row, index).map(Timestamp)
}
