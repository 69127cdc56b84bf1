//! Why a backup cannot be made, verified or restored.

use std::io;
use std::path::{Path, PathBuf};

use crate::bus::StoreError;
use crate::ledger::ReadError;

/// A backup cannot be made, verified or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or directory cannot be used.
    #[error("{}: {error}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// A member cannot be read, or the archive cannot be written.
    #[error("cannot write `{member}` into the backup: {error}")]
    Member {
        /// The member.
        member: String,
        /// The reason.
        error: io::Error,
    },
    /// The store cannot be copied.
    #[error("cannot copy the store: {0}")]
    Store(StoreError),
    /// The store is a database, not a file.
    #[error(
        "the store is a database, which has backups of its own; back it up with its own tools, and copy the data directory and the plugin folder"
    )]
    StoreIsDatabase,
    /// The ledger cannot be copied.
    #[error("cannot copy the ledger: {0}")]
    Ledger(ReadError),
    /// The directory has no store.
    #[error("{} has no store; name the data directory of a host", .0.display())]
    NoStore(PathBuf),
    /// A host uses the directory.
    #[error("the data directory {} is in use by a running host; {hint}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// The file is not a backup, or is damaged or incomplete.
    #[error("{} cannot be restored: {what}; use another backup", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer version of Sandbus wrote the backup.
    #[error("{} has format {format} of Sandbus {sandbus}; restore it with that version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format.
        format: u32,
        /// The version that wrote it.
        sandbus: String,
    },
    /// Something is where the backup would be written or restored.
    #[error("{} already exists; {hint}", path.display())]
    Exists {
        /// The file or directory.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
}

impl BackupError {
    /// A function that makes an error about a file.
    pub(super) fn of(path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::File { path: path.to_owned(), error }
    }

    pub(super) fn unusable(path: &Path, what: impl Into<String>) -> Self {
        Self::Unusable { path: path.to_owned(), what: what.into() }
    }
}
