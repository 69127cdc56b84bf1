//! What the engine needs of a store: rows that it reads and writes, transactions, and snapshots.
//!
//! A store has tables and no rules of delivery. The engine decides what is written ([`writer`](super::writer)); a store
//! makes it durable. Each module has the rows of one subject.

mod dead_letters;
pub(in crate::bus) mod encoding;
mod events;
mod group_marks;
mod holds;
mod inspection;
mod pending;
mod scheduled;
mod searches;
mod sequences;
mod state;
mod subscriptions;
mod usage;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use crate::bus::StoreError;
pub(in crate::bus) use dead_letters::*;
pub(in crate::bus) use events::*;
pub(in crate::bus) use group_marks::*;
pub(in crate::bus) use holds::*;
pub(in crate::bus) use inspection::*;
pub(in crate::bus) use pending::*;
pub(in crate::bus) use scheduled::*;
pub(in crate::bus) use searches::*;
pub(in crate::bus) use sequences::*;
pub(in crate::bus) use state::*;
pub(in crate::bus) use subscriptions::*;
pub(in crate::bus) use usage::*;

/// The rows of a store, through one connection.
pub(in crate::bus) trait Rows:
    EventRows
    + PendingRows
    + DeadLetterRows
    + GroupMarkRows
    + HoldRows
    + InspectionRows
    + ScheduleRows
    + SearchRows
    + SequenceRows
    + StateRows
    + SubscriptionRows
    + UsageRows
{
}

impl<T> Rows for T where
    T: EventRows
        + PendingRows
        + DeadLetterRows
        + GroupMarkRows
        + HoldRows
        + InspectionRows
        + ScheduleRows
        + SearchRows
        + SequenceRows
        + StateRows
        + SubscriptionRows
        + UsageRows
{
}

/// The connection that makes all changes. Its reads see the changes of its own transaction.
pub(in crate::bus) trait WriterConnection: Rows + Send {
    /// Whether a group of changes must be complete before its transaction begins, so that the store can read in one
    /// round trip what the group needs. Otherwise changes may join the group while others are applied.
    fn needs_complete_group(&self) -> bool;

    /// Begins a transaction. If the store was unreachable at the last attempt, this one fails sooner, so that the
    /// changes that queue up during an outage are refused.
    ///
    /// # Errors
    /// If the store cannot be written. Nothing was begun.
    fn begin(&self, is_reachable: bool, needs: &GroupNeeds) -> Result<(), StoreError>;

    /// A number that grows with each change.
    fn changes(&self) -> u64;

    /// Commits the transaction durably. If the connection breaks, it finds out whether the commit took place, however
    /// long that takes, and calls `on_failed_attempt` with the error of each failed attempt.
    ///
    /// # Errors
    /// If the changes are not stored. An error of the kind [`StoreErrorKind::Unavailable`] means that the transaction
    /// has had no effect, and that the next one may succeed.
    ///
    /// [`StoreErrorKind::Unavailable`]: crate::bus::StoreErrorKind::Unavailable
    fn commit(&self, on_failed_attempt: &dyn Fn(&StoreError)) -> Result<(), StoreError>;

    /// Takes back what the transaction has changed, if one is open.
    fn roll_back(&self);

    /// Does the maintenance that only the writer can do, outside of transactions.
    ///
    /// # Errors
    /// If the content of the store is unknown afterwards.
    fn maintain(&self, task: Maintenance) -> Result<(), StoreError>;

    /// The store's file, if it is one.
    fn file(&self) -> Option<&Path>;
}

/// What a group of changes will read. A store may read it in advance.
#[derive(Debug, Default)]
pub(in crate::bus) struct GroupNeeds {
    /// The sources and the ids of the events that the group stores.
    pub(in crate::bus) events: Vec<(String, String)>,
    /// The plugins and the keys of the state that the group has read or writes.
    pub(in crate::bus) state: Vec<(String, String)>,
}

/// Maintenance of a store that has a write-ahead log of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus) enum Maintenance {
    /// Moves what readers do not need from the write-ahead log into the store.
    Checkpoint,
    /// Restarts the write-ahead log. Waits for readers, though not for long.
    RestartWal,
    /// Empties the write-ahead log when the bus closes.
    Close,
}

/// Something whose rows can be read.
pub(in crate::bus) trait RowSource: Debug {
    /// Calls a function with the rows. Blocks.
    ///
    /// # Errors
    /// If the store cannot be read, or the function fails.
    fn with_rows(&self, read: &mut dyn FnMut(&dyn Rows) -> Result<(), StoreError>) -> Result<(), StoreError>;
}

/// Reads rows with a function that returns a value. Blocks.
///
/// # Errors
/// If the store cannot be read, or the function fails.
pub(in crate::bus) fn read_rows<T>(
    source: &(impl RowSource + ?Sized),
    read: impl FnOnce(&dyn Rows) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let (mut read, mut result) = (Some(read), None);
    source.with_rows(&mut |rows| {
        if let Some(read) = read.take() {
            result = Some(read(rows)?);
        }
        Ok(())
    })?;
    Ok(result.expect("a source calls the function unless it fails"))
}

/// The connections that read the rows as they are, outside of transactions.
pub(in crate::bus) trait Readers: RowSource + Send + Sync {
    /// Begins a snapshot. It sees the state at its first read. Blocks.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn begin_snapshot(self: Arc<Self>) -> Result<Box<dyn Snapshot>, StoreError>;

    /// The space that the store takes, in bytes. An estimate.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn size_bytes(&self) -> Result<u64, StoreError>;
}

/// A state of the store that does not change. It ends when it is dropped. A store may close it if it is open for too
/// long; then reads fail.
pub(in crate::bus) trait Snapshot: RowSource + Send {}
