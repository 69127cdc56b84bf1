//! The file of the ledger.

mod entries;
mod files;
mod recorded_responses;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

pub(super) use files::FileChange;
pub(super) use recorded_responses::{RecordKind, read as read_recorded_responses};

use self::files::OpenFiles;
use self::schema::VERSION;
use super::gap::Gap;
use super::integers::{signed, time};
use super::minutes::{self, MINUTE_MS, MinuteAggregate};
use super::record::Entry;
use crate::clock::Timestamp;
use crate::files::open_private;

/// The name of the file in the data directory.
pub(super) const FILE: &str = "ledger.db";
/// How long a connection waits for other processes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// The number of records that one step of retention deletes.
const RETENTION_STEP: u32 = 2_000;
/// The reason of the gap that a crash leaves.
const NOT_CLOSED: &str = "the host stopped without closing the ledger";

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerError {
    /// A newer version of Sandbus wrote it.
    #[error("it has version {0} of the tables, and this Sandbus writes version {VERSION}")]
    Version(i64),
    /// It is damaged, or is not a ledger.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It cannot be used now, for instance because the disk is full.
    #[error("{0}")]
    Unavailable(String),
    /// It can be used, but not for this.
    #[error("{0}")]
    Refused(String),
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error_code() else { return Self::Refused(error.to_string()) };
        match code {
            // The other errors mean that a table or column is missing, or that a value has another type.
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => {
                Self::Damaged(error.to_string())
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                Self::Unavailable("another process has locked it".to_owned())
            }
            ErrorCode::DiskFull => Self::Unavailable("the disk is full".to_owned()),
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Self::Unavailable("it is read-only".to_owned()),
            ErrorCode::CannotOpen => Self::Unavailable("it cannot be opened".to_owned()),
            ErrorCode::SystemIoFailure => Self::Unavailable("the disk failed".to_owned()),
            ErrorCode::OutOfMemory => Self::Unavailable("the host has too little memory".to_owned()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

/// The ledger, for its one writer.
#[derive(Debug)]
pub(super) struct LedgerDatabase {
    connection: Connection,
    files: OpenFiles,
    /// Identifies the run of the host.
    run: i64,
    /// The size of all recorded responses.
    recorded_response_bytes: u64,
}

impl LedgerDatabase {
    /// Opens the file for a run of the host, and creates it if it does not exist. Returns the gap that an earlier run
    /// has left, if it was not closed. A ledger that is returned can be written.
    pub(super) fn open(path: &Path, run: i64, now: Timestamp) -> Result<(Self, Option<Gap>), LedgerError> {
        // Reasons of failures may quote data. SQLite gives its other files the permissions of this one.
        drop(open_private(path).map_err(|error| LedgerError::Unavailable(error.to_string()))?);
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if !(0..=VERSION).contains(&version) {
            return Err(LedgerError::Version(version));
        }
        // A power failure may lose the last records, but does not damage the ledger.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;
             PRAGMA mmap_size = 0",
        )?;
        if let Some(tables) = schema::to_present(version) {
            connection.execute_batch(&format!("BEGIN; {tables} PRAGMA user_version = {VERSION}; COMMIT"))?;
        }
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(LedgerError::Damaged(sound));
        }
        connection.set_prepared_statement_cache_capacity(32);
        let gap = begin_run(&mut connection, run, now)?;
        let recorded_response_bytes = recorded_responses::size(&connection)?;
        // The first write has created the files next to it.
        Ok((Self { connection, files: OpenFiles::at(path), run, recorded_response_bytes }, gap))
    }

    /// Notes that everything up to now is written.
    pub(super) fn touch(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        Ok(touch(&self.connection, now)?)
    }

    /// Removes the mark of this run.
    pub(super) fn end_run(&mut self) -> Result<(), LedgerError> {
        Ok(self.connection.execute("DELETE FROM run WHERE id = ?1", [self.run]).map(drop)?)
    }

    /// Limits the size of the file, as a full disk does.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).expect("a limit can be set");
    }

    /// What has happened to the files since they were opened.
    pub(super) fn file_change(&self) -> FileChange {
        self.files.change()
    }

    /// Closes files that were deleted or replaced.
    pub(super) fn close_replaced(self) {
        let Self { connection, files, .. } = self;
        drop(connection);
        files.delete_leftovers();
    }

    /// Writes records and gaps in one transaction.
    pub(super) fn write(&mut self, entries: &[Arc<Entry>], gaps: &[Gap], now: Timestamp) -> Result<(), LedgerError> {
        let transaction = self.connection.transaction()?;
        let mut recorded_response_bytes = self.recorded_response_bytes;
        for entry in entries {
            recorded_response_bytes += match &**entry {
                Entry::Attempt(attempt) => entries::insert_attempt(&transaction, attempt)?,
                Entry::Request(request) => entries::insert_request(&transaction, request)?,
            };
        }
        for gap in gaps {
            gap.insert(&transaction)?;
        }
        touch(&transaction, now)?;
        transaction.commit()?;
        self.recorded_response_bytes = recorded_response_bytes;
        Ok(())
    }

    /// Deletes the oldest recorded responses while all of them together are too large.
    pub(super) fn limit_recorded_responses(&mut self, max_bytes: u64) -> Result<(), LedgerError> {
        while self.recorded_response_bytes > max_bytes {
            let deleted = recorded_responses::delete_oldest(&self.connection)?;
            if deleted == 0 {
                break;
            }
            self.recorded_response_bytes = self.recorded_response_bytes.saturating_sub(deleted);
        }
        Ok(())
    }

    /// Writes the aggregates of minutes.
    pub(super) fn write_minutes<'a>(
        &mut self,
        minutes: impl IntoIterator<Item = &'a MinuteAggregate>,
    ) -> Result<(), LedgerError> {
        let transaction = self.connection.transaction()?;
        minutes::write(&transaction, minutes)?;
        Ok(transaction.commit()?)
    }

    /// Deletes what is older than its age allows, and the oldest records while the ledger is too large. Deletes a
    /// bounded number at a time. Returns whether more is left to delete.
    pub(super) fn retain(
        &mut self,
        records_from: Timestamp,
        minutes_from: Timestamp,
        max_bytes: u64,
    ) -> Result<bool, LedgerError> {
        let transaction = self.connection.transaction()?;
        let (records_from, minutes_from) = (signed(records_from.0), signed(minutes_from.0 / MINUTE_MS));
        let pragma = |name: &str| transaction.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        let used = (pragma("page_count")? - pragma("freelist_count")?).saturating_mul(pragma("page_size")?);
        let is_large = used > signed(max_bytes);
        let mut deleted = 0;
        for table in ["attempts", "requests"] {
            let oldest =
                format!("SELECT number FROM {table} WHERE ?1 OR at < ?2 ORDER BY number LIMIT {RETENTION_STEP}");
            let mut delete = transaction.prepare_cached(&format!("DELETE FROM {table} WHERE number IN ({oldest})"))?;
            deleted += delete.execute(params![is_large, records_from])?;
        }
        transaction
            .prepare_cached("DELETE FROM request_trees WHERE request < (SELECT min(number) FROM requests)")?
            .execute([])?;
        let recorded_response_bytes = recorded_responses::delete_orphans(&transaction)?;
        transaction.prepare_cached("DELETE FROM gaps WHERE ends < ?1")?.execute([records_from])?;
        transaction.prepare_cached("DELETE FROM minutes WHERE minute < ?1")?.execute([minutes_from])?;
        transaction.commit()?;
        self.recorded_response_bytes = self.recorded_response_bytes.saturating_sub(recorded_response_bytes);
        Ok(deleted > 0)
    }
}

fn touch(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE run SET written = ?1")?.execute([signed(now.0)]).map(drop)
}

/// Opens the file for reading. None if it does not exist yet, or has no tables yet.
pub(super) fn open_reader(path: &Path) -> Result<Option<Connection>, LedgerError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        // The writer is creating it.
        0 => Ok(None),
        VERSION => Ok(Some(connection)),
        _ => Err(LedgerError::Version(version)),
    }
}

/// Moves a damaged ledger out of the way. Returns its new path.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let aside = path.with_file_name(format!("ledger-damaged-{}.db", now.0));
    for suffix in files::COMPANIONS {
        match std::fs::remove_file(files::companion(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

/// Marks the ledger as in use. If another run has left its mark, there is a gap from its last write on.
fn begin_run(connection: &mut Connection, run: i64, now: Timestamp) -> Result<Option<Gap>, LedgerError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let left: Option<(i64, Timestamp)> = transaction
        .query_row("SELECT id, written FROM run LIMIT 1", [], |row| Ok((row.get(0)?, time(row, 1)?)))
        .optional()?;
    let gap = left.filter(|(id, _)| *id != run).map(|(_, written)| Gap {
        from: written.min(now),
        until: now,
        lost: None,
        reason: NOT_CLOSED.to_owned(),
    });
    if let Some(gap) = &gap {
        gap.insert(&transaction)?;
    }
    transaction.execute("DELETE FROM run", [])?;
    transaction.execute("INSERT INTO run VALUES (?1, ?2)", params![run, signed(now.0)])?;
    transaction.commit()?;
    Ok(gap)
}
