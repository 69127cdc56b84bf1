//! Holds of endpoints.

use std::time::Duration;

use super::super::connection::PgConnection;
use super::super::session::Columns as _;
use crate::bus::engine::store::HoldRows;
use crate::bus::engine::store::encoding::signed;
use crate::bus::{EndpointHold, StoreError};
use crate::clock::Timestamp;

impl HoldRows for PgConnection {
    fn holds(&self) -> Result<Vec<(String, EndpointHold)>, StoreError> {
        let rows = self.query("SELECT endpoint, until, reason FROM holds", &[])?;
        let hold = |row: &tokio_postgres::Row| {
            let reason = row.any_text(2)?.unwrap_or_default();
            Ok((row.column(0)?, EndpointHold { until: Timestamp(row.unsigned(1)?), reason }))
        };
        rows.iter().map(hold).collect()
    }

    fn put_hold(&self, endpoint: &str, hold: &EndpointHold, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM holds WHERE until <= $1", &[&signed(now.0)])?;
        self.delete_hold(endpoint)?;
        let sql = "INSERT INTO holds (endpoint, until, reason) VALUES ($1, $2, $3)";
        self.execute(sql, &[&endpoint, &signed(hold.until.0), &hold.reason.as_bytes()]).map(drop)
    }

    fn delete_hold(&self, endpoint: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM holds WHERE endpoint = $1", &[&endpoint]).map(drop)
    }

    fn shift_holds(&self, by: Duration) -> Result<(), StoreError> {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.execute("UPDATE holds SET until = greatest(0, until - $1)", &[&by]).map(drop)
    }
}
