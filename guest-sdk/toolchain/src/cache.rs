//! The user's cache directory, and what is set up there once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::run::at;

/// Where everything of Sandbus is: below `XDG_CACHE_HOME`, or `.cache` in the home directory.
///
/// # Errors
/// If neither of the two is known.
pub fn directory() -> Result<PathBuf, Error> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("XDG_CACHE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("sandbus"))
        .ok_or(Error::NoCacheDirectory)
}

/// Has a directory of the user's cache set up again.
///
/// # Errors
/// If its stamp cannot be removed.
pub(crate) fn invalidate(name: &str) -> Result<(), Error> {
    let stamp = directory()?.join(name).join("complete");
    match fs::remove_file(&stamp) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(&stamp)(error)),
        _ => Ok(()),
    }
}

/// A directory of the user's cache that is set up once. An interruption leaves no stamp, and the next call goes on.
///
/// # Errors
/// If there is no place for it, or if it cannot be set up.
pub fn once(name: &str, set_up: impl FnOnce(&Path) -> Result<(), Error>) -> Result<PathBuf, Error> {
    let home = directory()?.join(name);
    fs::create_dir_all(&home).map_err(at(&home))?;
    // Two set-ups at once would undo each other's steps: the second waits and then finds it done.
    let lock_path = home.join("lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;
    let stamp = home.join("complete");
    if !stamp.is_file() {
        set_up(&home)?;
        fs::write(&stamp, "").map_err(at(&stamp))?;
    }
    Ok(home)
}
