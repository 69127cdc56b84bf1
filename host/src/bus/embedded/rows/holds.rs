//! Holds of endpoints.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{signed, unsigned};
use crate::bus::{EndpointHold, StoreError};
use crate::clock::Timestamp;

pub(in super::super) fn holds(connection: &Connection) -> Result<Vec<(String, EndpointHold)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT endpoint, until, reason FROM holds")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, EndpointHold { until: Timestamp(unsigned(row, 1)?), reason: row.get(2)? }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Begins a hold, and deletes those that have expired.
pub(in super::super) fn put_hold(
    connection: &Connection,
    endpoint: &str,
    hold: &EndpointHold,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM holds WHERE until <= ?1")?.execute([signed(now.0)])?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO holds (endpoint, until, reason, sum) VALUES (?1, ?2, ?3, checksum(?1, ?2, ?3))",
        )?
        .execute(params![endpoint, signed(hold.until.0), hold.reason])?;
    Ok(())
}

pub(in super::super) fn delete_hold(connection: &Connection, endpoint: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM holds WHERE endpoint = ?1")?.execute([endpoint])?;
    Ok(())
}

/// Moves all holds after the clock was set back.
pub(in super::super) fn shift_holds(connection: &Connection, by: Duration) -> Result<(), StoreError> {
    let by = signed(u64::try_from(by.as_millis()).unwrap_or(u64::MAX));
    connection
        .prepare_cached(
            "UPDATE holds SET until = max(0, until - ?1), sum = checksum(endpoint, max(0, until - ?1), reason)",
        )?
        .execute([by])?;
    Ok(())
}
