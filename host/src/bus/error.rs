//! What can go wrong with the bus.

use std::path::PathBuf;

use crate::outcome::Cause;

/// The store failed. Anything but a full disk is fatal: after a failed write nobody knows what the disk
/// holds, and so the host stops acknowledging and ends.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine's own error.
    #[error("the store failed: {0}")]
    Engine(#[from] rusqlite::Error),
    /// The system's, where the engine is not asked.
    #[error("the store's file failed: {0}")]
    File(#[from] std::io::Error),
    /// The data was written by a newer Sandbus.
    #[error(
        "the data is of version {found}, written by {}; this is Sandbus {own}, which knows versions up to {known}; run {}{}",
        writer.as_ref().map_or("a newer Sandbus".to_owned(), |writer| format!("Sandbus {writer}")),
        writer.as_ref().map_or("the newer Sandbus on it".to_owned(), |writer| format!("Sandbus {writer} or a newer Sandbus on it")),
        backup.as_ref().map_or(String::new(), |path| format!(", or copy {} over it to go back to the data as it was before", path.display()))
    )]
    Newer {
        /// The version of the data.
        found: i64,
        /// The newest version that is known.
        known: i64,
        /// The version of this program.
        own: &'static str,
        /// The version of the Sandbus that wrote the data, if the data says so.
        writer: Option<String>,
        /// The latest backup that this program can read.
        backup: Option<PathBuf>,
    },
    /// The data was written before the first release.
    #[error(
        "the data is of version {found}, from a build before the first release; Sandbus {own} brings data up to date from version {first} on; nothing has been changed: export its events with the build that wrote it (`sandbus events export`) and publish them here"
    )]
    Older {
        /// The version of the data.
        found: i64,
        /// The oldest version that is read.
        first: i64,
        /// The version of this program.
        own: &'static str,
    },
    /// An older store must be backed up before it is brought up to date, and could not be.
    #[error(
        "the data cannot be backed up to {} before it is brought up to date: {error}; nothing has been changed",
        path.display()
    )]
    Backup {
        /// The backup's file.
        path: PathBuf,
        /// What failed.
        error: Box<StoreError>,
    },
    /// There is not enough room for the backup.
    #[error(
        "the disk of the data directory has {free} bytes free, and to back the data up and bring it up to date takes {needed}; nothing has been changed; make room and start again"
    )]
    NoSpaceForBackup {
        /// How many bytes are needed.
        needed: u64,
        /// How many bytes there are.
        free: u64,
    },
    /// The linked SQLite is too old to be trusted.
    #[error("SQLite {0} can lose commits; build with 3.51.3 or newer")]
    OldSqlite(&'static str),
    /// The file system does not allow the settings that make a commit durable.
    #[error(
        "the store is not durable here (journal mode {journal}, synchronous {synchronous}); put the data directory on a local disk"
    )]
    NotDurable {
        /// The journal mode that the store got.
        journal: String,
        /// The level of syncing that the store got.
        synchronous: i64,
    },
    /// The files hold what this program never writes.
    #[error("the store is damaged: {0}; restore the data directory from a backup")]
    Damaged(String),
}

impl StoreError {
    /// Whether the files hold what was never written: reading on would deliver or skip wrong events.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged(_) => true,
            Self::Engine(rusqlite::Error::SqliteFailure(error, _)) => {
                matches!(error.code, DatabaseCorrupt | NotADatabase)
            }
            Self::Engine(rusqlite::Error::FromSqlConversionFailure(..)) => true,
            _ => false,
        }
    }

    /// Whether the store's file could not be opened, as when the process has no descriptor left. Nothing was read or
    /// written.
    pub(crate) fn is_unopened(&self) -> bool {
        let Self::Engine(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        error.code == rusqlite::ErrorCode::CannotOpen
    }

    /// Whether the disk is full: then nothing was written, and writing works again once there is space.
    pub(crate) fn is_disk_full(&self) -> bool {
        let Self::Engine(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        error.code == rusqlite::ErrorCode::DiskFull
    }
}

/// The bus could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or written.
    #[error("the data directory {path} cannot be used: {error}; make it writable or name another with --data")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "the data directory {path} is in use by another process; stop that one or name another directory with --data"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The store in it cannot be used.
    #[error("{path}: {error}")]
    Store {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with it.
        error: StoreError,
    },
}

/// A change was not committed. Nothing of it has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The disk is full.
    #[error("the disk is full; nothing was stored")]
    DiskFull,
    /// More changes wait for the disk than the bus holds.
    #[error("the bus is busy; try again")]
    Busy,
    /// A subscription that takes the event has as many deliveries waiting as it may.
    #[error("the subscription `{0}` has as many events waiting as it may; nothing was stored, try again later")]
    BacklogFull(String),
    /// The log has as many bytes as it may.
    #[error("the log has reached its limit of {0} bytes; nothing was stored, try again later")]
    LogFull(u64),
    /// As many of a plugin's events wait as may.
    #[error(
        "the plugin `{0}` has {1} events that wait or are dead letters, and may have no more (`max_plugin_backlog`); it publishes faster than its events are handled, or for itself without end"
    )]
    PluginBacklogFull(String, u64),
    /// The events of a plugin have as many bytes as they may.
    #[error(
        "the events of the plugin `{0}` have the {1} bytes that they may have (`max_plugin_log_bytes`); delete old ones by the retention's rules, or raise the limit"
    )]
    PluginLogFull(String, u64),
    /// There are as many types of events as may be.
    #[error(
        "there are events of {0} types, and may be of no more (`max_types`); publish events of a type that is known"
    )]
    TooManyTypes(usize),
    /// A plugin was the first to publish as many types of events as it may.
    #[error(
        "the plugin `{0}` has introduced {1} types of events, and may introduce no more (half of `max_types`); publish events of a type that is known"
    )]
    PluginTypesFull(String, usize),
    /// An event that a handler publishes has the source and the id of another one.
    #[error(
        "an event from `{publisher}` with the id `{id}` is there already, and is not the one that was to be published"
    )]
    Collision {
        /// The source.
        publisher: String,
        /// The id.
        id: String,
    },
    /// The store has failed or the bus is shutting down.
    #[error("the bus takes no more changes: {0}")]
    Closed(String),
    /// Another invocation has changed what this one had read.
    #[error("another invocation changed `{0}` meanwhile")]
    Conflict(String),
    /// An addition meets a value that is not a number, or a sum out of range.
    #[error("`{0}` cannot be added to: its value is not a number, or the sum passes the range of i64")]
    NotANumber(String),
    /// The plugin has as many sequences as it may have.
    #[error("a plugin may have {0} sequences, and this one has them")]
    TooManySequences(u64),
    /// Every number of a sequence has been given away.
    #[error("the sequence `{0}` has come to the end of the range of i64")]
    SequenceExhausted(String),
    /// The plugin has as many subscriptions as it may make.
    #[error("a plugin may make {0} subscriptions at run time, and this one has them")]
    TooManySubscriptions(usize),
    /// The delivery was settled before, or its subscription is gone.
    #[error("the delivery is no longer open")]
    NotOpen,
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
}

impl CommitError {
    /// The cause of failure of an attempt whose handler asked for what cannot be done. None if the attempt has not
    /// failed by that, but has to be made or committed again.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::NotANumber(_)
            | Self::TooManySubscriptions(_)
            | Self::TooManySequences(_)
            | Self::SequenceExhausted(_) => Some(Cause::Rejected),
            Self::PluginBacklogFull(..)
            | Self::PluginLogFull(..)
            | Self::PluginTypesFull(..)
            | Self::TooManyTypes(_) => Some(Cause::Limit),
            Self::Collision { .. } => Some(Cause::Collision),
            Self::DiskFull
            | Self::Busy
            | Self::BacklogFull(_)
            | Self::LogFull(_)
            | Self::Closed(_)
            | Self::Conflict(_)
            | Self::NotOpen
            | Self::NotFound(_) => None,
        }
    }
}
