//! The audit log: what was changed through the admin API, when, and by whom.
//!
//! It consists of files of JSON lines, one for each entry. A line has the hash of its entry and of all entries before
//! it, so [`verify`] finds entries that were changed or removed. An entry is durable before the change begins; a second
//! one says how it ended.

mod chain;
mod files;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use chain::{Chain, ChainFault, verify};
use chain::{Link, ZERO};
use files::{LogFile, Segments};

use crate::clock::Timestamp;

/// The directory in the data directory.
pub(crate) const DIRECTORY: &str = "audit";
/// The size at which the next file begins.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number, from 1.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Who asked for the change: a token, or a caller that needed none.
    pub actor: String,
    /// The operation, as in the OpenAPI document.
    pub operation: String,
    /// The method, the path and the query of the request.
    pub request: String,
    /// The stage of the change.
    pub outcome: AuditOutcome,
}

/// The stage of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AuditOutcome {
    /// It begins. Without a later entry about it, the host stopped during it.
    Begun,
    /// It ended with a response.
    Ended {
        /// The number of the entry of its beginning.
        begun: u64,
        /// The status of the response.
        status: u16,
    },
    /// The actor may not do it.
    Denied {
        /// The status of the response.
        status: u16,
    },
}

/// The audit log cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the audit log in {}: {error}", directory.display())]
pub struct AuditError {
    directory: PathBuf,
    error: std::io::Error,
}

/// Entries, newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// The entries with their hashes.
    pub entries: Vec<(AuditEntry, String)>,
}

/// An audit log with its writer.
#[derive(Debug)]
pub struct AuditLog {
    directory: PathBuf,
    retain_bytes: u64,
    writer: Mutex<Writer>,
}

/// The end of the log.
#[derive(Debug)]
struct Writer {
    file: Option<LogFile>,
    /// The number of the last entry.
    sequence: u64,
    /// The hash of the last entry.
    previous: String,
}

impl AuditLog {
    /// Opens the audit log of a data directory. An entry that a crash has cut off is removed; it belongs to a change
    /// that had not begun.
    ///
    /// # Errors
    /// If the files cannot be read or created.
    pub fn open(data: &Path, retain_bytes: u64) -> Result<Self, AuditError> {
        let directory = data.join(DIRECTORY);
        let writer = open_writer(&directory).map_err(|error| AuditError { directory: directory.clone(), error })?;
        Ok(Self { directory, retain_bytes, writer: Mutex::new(writer) })
    }

    /// Writes an entry, and returns it with its hash. It is durable then. Blocks.
    ///
    /// # Errors
    /// If the entry cannot be written. Nothing of it is left.
    pub fn append(
        &self,
        at: Timestamp,
        actor: &str,
        operation: &str,
        request: &str,
        outcome: AuditOutcome,
    ) -> Result<(AuditEntry, String), AuditError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence =
            writer.sequence.checked_add(1).ok_or_else(|| self.fault(std::io::ErrorKind::InvalidData.into()))?;
        let entry = AuditEntry {
            sequence,
            at,
            actor: actor.to_owned(),
            operation: operation.to_owned(),
            request: request.to_owned(),
            outcome,
        };
        let link = Link::new(&entry, &writer.previous);
        self.write(&mut writer, &link).map_err(|error| self.fault(error))?;
        writer.sequence = entry.sequence;
        writer.previous.clone_from(&link.hash);
        Ok((entry, link.hash))
    }

    fn write(&self, writer: &mut Writer, link: &Link) -> std::io::Result<()> {
        if let Some(file) = &writer.file
            && !file.is_in_place()
        {
            tracing::error!(directory = %self.directory.display(), "a file of the audit log was removed or replaced; the log continues in a new file");
            writer.file = None;
        }
        if writer.file.as_ref().is_some_and(|file| file.bytes() >= MAX_FILE_BYTES) {
            writer.file = None;
            // A failure to delete old files does not fail the entry.
            let removed = Segments::of(&self.directory).and_then(|files| files.remove_oldest_beyond(self.retain_bytes));
            if let Err(error) = removed {
                tracing::warn!(%error, "old files of the audit log cannot be deleted");
            }
        }
        let file = match &mut writer.file {
            Some(file) => file,
            none => none.insert(LogFile::create(&self.directory, writer.sequence.saturating_add(1))?),
        };
        file.append(&link.line())
    }

    /// Reads the newest entries before a number, newest first. Blocks.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub fn read(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, AuditError> {
        let mut entries = Vec::new();
        let segments = Segments::of(&self.directory).map_err(|error| self.fault(error))?;
        for path in segments.newest_first() {
            let bytes = match std::fs::read(path) {
                // Retention has just deleted the file.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.map_err(|error| self.fault(error))?,
            };
            let text = String::from_utf8_lossy(&bytes);
            let found = text.lines().rev().filter_map(|line| Link::parse(line).ok()).filter_map(|link| link.entry());
            let found = found.filter(|(entry, _)| before.is_none_or(|before| entry.sequence < before));
            entries.extend(found.take(limit - entries.len()));
            if entries.len() >= limit {
                break;
            }
        }
        Ok(AuditPage { entries })
    }

    fn fault(&self, error: std::io::Error) -> AuditError {
        AuditError { directory: self.directory.clone(), error }
    }
}

fn open_writer(directory: &Path) -> std::io::Result<Writer> {
    crate::files::make_directory(directory)?;
    let segments = Segments::of(directory)?;
    let mut newest = None;
    for path in segments.newest_first() {
        let (file, text) = LogFile::open(path)?;
        // A line that cannot be read stays, and `verify` reports it. A crash may have left a file without an entry.
        let last = text.lines().rev().find_map(|line| Link::parse(line).ok()?.entry());
        if newest.is_none() {
            newest = Some(file);
        }
        if let Some((entry, hash)) = last {
            return Ok(Writer { file: newest, sequence: entry.sequence, previous: hash });
        }
    }
    Ok(Writer { file: newest, sequence: 0, previous: ZERO.to_owned() })
}

#[cfg(test)]
mod tests;
