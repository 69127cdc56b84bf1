//! The user's cache directory, and directories in it that are set up once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::at;

/// The directory for all caches of Sandbus: `sandbus` in `XDG_CACHE_HOME`, or in `.cache` in the home directory.
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

/// Invalidates a cache directory, so that the next call of [`once`] sets it up again.
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

/// Returns a cache directory, and calls `set_up` on it unless an earlier call has completed. An interrupted set-up
/// leaves no stamp, so the next call repeats it.
///
/// # Errors
/// If the cache directory is unknown, or `set_up` fails.
pub fn once(name: &str, set_up: impl FnOnce(&Path) -> Result<(), Error>) -> Result<PathBuf, Error> {
    let home = directory()?.join(name);
    fs::create_dir_all(&home).map_err(at(&home))?;
    // Concurrent set-ups would overwrite each other's files. The lock makes the second one wait until the first is
    // done.
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

/// Whether a path lies in a cache of the user: cargo's, or that of the bundled SDKs.
pub(crate) fn is_cached(path: &Path) -> bool {
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cargo = home("CARGO_HOME").or_else(|| Some(home("HOME")?.join(".cargo")));
    cargo.into_iter().chain(directory()).any(|directory| path.starts_with(directory))
}
