//! Connections that read, and the snapshots of state that handlers see.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::{rows, schema};
use crate::bus::StoreError;
use crate::outcome::{Listing, StateError, StateView, Version};

/// A pool of connections that read. It grows with the number of threads that read at a time, which is
/// bounded, and keeps what it has.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| schema::open_reader(&self.path), Ok)
    }

    fn put_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    /// Reads with one connection, outside of a transaction. Blocks.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.take()?;
        let result = read(&connection);
        self.put_back(connection);
        result
    }
}

/// A plugin's state as of the first read. It holds no connection before that.
#[derive(Debug)]
pub(super) struct Snapshot {
    readers: Arc<Readers>,
    plugin: String,
    connection: Option<Connection>,
}

impl Snapshot {
    pub(super) fn new(readers: Arc<Readers>, plugin: String) -> Self {
        Self { readers, plugin, connection: None }
    }

    fn begun(&mut self) -> Result<&Connection, StoreError> {
        if self.connection.is_none() {
            let connection = self.readers.take()?;
            // The transaction takes its snapshot at its first read, which follows at once.
            rows::transact(&connection, "BEGIN")?;
            self.connection = Some(connection);
        }
        Ok(self.connection.as_ref().expect("it was put there above"))
    }
}

impl StateView for Snapshot {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        let plugin = self.plugin.clone();
        self.begun()
            .and_then(|connection| rows::state_value(connection, &plugin, key))
            .map_err(|error| unreadable(&error))
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        let plugin = self.plugin.clone();
        let read = |connection: &Connection| {
            let keys = rows::state_keys(connection, &plugin, after, limit)?;
            Ok((keys, rows::state_listing(connection, &plugin)?))
        };
        self.begun().and_then(read).map_err(|error| unreadable(&error))
    }
}

fn unreadable(error: &StoreError) -> StateError {
    StateError(error.to_string())
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && rows::transact(&connection, "ROLLBACK").is_ok()
        {
            self.readers.put_back(connection);
        }
    }
}
