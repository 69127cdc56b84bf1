//! A plugin's state, as its handler reads it.

use std::sync::{Arc, PoisonError};

use rusqlite::Connection;

use super::command::Command;
use super::engine_state::EngineState;
use super::readers::Slot;
use super::rows;
use crate::bus::StoreError;
use crate::bus::group_commit::Queue;
use crate::event::Position;
use crate::outcome::{Listing, NextNumber, StateError, StateRead, StateView, Version};

/// A plugin's state as of the first read. Before that, it has no connection.
#[derive(Debug)]
pub(super) struct StateSnapshot {
    shared: Arc<EngineState>,
    commands: Queue<Command>,
    plugin: String,
    begun: Option<(u64, Arc<Slot>)>,
}

impl StateSnapshot {
    pub(super) fn new(shared: Arc<EngineState>, commands: Queue<Command>, plugin: String) -> Self {
        Self { shared, commands, plugin, begun: None }
    }

    fn read<T>(&mut self, read: impl FnOnce(&Connection, &str) -> Result<T, StoreError>) -> Result<T, StateError> {
        let unreadable = |error: StoreError| StateError(error.to_string());
        if self.begun.is_none() {
            self.begun = Some(self.shared.readers.begin().map_err(unreadable)?);
        }
        let (_, slot) = self.begun.as_ref().expect("it was inserted above");
        let connection = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = || {
            StateError("the snapshot of the state was closed because it was open for too long; try again".to_owned())
        };
        read(connection.as_ref().ok_or_else(ended)?, &self.plugin).map_err(unreadable)
    }
}

impl StateView for StateSnapshot {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        self.read(|connection, plugin| rows::state_value(connection, plugin, key))
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        self.read(|connection, plugin| {
            let keys = rows::state_keys(connection, plugin, after, limit)?;
            Ok((keys, rows::state_listing(connection, plugin)?))
        })
    }

    fn changed_up_to(&self, read: StateRead) -> Position {
        self.shared.state_changes.up_to(&self.plugin, read)
    }

    fn draw(&mut self, sequence: &str) -> NextNumber {
        let (shared, commands) = (Arc::clone(&self.shared), self.commands.clone());
        let (plugin, sequence) = (self.plugin.clone(), sequence.to_owned());
        Box::pin(async move { shared.sequences.draw(&commands, &plugin, &sequence).await })
    }

    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError> {
        self.read(|connection, plugin| Ok(rows::unreserved(connection, plugin, sequence)?.unwrap_or(1)))
    }
}

impl Drop for StateSnapshot {
    fn drop(&mut self) {
        if let Some((number, slot)) = self.begun.take() {
            self.shared.readers.end(number, &slot);
        }
    }
}
