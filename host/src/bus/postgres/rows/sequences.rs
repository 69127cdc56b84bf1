//! Sequences, from which plugins draw numbers.

use super::super::connection::PgConnection;
use super::super::session::Columns as _;
use crate::bus::StoreError;
use crate::bus::engine::store::SequenceRows;
use crate::bus::engine::store::encoding::signed;

impl SequenceRows for PgConnection {
    fn first_unreserved(&self, plugin: &str, name: &str) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT next FROM sequences WHERE plugin = $1 AND name = $2";
        let rows = self.query_directly(sql, &[&plugin, &name.as_bytes()])?;
        rows.first().map(|row| row.unsigned(0)).transpose()
    }

    fn count_sequences(&self, plugin: &str) -> Result<u64, StoreError> {
        let rows = self.query_directly("SELECT count(*) FROM sequences WHERE plugin = $1", &[&plugin])?;
        rows.first().map_or(Ok(0), |row| row.unsigned(0))
    }

    fn put_first_unreserved(&self, plugin: &str, name: &str, next: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO sequences (plugin, name, next) VALUES ($1, $2, $3)
             ON CONFLICT (plugin, name) DO UPDATE SET next = excluded.next";
        self.execute(sql, &[&plugin, &name.as_bytes(), &signed(next)]).map(drop)
    }
}
