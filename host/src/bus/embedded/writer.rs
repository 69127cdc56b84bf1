//! The connection that writes.

use std::path::Path;

use rusqlite::Connection;

use super::error::EmbeddedError;
use super::{rows, schema};
use crate::bus::StoreError;
use crate::bus::engine::store::{GroupNeeds, Maintenance, WriterConnection};

impl WriterConnection for Connection {
    fn needs_complete_group(&self) -> bool {
        false
    }

    fn begin(&self, is_reachable: bool, _: &GroupNeeds) -> Result<(), StoreError> {
        schema::wait_for_others(self, is_reachable)
            .and_then(|()| rows::transact(self, "BEGIN IMMEDIATE"))
            .map_err(|error| unless_removed(self, error))
    }

    fn commit(&self, _: &dyn Fn(&StoreError)) -> Result<(), StoreError> {
        rows::transact(self, "COMMIT")
    }

    fn roll_back(&self) {
        if !self.is_autocommit() {
            // The error that led here is reported, even if this one fails.
            drop(rows::transact(self, "ROLLBACK"));
        }
    }

    fn changes(&self) -> u64 {
        self.total_changes()
    }

    fn maintain(&self, task: Maintenance) -> Result<(), StoreError> {
        match task {
            Maintenance::Checkpoint => schema::checkpoint(self, "PASSIVE"),
            Maintenance::RestartWal => schema::restart_wal(self),
            // A stopped host's store is a single file, which is easy to copy.
            Maintenance::Close => schema::checkpoint(self, "TRUNCATE"),
        }
    }

    fn file(&self) -> Option<&Path> {
        self.path().map(Path::new)
    }
}

/// Makes the error fatal if the store's file was removed. SQLite reports the store as unavailable, but it cannot come
/// back.
fn unless_removed(connection: &Connection, error: StoreError) -> StoreError {
    match connection.path() {
        Some(path) if !Path::new(path).exists() => EmbeddedError::Aborted(format!("{path} is gone: {error}")).into(),
        _ => error,
    }
}
