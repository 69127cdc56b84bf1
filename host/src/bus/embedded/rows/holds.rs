//! Holds of endpoints.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::unsigned;
use crate::bus::engine::store::encoding::signed;
use crate::bus::engine::store::*;
use crate::bus::{EndpointHold, StoreError};
use crate::clock::Timestamp;

impl HoldRows for Connection {
    fn holds(&self) -> Result<Vec<(String, EndpointHold)>, StoreError> {
        let mut statement = self.prepare_cached("SELECT endpoint, until, reason FROM holds")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, EndpointHold { until: Timestamp(unsigned(row, 1)?), reason: row.get(2)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn put_hold(&self, endpoint: &str, hold: &EndpointHold, now: Timestamp) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM holds WHERE until <= ?1")?.execute([signed(now.0)])?;
        self.prepare_cached(
            "INSERT OR REPLACE INTO holds (endpoint, until, reason, sum) VALUES (?1, ?2, ?3, checksum(?1, ?2, ?3))",
        )?
        .execute(params![endpoint, signed(hold.until.0), hold.reason])?;
        Ok(())
    }

    fn delete_hold(&self, endpoint: &str) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM holds WHERE endpoint = ?1")?.execute([endpoint])?;
        Ok(())
    }

    fn shift_holds(&self, by: Duration) -> Result<(), StoreError> {
        let by = signed(u64::try_from(by.as_millis()).unwrap_or(u64::MAX));
        self.prepare_cached(
            "UPDATE holds SET until = max(0, until - ?1), sum = checksum(endpoint, max(0, until - ?1), reason)",
        )?
        .execute([by])?;
        Ok(())
    }
}
