//! The pool of read connections, and the snapshots that are open on them.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::Connection;

use super::error::EmbeddedError;
use super::{rows, schema};
use crate::bus::StoreError;
use crate::bus::engine::store::{Readers, RowSource, Rows, Snapshot};
use crate::files;

/// A pool of read connections. It grows with the number of threads that read at a time, which is bounded, and never
/// shrinks.
#[derive(Debug)]
pub(super) struct SqliteReaders {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    snapshots: Mutex<OpenSnapshots>,
    /// Notified when a snapshot ends, and when snapshots may begin again.
    changed: Condvar,
    /// The store's file, for syncing it apart from SQLite. It must be dropped last: closing a file releases all of
    /// the process's locks on it (`fcntl_locking(2)`), including SQLite's.
    file: File,
}

/// The open snapshots.
#[derive(Debug, Default)]
struct OpenSnapshots {
    open: HashMap<u64, Weak<Slot>>,
    /// The number of the next snapshot.
    next: u64,
    /// Whether no snapshot may begin.
    are_paused: bool,
}

/// A snapshot's connection, until it is taken away.
type Slot = Mutex<Option<Connection>>;

/// How long a snapshot waits to begin.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the young snapshots have to end. Those began while the older ones had time to end.
const YOUNG_TIME: Duration = Duration::from_millis(100);

impl SqliteReaders {
    pub(super) fn new(path: PathBuf) -> std::io::Result<Self> {
        let file = File::options().write(true).open(&path)?;
        Ok(Self { path, idle: Mutex::default(), snapshots: Mutex::default(), changed: Condvar::new(), file })
    }

    /// The store's file.
    pub(super) fn file(&self) -> &File {
        &self.file
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

    /// Begins a snapshot. Its transaction sees the state at its first read.
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

    /// Lets no snapshot begin until the returned value is dropped. Open snapshots first have some time to end, while
    /// others still begin. After that, no other one begins, and those that are open a moment later are ended; their
    /// next read fails. Blocks.
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
                "closed state snapshots that were open for too long, because the write-ahead log exceeded its limit"
            );
        }
        SnapshotPause(Arc::clone(self))
    }
}

impl SqliteReaders {
    /// Reads with one connection, outside of a transaction. Blocks.
    pub(super) fn read_store<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.take()?;
        let result = read(&connection);
        self.put_back(connection);
        result
    }
}

impl RowSource for SqliteReaders {
    fn with_rows(&self, read: &mut dyn FnMut(&dyn Rows) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.read_store(|connection| read(connection))
    }
}

impl Readers for SqliteReaders {
    fn begin_snapshot(self: Arc<Self>) -> Result<Box<dyn Snapshot>, StoreError> {
        let (number, slot) = self.begin()?;
        Ok(Box::new(SqliteSnapshot { readers: self, number, slot }))
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(files::database_bytes(&self.path))
    }
}

/// An open snapshot.
#[derive(Debug)]
struct SqliteSnapshot {
    readers: Arc<SqliteReaders>,
    number: u64,
    slot: Arc<Slot>,
}

impl Snapshot for SqliteSnapshot {}

impl RowSource for SqliteSnapshot {
    fn with_rows(&self, read: &mut dyn FnMut(&dyn Rows) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let connection = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        read(connection.as_ref().ok_or(EmbeddedError::SnapshotClosed)?)
    }
}

impl Drop for SqliteSnapshot {
    fn drop(&mut self) {
        self.readers.end(self.number, &self.slot);
    }
}

/// While this exists, no snapshot begins.
pub(super) struct SnapshotPause(Arc<SqliteReaders>);

impl Drop for SnapshotPause {
    fn drop(&mut self) {
        self.0.snapshots().are_paused = false;
        self.0.changed.notify_all();
    }
}
