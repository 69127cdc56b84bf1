//! Backups of the whole store, made before an upgrade.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::super::error::EmbeddedError;
use crate::bus::StoreError;
use crate::clock::Timestamp;
use crate::files;

/// The space that an upgrade needs besides the copy and the write-ahead log.
const SPARE_BYTES: u64 = 16 << 20;

/// Copies a store into a file in the same directory. After a crash, the file is complete or does not exist. If an
/// earlier start was killed, the copy may exist already.
pub(super) fn make(connection: &Connection, store: &Path, version: i64, now: Timestamp) -> Result<PathBuf, StoreError> {
    let directory = directory_of(store);
    if let Some(made) = made_before(connection, store, version) {
        return Ok(made);
    }
    let time = now.to_string().replace(['-', ':'], "");
    let path = directory.join(format!("{}{time}.db", prefix(version)));
    let failed = |error| EmbeddedError::Backup { path: path.clone(), error: Box::new(error) };
    check_space(size_of(connection)?, files::disk_space(directory).map_err(|error| failed(error.into()))?.free)?;
    copy(connection, &path).map_err(failed)?;
    Ok(path)
}

/// An existing backup of the current state. Each opening for writing increments the number of runs, so an equal number
/// means that nothing was written since.
fn made_before(connection: &Connection, store: &Path, version: i64) -> Option<PathBuf> {
    let runs = |connection: &Connection| -> Option<i64> {
        connection.query_row("SELECT number FROM runs", [], |row| row.get(0)).ok()
    };
    let latest = newest_of(store, version)?;
    let is_of_version = latest.file_name()?.to_str()?.starts_with(&prefix(version));
    let copy = Connection::open_with_flags(&latest, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    (is_of_version && runs(&copy)? == runs(connection)?).then_some(latest)
}

/// Copies a store into an empty or missing file, from one committed moment.
pub(super) fn copy_into(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let directory = directory_of(path);
    let (needed, free) = (size_of(connection)?.saturating_add(SPARE_BYTES), files::disk_space(directory)?.free);
    if free < needed {
        return Err(EmbeddedError::NoSpaceForCopy { directory: directory.to_owned(), needed, free }.into());
    }
    write(connection, path)
}

/// Removes incomplete copies of processes that were killed.
pub(super) fn remove_parts(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("backup-") && name.ends_with(".partial") {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn prefix(version: i64) -> String {
    format!("backup-{version}-")
}

/// The latest backup in a store's directory whose version is `newest` or older.
pub(super) fn newest_of(store: &Path, newest: i64) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory_of(store)).ok()?;
    let backups = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let (version, time) = path.file_name()?.to_str()?.strip_prefix("backup-")?.split_once('-')?;
        let version: i64 = version.parse().ok()?;
        (version <= newest && time.ends_with(".db")).then(|| (version, time.to_owned(), path.clone()))
    });
    backups.max().map(|(_, _, path)| path)
}

fn copy(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let partial = path.with_extension("partial");
    remove_parts(directory_of(path))?;
    let made = write(connection, &partial).and_then(|()| Ok(std::fs::rename(&partial, path)?));
    if made.is_err() {
        drop(std::fs::remove_file(&partial));
    }
    made?;
    Ok(File::open(directory_of(path))?.sync_all()?)
}

/// `VACUUM INTO` reads one snapshot, and does not sync its output. It accepts an existing file if that is empty.
fn write(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    drop(crate::files::open_private(path)?);
    connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
    Ok(File::open(path)?.sync_all()?)
}

/// The copy is at most as large as the store, and so are the changes of the upgrade.
fn check_space(size: u64, free: u64) -> Result<(), StoreError> {
    let needed = size.saturating_mul(2).saturating_add(SPARE_BYTES);
    if free < needed { Err(EmbeddedError::NoSpaceForBackup { needed, free }.into()) } else { Ok(()) }
}

fn size_of(connection: &Connection) -> Result<u64, StoreError> {
    let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: i64 = connection.query_row(size, [], |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_for_the_copy_and_the_change_is_refused() {
        assert!(check_space(100 << 20, 216 << 20).is_ok());
        let refused = check_space(100 << 20, (216 << 20) - 1).unwrap_err().to_string();
        assert!(refused.contains("226492416") && refused.contains("nothing has been changed"), "{refused}");
        assert!(check_space(u64::MAX, u64::MAX - 1).is_err());
    }

    #[test]
    fn the_latest_backup_that_can_be_read_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("bus.db");
        assert_eq!(newest_of(&store, 3), None);
        for name in
            ["backup-2-20300101T.db", "backup-10-20300103T.db", "backup-3-20300101T.db", "backup-3-20300102T.db"]
        {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        std::fs::write(directory.path().join("backup-3-20300104T.partial"), "").unwrap();
        assert_eq!(newest_of(&store, 3), Some(directory.path().join("backup-3-20300102T.db")));
        assert_eq!(newest_of(&store, 12), Some(directory.path().join("backup-10-20300103T.db")));
        assert_eq!(newest_of(&store, 1), None);
    }
}
