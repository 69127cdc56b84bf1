//! A plugin's state, as its handler reads it.

use std::sync::Arc;

use super::command::Command;
use super::engine_state::EngineState;
use super::store::{Rows, Snapshot, read_rows};
use crate::bus::StoreError;
use crate::bus::group_commit::Queue;
use crate::event::Position;
use crate::outcome::{Listing, NextNumber, StateError, StateRead, StateView, Version};

/// A plugin's state as of the first read. The snapshot of the store begins with this read.
#[derive(Debug)]
pub(super) struct StateSnapshot {
    shared: Arc<EngineState>,
    commands: Queue<Command>,
    plugin: String,
    begun: Option<Box<dyn Snapshot>>,
    /// Identifies the set of keys in the snapshot, once it has been read. It is the same for each page of keys.
    listing: Option<Listing>,
}

impl StateSnapshot {
    pub(super) fn new(shared: Arc<EngineState>, commands: Queue<Command>, plugin: String) -> Self {
        Self { shared, commands, plugin, begun: None, listing: None }
    }

    fn read<T>(&mut self, read: impl FnOnce(&dyn Rows, &str) -> Result<T, StoreError>) -> Result<T, StateError> {
        let unreadable = |error: StoreError| StateError(error.to_string());
        let snapshot = match &self.begun {
            Some(snapshot) => snapshot,
            None => self.begun.insert(Arc::clone(&self.shared.readers).begin_snapshot().map_err(unreadable)?),
        };
        read_rows(&**snapshot, |rows| read(rows, &self.plugin)).map_err(unreadable)
    }
}

impl StateView for StateSnapshot {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        self.read(|rows, plugin| rows.state_value(plugin, key))
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        let keys = self.read(|rows, plugin| rows.state_keys(plugin, after, limit))?;
        if let Some(listing) = self.listing {
            return Ok((keys, listing));
        }
        let listing = self.read(|rows, plugin| rows.state_listing(plugin))?;
        self.listing = Some(listing);
        Ok((keys, listing))
    }

    fn changed_up_to(&self, read: StateRead) -> Position {
        self.shared.state_changes.changed_up_to(&self.plugin, read)
    }

    fn draw(&mut self, sequence: &str) -> NextNumber {
        let (shared, commands) = (Arc::clone(&self.shared), self.commands.clone());
        let (plugin, sequence) = (self.plugin.clone(), sequence.to_owned());
        Box::pin(async move { shared.sequences.draw(&commands, &plugin, &sequence).await })
    }

    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError> {
        self.read(|rows, plugin| Ok(rows.first_unreserved(plugin, sequence)?.unwrap_or(1)))
    }
}
