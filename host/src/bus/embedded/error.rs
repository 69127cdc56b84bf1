//! Translates errors of SQLite and the file system into the contract's errors.

use std::path::{Path, PathBuf};

use crate::bus::{OpenError, OpenErrorKind, StoreError, StoreErrorKind};

/// A failure of the embedded store.
#[derive(Debug, thiserror::Error)]
pub(super) enum EmbeddedError {
    /// An error of SQLite.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// An error of the operating system.
    #[error("the store's file failed: {0}")]
    File(#[from] std::io::Error),
    /// A task or thread of the store did not finish.
    #[error("the store failed: {0}")]
    Aborted(String),
    /// A snapshot was closed, because the write-ahead log cannot shrink while one is open.
    #[error("the snapshot of the state was closed because it was open for too long; try again")]
    SnapshotClosed,
    /// A newer Sandbus wrote the data.
    #[error(
        "the data has version {found}, written by {}; this is Sandbus {own}, which supports versions up to {newest}; run {}{}",
        writer.as_ref().map_or("a newer Sandbus".to_owned(), |writer| format!("Sandbus {writer}")),
        writer.as_ref().map_or("the newer Sandbus".to_owned(), |writer| format!("Sandbus {writer} or newer")),
        backup.as_ref().map_or(String::new(), |path| format!(", or copy {} over it to restore the data from before the upgrade", path.display()))
    )]
    Newer {
        /// The version of the data.
        found: i64,
        /// The newest version that this program knows.
        newest: i64,
        /// The version of this program.
        own: &'static str,
        /// The version of the Sandbus that wrote the data, if the data names it.
        writer: Option<String>,
        /// The latest backup that this program can read.
        backup: Option<PathBuf>,
    },
    /// A build from before the first release wrote the data.
    #[error(
        "the data has version {found}, from a build before the first release; Sandbus {own} upgrades data from version {first}; nothing has been changed; export its events with the build that wrote it (`sandbus events export`) and publish them here"
    )]
    Older {
        /// The version of the data.
        found: i64,
        /// The oldest version that this program reads.
        first: i64,
        /// The version of this program.
        own: &'static str,
    },
    /// The backup before an upgrade failed.
    #[error(
        "cannot back up the data to {} before upgrading it: {error}; nothing has been changed",
        path.display()
    )]
    Backup {
        /// The backup's file.
        path: PathBuf,
        /// The failure.
        error: Box<StoreError>,
    },
    /// There is not enough space for the backup.
    #[error(
        "the disk of the data directory has {free} bytes free, but backing up and upgrading the data takes {needed}; nothing has been changed; free some space and start again"
    )]
    NoSpaceForBackup {
        /// How many bytes the backup needs.
        needed: u64,
        /// How many bytes are free.
        free: u64,
    },
    /// There is not enough space for a copy.
    #[error(
        "the disk of {} has {free} bytes free, but copying the store takes {needed}; free some space and try again",
        directory.display()
    )]
    NoSpaceForCopy {
        /// The directory of the copy.
        directory: PathBuf,
        /// How many bytes the copy needs.
        needed: u64,
        /// How many bytes are free.
        free: u64,
    },
    /// The linked SQLite is too old.
    #[error("SQLite {0} can lose commits; build with 3.51.3 or newer")]
    OldSqlite(&'static str),
    /// The file system does not support settings that make a commit durable.
    #[error(
        "commits to this store would not be durable (journal mode {journal}, synchronous {synchronous}); put the data directory on a local disk"
    )]
    NotDurable {
        /// The journal mode that SQLite chose.
        journal: String,
        /// The level of syncing that SQLite chose.
        synchronous: i64,
    },
    /// Another program wrote the file, or the parts by which a store is recognised are damaged.
    #[error(
        "the file is not a Sandbus store: {0}; nothing has been changed; move the file away, or name another data directory with --data; if Sandbus wrote the file, it is damaged: restore it from a backup"
    )]
    Foreign(String),
    /// The files contain data that Sandbus never writes.
    #[error("the store is damaged: {0}; restore the data directory from a backup")]
    Damaged(String),
}

impl EmbeddedError {
    fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Sqlite(error) => sqlite_kind(error),
            // After a failed sync, for any reason, the content of a file is unknown.
            Self::File(_) | Self::Aborted(_) => StoreErrorKind::Failed,
            Self::SnapshotClosed => StoreErrorKind::Unavailable,
            Self::Newer { .. }
            | Self::Older { .. }
            | Self::OldSqlite(_)
            | Self::NotDurable { .. }
            | Self::Foreign(_) => StoreErrorKind::Incompatible,
            Self::Backup { error, .. } => error.kind(),
            Self::NoSpaceForBackup { .. } | Self::NoSpaceForCopy { .. } => StoreErrorKind::Full,
            Self::Damaged(_) => StoreErrorKind::Damaged,
        }
    }
}

fn sqlite_kind(error: &rusqlite::Error) -> StoreErrorKind {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase};
    let code = match error {
        rusqlite::Error::SqliteFailure(error, _) => error.code,
        rusqlite::Error::FromSqlConversionFailure(..) => return StoreErrorKind::Damaged,
        _ => return StoreErrorKind::Failed,
    };
    match code {
        // The transaction is rolled back, and nothing was written.
        DiskFull => StoreErrorKind::Full,
        // Another process holds a lock, or this one has no free file descriptor.
        DatabaseBusy | DatabaseLocked | CannotOpen => StoreErrorKind::Unavailable,
        DatabaseCorrupt | NotADatabase => StoreErrorKind::Damaged,
        _ => StoreErrorKind::Failed,
    }
}

impl From<EmbeddedError> for StoreError {
    fn from(error: EmbeddedError) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        EmbeddedError::from(error).into()
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        EmbeddedError::from(error).into()
    }
}

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
enum DirectoryError {
    #[error(
        "cannot use the data directory {}: {error}; make it writable, or name another one with --data", path.display()
    )]
    Unusable { path: PathBuf, error: std::io::Error },
    #[error(
        "the data directory {} is in use by another process; stop that process, or name another directory with --data",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error("{}: {error}", path.display())]
    Store { path: PathBuf, error: StoreError },
}

/// The data directory cannot be created, read or written.
pub(super) fn unusable(path: &Path, error: std::io::Error) -> OpenError {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => OpenErrorKind::Forbidden,
        std::io::ErrorKind::StorageFull => OpenErrorKind::Store(StoreErrorKind::Full),
        _ => OpenErrorKind::Unreachable,
    };
    OpenError::new(kind, DirectoryError::Unusable { path: path.to_owned(), error })
}

/// Another process has the data directory open.
pub(super) fn in_use(path: &Path) -> OpenError {
    OpenError::new(OpenErrorKind::InUse, DirectoryError::InUse { path: path.to_owned() })
}

/// The store in the data directory cannot be used.
pub(super) fn unreadable(path: PathBuf, error: StoreError) -> OpenError {
    OpenError::new(OpenErrorKind::Store(error.kind()), DirectoryError::Store { path, error })
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn each_failure_of_sqlite_has_its_kind() {
        let kind = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            StoreError::from(error).kind()
        };
        for (code, expected) in [
            (ffi::SQLITE_FULL, StoreErrorKind::Full),
            (ffi::SQLITE_BUSY, StoreErrorKind::Unavailable),
            (ffi::SQLITE_BUSY_SNAPSHOT, StoreErrorKind::Unavailable),
            (ffi::SQLITE_LOCKED, StoreErrorKind::Unavailable),
            (ffi::SQLITE_CANTOPEN, StoreErrorKind::Unavailable),
            (ffi::SQLITE_CORRUPT, StoreErrorKind::Damaged),
            (ffi::SQLITE_NOTADB, StoreErrorKind::Damaged),
            // Afterwards the content of the disk is unknown.
            (ffi::SQLITE_IOERR, StoreErrorKind::Failed),
            (ffi::SQLITE_IOERR_FSYNC, StoreErrorKind::Failed),
            (ffi::SQLITE_READONLY, StoreErrorKind::Failed),
            (ffi::SQLITE_NOMEM, StoreErrorKind::Failed),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(StoreError::from(full).kind(), StoreErrorKind::Failed, "a failed sync leaves the content unknown");
    }

    #[test]
    fn an_error_repeats_no_message() {
        let error = StoreError::from(EmbeddedError::Damaged("a row".to_owned()));
        assert_eq!(
            format!("{:#}", anyhow::Error::new(error)),
            "the store is damaged: a row; restore the data directory from a backup"
        );
    }
}
