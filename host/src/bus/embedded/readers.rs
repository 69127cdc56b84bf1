//! Connections that read, and the snapshots of state that handlers see.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::Connection;

use super::command::Command;
use super::engine_state::EngineState;
use super::{rows, schema};
use crate::bus::StoreError;
use crate::bus::group_commit::Queue;
use crate::event::Position;
use crate::outcome::{Listing, NextNumber, Observation, StateError, StateView, Version};

/// A pool of connections that read. It grows with the number of threads that read at a time, which is
/// bounded, and keeps what it has.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    snapshots: Mutex<OpenSnapshots>,
    /// A snapshot has ended, or may begin again.
    changed: Condvar,
}

/// The snapshots that are open.
#[derive(Debug, Default)]
struct OpenSnapshots {
    open: HashMap<u64, Weak<Slot>>,
    /// The number of the next one.
    next: u64,
    /// Whether none may begin.
    are_paused: bool,
}

/// A snapshot's connection, until it is taken away.
type Slot = Mutex<Option<Connection>>;

/// So long a snapshot waits to begin, at most.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(1);
/// So long those that are young have to end when no other one may begin.
const YOUNG_TIME: Duration = Duration::from_millis(100);

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default(), snapshots: Mutex::default(), changed: Condvar::new() }
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| schema::open_reader(&self.path), Ok)
    }

    fn put_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    fn snapshots(&self) -> MutexGuard<'_, OpenSnapshots> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a snapshot. Its transaction sees what there is at its first read.
    fn begin(&self) -> Result<(u64, Arc<Slot>), StoreError> {
        let connection = self.take()?;
        rows::transact(&connection, "BEGIN")?;
        let slot = Arc::new(Mutex::new(Some(connection)));
        let waited = self.changed.wait_timeout_while(self.snapshots(), BEGIN_TIMEOUT, |snapshots| snapshots.are_paused);
        let (mut snapshots, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let number = snapshots.next;
        snapshots.next += 1;
        snapshots.open.insert(number, Arc::downgrade(&slot));
        Ok((number, slot))
    }

    fn end(&self, number: u64, slot: &Slot) {
        self.end_transaction(slot);
        self.snapshots().open.remove(&number);
        self.changed.notify_all();
    }

    /// Ends a snapshot's transaction. Returns whether it was open.
    fn end_transaction(&self, slot: &Slot) -> bool {
        let Some(connection) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() else { return false };
        if rows::transact(&connection, "ROLLBACK").is_ok() {
            self.put_back(connection);
        }
        true
    }

    /// Lets no snapshot begin until the returned value is dropped. Those that are open have some time to end by
    /// themselves, in which others begin, and are then ended: whoever goes on to read is told so. Blocks.
    pub(super) fn pause_snapshots(self: &Arc<Self>, time: Duration) -> SnapshotPause {
        let snapshots = self.snapshots();
        let first_young = snapshots.next;
        let old_ones = |snapshots: &mut OpenSnapshots| snapshots.open.keys().any(|number| *number < first_young);
        let waited = self.changed.wait_timeout_while(snapshots, time, old_ones);
        let (mut snapshots, _) = waited.unwrap_or_else(PoisonError::into_inner);
        snapshots.are_paused = true;
        let waited = self.changed.wait_timeout_while(snapshots, YOUNG_TIME, |snapshots| !snapshots.open.is_empty());
        let (mut snapshots, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let open: Vec<_> = snapshots.open.drain().filter_map(|(_, slot)| slot.upgrade()).collect();
        drop(snapshots);
        let ended = open.iter().filter(|slot| self.end_transaction(slot)).count();
        if ended > 0 {
            tracing::warn!(
                ended,
                "handlers that had begun to read their state long ago may read no more of it: the write-ahead log grew too large"
            );
        }
        SnapshotPause(Arc::clone(self))
    }

    /// Reads with one connection, outside of a transaction. Blocks.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.take()?;
        let result = read(&connection);
        self.put_back(connection);
        result
    }
}

/// As long as it is there, no snapshot begins.
pub(super) struct SnapshotPause(Arc<Readers>);

impl Drop for SnapshotPause {
    fn drop(&mut self) {
        self.0.snapshots().are_paused = false;
        self.0.changed.notify_all();
    }
}

/// A plugin's state as of the first read. It holds no connection before that.
#[derive(Debug)]
pub(super) struct Snapshot {
    shared: Arc<EngineState>,
    commands: Queue<Command>,
    plugin: String,
    begun: Option<(u64, Arc<Slot>)>,
}

impl Snapshot {
    pub(super) fn new(shared: Arc<EngineState>, commands: Queue<Command>, plugin: String) -> Self {
        Self { shared, commands, plugin, begun: None }
    }

    fn read<T>(&mut self, read: impl FnOnce(&Connection, &str) -> Result<T, StoreError>) -> Result<T, StateError> {
        let unreadable = |error: StoreError| StateError(error.to_string());
        if self.begun.is_none() {
            self.begun = Some(self.shared.readers.begin().map_err(unreadable)?);
        }
        let (_, slot) = self.begun.as_ref().expect("it was put there above");
        let connection = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let ended =
            || StateError("the state as of this handler's first read is not kept any longer; try again".to_owned());
        read(connection.as_ref().ok_or_else(ended)?, &self.plugin).map_err(unreadable)
    }
}

impl StateView for Snapshot {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        self.read(|connection, plugin| rows::state_value(connection, plugin, key))
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        self.read(|connection, plugin| {
            let keys = rows::state_keys(connection, plugin, after, limit)?;
            Ok((keys, rows::state_listing(connection, plugin)?))
        })
    }

    fn changed_up_to(&self, sight: Observation) -> Position {
        self.shared.state_changes.up_to(&self.plugin, sight)
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

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some((number, slot)) = self.begun.take() {
            self.shared.readers.end(number, &slot);
        }
    }
}
