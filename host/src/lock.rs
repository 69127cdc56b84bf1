//! The lock that keeps a second process out of a data directory.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::files;

/// A data directory, locked for the lifetime of this value.
#[derive(Debug)]
pub(crate) struct Locked {
    /// The directory itself is locked, not a file in it: if someone deleted such a file, a second host would lock a new
    /// one.
    _directory: File,
    /// Some network file systems cannot lock a directory. Then a file in it is locked.
    _file: File,
}

impl Locked {
    /// Locks a directory. Returns none if another process holds the lock.
    pub(crate) fn try_new(directory: &Path) -> io::Result<Option<Self>> {
        let file = files::open_private(&directory.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let opened = File::open(directory)?;
        match opened.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Self { _directory: opened, _file: file })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_in_by_deleting_or_replacing_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lock");
        let held = Locked::try_new(directory.path()).unwrap();
        assert!(held.is_some());
        assert!(Locked::try_new(directory.path()).unwrap().is_none());
        std::fs::remove_file(&file).unwrap();
        assert!(Locked::try_new(directory.path()).unwrap().is_none());
        std::fs::write(&file, "anything").unwrap();
        assert!(Locked::try_new(directory.path()).unwrap().is_none());
        drop(held);
        assert!(Locked::try_new(directory.path()).unwrap().is_some());
    }
}
