//! Reads and writes files, and hashes their contents.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::error::at;

/// Reads a regular file. Reading a pipe would block.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file; put a file there, or remove it"));
    }
    fs::read(path)
}

/// Like [`read`]. None if the file does not exist.
pub(crate) fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file, and creates its directory if that is missing.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    fs::write(path, text).map_err(at(path))
}
