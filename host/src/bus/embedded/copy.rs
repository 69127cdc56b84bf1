//! Copies of a store for backups, and their checks.

use std::path::Path;

use super::error::EmbeddedError;
use super::{foreign, integrity, schema};
use crate::bus::StoreError;
use crate::bus::engine::store::EventRows as _;
use crate::event::Position;
use crate::files;

/// The name of the store in its directory.
pub(super) const FILE: &str = "bus.db";

/// The moment of a store that a copy contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCopy {
    /// The version of the tables.
    pub data_version: i64,
    /// The newest position in the log.
    pub head: Position,
}

/// Copies the store of a directory into an empty or missing file, while a host may use the store. The copy is one
/// committed moment. Neither the writer nor readers wait for it, but the write-ahead log grows until it is complete.
///
/// # Errors
/// If the directory has no store, the store cannot be read, or the file cannot be written.
pub fn copy_store(directory: &Path, to: &Path) -> Result<StoreCopy, StoreError> {
    let connection = schema::open_reader(&directory.join(FILE))?;
    schema::copy(&connection, to)?;
    drop(connection);
    let copy = schema::open_reader(to)?;
    Ok(StoreCopy { data_version: schema::version(&copy)?, head: copy.log()?.head })
}

/// Copies the store of a directory that no host uses. First verifies its write-ahead log, because SQLite would silently
/// drop everything after a damaged frame.
///
/// # Errors
/// As [`copy_store`], and if the write-ahead log is damaged.
pub fn copy_closed_store(directory: &Path, to: &Path) -> Result<StoreCopy, StoreError> {
    integrity::check_wal(&directory.join(FILE))?;
    copy_store(directory, to)
}

/// Verifies a copy: its structure, its indexes, and the checksum of each row. Changes nothing.
///
/// # Errors
/// If the copy is damaged, or this version cannot use it.
pub fn check_store_copy(path: &Path) -> Result<StoreCopy, StoreError> {
    foreign::check_file(path)?;
    let connection = schema::open_reader(path)?;
    let data_version = schema::check_version(&connection, path)?;
    if data_version == 0 {
        return Err(EmbeddedError::Damaged("it is empty".to_owned()).into());
    }
    integrity::check_store(&connection, &schema::summed_in(data_version))?;
    Ok(StoreCopy { data_version, head: connection.log()?.head })
}

/// Whether a directory has a store.
#[must_use]
pub fn has_store(directory: &Path) -> bool {
    directory.join(FILE).exists()
}

/// Removes copies that were not completed, because the host was killed. The caller holds the directory's lock.
pub(super) fn remove_incomplete(directory: &Path) {
    if let Err(error) = schema::remove_partial_copies(directory) {
        let path = directory.display();
        tracing::warn!(%path, %error, "incomplete copies of the store cannot be removed; delete backup-*.partial");
    }
}

/// Creates a private file for a copy in a directory. It is deleted with the value.
///
/// # Errors
/// If the file cannot be created.
pub fn new_copy_file(directory: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let file = tempfile::Builder::new().prefix("backup-").suffix(".partial").tempfile_in(directory)?;
    drop(files::open_private(file.path())?);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::StoreErrorKind;
    use crate::clock::Timestamp;

    #[test]
    fn a_copy_is_whole_and_its_damage_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let store = schema::open(&directory.path().join(FILE), Timestamp(0)).unwrap();
        for number in 0..50_i64 {
            let name = format!("type.{number}");
            store.execute("INSERT INTO types VALUES (?1, ?2, checksum(?1, ?2))", (number, name)).unwrap();
        }
        let file = new_copy_file(directory.path()).unwrap();
        let made = copy_store(directory.path(), file.path()).unwrap();
        assert_eq!(check_store_copy(file.path()).unwrap(), made);
        assert_eq!(made.head, Position(0));

        let copy = rusqlite::Connection::open(file.path()).unwrap();
        copy.execute("UPDATE types SET name = 'x' WHERE id = 7", []).unwrap();
        drop(copy);
        assert_eq!(check_store_copy(file.path()).unwrap_err().kind(), StoreErrorKind::Damaged);
        std::fs::write(file.path(), "").unwrap();
        assert_eq!(check_store_copy(file.path()).unwrap_err().kind(), StoreErrorKind::Damaged);
        std::fs::write(file.path(), "not a store, but long enough").unwrap();
        assert_eq!(check_store_copy(file.path()).unwrap_err().kind(), StoreErrorKind::Incompatible);

        let left = file.keep().unwrap().1;
        remove_incomplete(directory.path());
        assert!(!left.exists() && directory.path().join(FILE).exists());
    }

    #[test]
    fn a_directory_without_a_store_cannot_be_copied() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!has_store(directory.path()));
        let refused = copy_store(directory.path(), &directory.path().join("copy")).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    }
}
