//! Copies of a ledger for backups.

use std::path::Path;

use super::database;
use super::reader::ReadError;

/// Copies the ledger of a data directory into an empty file, from one committed moment. Returns false if there is no
/// ledger.
///
/// # Errors
/// If the ledger cannot be read, or the file cannot be written.
pub fn copy_ledger(data: &Path, to: &Path) -> Result<bool, ReadError> {
    let Some(connection) = database::open_reader(&data.join(database::FILE))? else { return Ok(false) };
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    Ok(true)
}
