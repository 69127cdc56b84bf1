//! The state of plugins.

use super::super::batch::ValueState;
use super::super::connection::PgConnection;
use super::super::session::Columns as _;
use crate::bus::StoreError;
use crate::bus::engine::store::StateRows;
use crate::bus::engine::store::encoding::signed;
use crate::outcome::{Listing, Version};

impl StateRows for PgConnection {
    fn state_value(&self, plugin: &str, key: &str) -> Result<(Option<Vec<u8>>, Version), StoreError> {
        let found = match self.batch.borrow().value(&(plugin.to_owned(), key.as_bytes().to_vec())) {
            ValueState::Known(found) => found,
            ValueState::Unknown => {
                let sql = "SELECT value, version FROM state WHERE plugin = $1 AND key = $2";
                let rows = self.query_directly(sql, &[&plugin, &key.as_bytes()])?;
                let value = |row: &tokio_postgres::Row| {
                    Ok::<_, StoreError>((row.column::<Vec<u8>>(0)?, Version(row.unsigned(1)?)))
                };
                rows.first().map(value).transpose()?
            }
        };
        Ok(found.map_or((None, Version(0)), |(value, version)| (Some(value), version)))
    }

    fn state_version(&self, plugin: &str, key: &str) -> Result<Version, StoreError> {
        Ok(self.state_value(plugin, key)?.1)
    }

    fn state_keys(&self, plugin: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        // The empty string sorts first, and may be a key.
        let sql = "SELECT key FROM state WHERE plugin = $1 AND ($2::bytea IS NULL OR key > $2) ORDER BY key LIMIT $3";
        let rows = self.query(sql, &[&plugin, &after.map(str::as_bytes), &signed(limit as u64)])?;
        rows.iter().map(|row| Ok(row.any_text(0)?.unwrap_or_default())).collect()
    }

    fn state_listing(&self, plugin: &str) -> Result<Listing, StoreError> {
        let sql = "SELECT count(*), coalesce(max(made), 0) FROM state WHERE plugin = $1";
        let depends = self.batch.borrow().changes_state_of(plugin);
        let rows = if depends { self.query(sql, &[&plugin])? } else { self.query_directly(sql, &[&plugin])? };
        let listing =
            |row: &tokio_postgres::Row| Ok(Listing { count: row.unsigned(0)?, newest: Version(row.unsigned(1)?) });
        rows.first().map_or(Ok(Listing { count: 0, newest: Version(0) }), listing)
    }

    fn set_state(&self, plugin: &str, key: &str, value: &[u8], version: Version) -> Result<(), StoreError> {
        let key = (plugin.to_owned(), key.as_bytes().to_vec());
        self.change(|batch| batch.set_state(key, value.to_vec(), version))
    }

    fn delete_state(&self, plugin: &str, key: &str) -> Result<(), StoreError> {
        self.change(|batch| batch.delete_state((plugin.to_owned(), key.as_bytes().to_vec())))
    }

    fn first_version(&self) -> Result<Version, StoreError> {
        let row = self.query_one("UPDATE store SET runs = runs + 1 RETURNING runs", &[])?;
        Ok(Version(row.map_or(Ok(0), |row| row.unsigned(0))? << 40))
    }
}
