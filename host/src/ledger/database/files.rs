//! Notices that the files of the ledger were deleted or replaced while they were open. SQLite would continue to write
//! files that no longer have a name.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The files that a SQLite database in WAL mode keeps next to its own.
pub(super) const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// The device and the inode of a file. None if there is no file.
type Identity = Option<(u64, u64)>;

/// The files of an open ledger.
#[derive(Debug)]
pub(super) struct OpenFiles {
    path: PathBuf,
    main: Identity,
    companions: [Identity; 2],
}

/// What has become of the files of an open ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum FileChange {
    /// Nothing has happened.
    Unchanged,
    /// The database is still there. A file next to it is not.
    CompanionReplaced,
    /// The database was deleted or replaced.
    Replaced,
}

impl OpenFiles {
    /// The files that the path leads to now.
    pub(super) fn at(path: &Path) -> Self {
        let companions = COMPANIONS.map(|suffix| identity(&companion(path, suffix)));
        Self { path: path.to_owned(), main: identity(path), companions }
    }

    /// Compares them with the files that the path leads to now.
    pub(super) fn change(&self) -> FileChange {
        let now = Self::at(&self.path);
        if now.main != self.main {
            return FileChange::Replaced;
        }
        if now.companions == self.companions { FileChange::Unchanged } else { FileChange::CompanionReplaced }
    }

    /// Deletes the companions that are left of a replaced database. SQLite would apply them to the new one.
    pub(super) fn delete_leftovers(&self) {
        for (suffix, left) in COMPANIONS.into_iter().zip(self.companions) {
            let path = companion(&self.path, suffix);
            if left.is_some() && identity(&path) == left {
                // If a companion cannot be deleted, the new database cannot be used either. Opening the database
                // reports that error.
                drop(std::fs::remove_file(path));
            }
        }
    }
}

/// The path of a file next to the database.
pub(super) fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut companion = path.as_os_str().to_owned();
    companion.push(suffix);
    companion.into()
}

fn identity(path: &Path) -> Identity {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
