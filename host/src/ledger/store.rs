//! The file of the ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::queue::Loss;
use super::record::{AttemptEntry, AttemptVerdict, Details, Entry, RequestEntry};
use super::statistics::{Activity, Subject};
use crate::clock::Timestamp;
use crate::duration::micros;
use crate::files;
use crate::usage::Usage;

/// The name of the file in the data directory.
pub(super) const FILE: &str = "ledger.db";
/// The version of the tables. A ledger of another version is not touched.
const VERSION: i64 = 1;
/// How long a connection waits for other processes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// The most cause trees by which a request is found.
const MAX_TREES: usize = 20;
/// The number of records that one step of retention deletes.
const RETENTION_STEP: u32 = 2_000;

const TABLES: &str = "
CREATE TABLE attempts (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    event        TEXT NOT NULL,
    source       TEXT NOT NULL,
    type         TEXT NOT NULL,
    stored_at    INTEGER NOT NULL,
    tree         TEXT NOT NULL,
    tree_source  TEXT,
    owner        TEXT NOT NULL,
    subscription TEXT NOT NULL,
    replay       INTEGER,
    digest       TEXT,
    attempt      INTEGER NOT NULL,
    queued       INTEGER NOT NULL,
    took         INTEGER NOT NULL,
    cpu          INTEGER NOT NULL,
    memory       INTEGER NOT NULL,
    -- 0: handled, 1: retried at `due`, 2: dead letter.
    verdict      INTEGER NOT NULL,
    due          INTEGER,
    cause        TEXT,
    reason       TEXT,
    details      TEXT NOT NULL
) STRICT;
CREATE INDEX attempts_by_event ON attempts (event, source);
CREATE INDEX attempts_by_tree ON attempts (tree);

CREATE TABLE requests (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    id       TEXT NOT NULL,
    plugin   TEXT NOT NULL,
    digest   TEXT NOT NULL,
    method   TEXT NOT NULL,
    route    TEXT NOT NULL,
    path     TEXT NOT NULL,
    status   INTEGER NOT NULL,
    queued   INTEGER NOT NULL,
    took     INTEGER NOT NULL,
    cpu      INTEGER NOT NULL,
    memory   INTEGER NOT NULL,
    cause    TEXT,
    reason   TEXT,
    details  TEXT NOT NULL
) STRICT;
CREATE INDEX requests_by_id ON requests (id);

-- The cause trees that requests started.
CREATE TABLE request_trees (
    tree    TEXT NOT NULL,
    request INTEGER NOT NULL
) STRICT;
CREATE INDEX request_trees_by_tree ON request_trees (tree);
CREATE INDEX request_trees_by_request ON request_trees (request);

-- Aggregates of each minute. `name` is null for the routes of the plugin `owner`. Times are in microseconds.
CREATE TABLE minutes (
    minute    INTEGER NOT NULL,
    owner     TEXT NOT NULL,
    name      TEXT,
    succeeded INTEGER NOT NULL,
    retried   INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cpu       INTEGER NOT NULL,
    memory    INTEGER NOT NULL,
    backlog   INTEGER,
    run       TEXT NOT NULL,
    latency   TEXT NOT NULL
) STRICT;
CREATE INDEX minutes_by_minute ON minutes (minute);

-- Times in which records are missing.
CREATE TABLE gaps (
    starts INTEGER NOT NULL,
    ends   INTEGER NOT NULL,
    lost   INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
";

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Another version of Sandbus wrote it.
    #[error("it has version {0} of the tables, and this Sandbus writes version {VERSION}")]
    Version(i64),
    /// It is damaged, or is not a ledger.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It cannot be written now, for instance because the disk is full.
    #[error("{0}")]
    Unavailable(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        match code {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            // A table or column is missing, or a value has another type.
            Some(ErrorCode::Unknown) => Self::Damaged(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// The ledger, for its one writer.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
}

/// The aggregates of one subject in one minute.
#[derive(Debug)]
pub(super) struct MinuteRow {
    pub(super) minute: u64,
    pub(super) subject: Subject,
    pub(super) activity: Activity,
    /// The backlog of a subscription at the end of the minute.
    pub(super) backlog: Option<u64>,
}

impl Store {
    /// Opens the file, and creates it if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // Reasons of failures may quote data. SQLite gives its other files the permissions of this one.
        drop(files::open_private(path).map_err(|error| StoreError::Unavailable(error.to_string()))?);
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if ![0, VERSION].contains(&version) {
            return Err(StoreError::Version(version));
        }
        // The ledger may lose its last moments in a power failure, and is never damaged by one.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;
             PRAGMA mmap_size = 0",
        )?;
        if version == 0 {
            connection.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT"))?;
        }
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(StoreError::Damaged(sound));
        }
        connection.set_prepared_statement_cache_capacity(16);
        Ok(Self { connection })
    }

    /// Writes records, and a gap, in one transaction.
    pub(super) fn write(&mut self, entries: &[Arc<Entry>], gap: Option<(Loss, &str)>) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for entry in entries {
            match &**entry {
                Entry::Attempt(attempt) => insert_attempt(&transaction, attempt)?,
                Entry::Request(request) => insert_request(&transaction, request)?,
            }
        }
        if let Some((Loss { from, until, count }, reason)) = gap {
            let mut insert = transaction.prepare_cached("INSERT INTO gaps VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![signed(from.0), signed(until.0), signed(count), reason])?;
        }
        Ok(transaction.commit()?)
    }

    /// Writes the aggregates of a minute.
    pub(super) fn write_minutes(&mut self, rows: &[MinuteRow]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for MinuteRow { minute, subject, activity, backlog } in rows {
            let (owner, name) = match subject {
                Subject::Subscription { owner, name } => (owner, Some(name)),
                Subject::Routes { plugin } => (plugin, None),
            };
            let mut insert = transaction
                .prepare_cached("INSERT INTO minutes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?;
            insert.execute(params![
                signed(*minute),
                owner,
                name,
                signed(activity.succeeded),
                signed(activity.retried),
                signed(activity.failed),
                signed(micros(activity.cpu_time)),
                signed(activity.memory_bytes),
                backlog.map(signed),
                activity.run.encode(),
                activity.latency.encode(),
            ])?;
        }
        Ok(transaction.commit()?)
    }

    /// Deletes what is older than its age allows, and the oldest records while the ledger is too large. Deletes a
    /// bounded number at a time. Returns whether more is left to delete.
    pub(super) fn retain(
        &mut self,
        records_from: Timestamp,
        minutes_from: Timestamp,
        max_bytes: u64,
    ) -> Result<bool, StoreError> {
        let transaction = self.connection.transaction()?;
        let (records_from, minutes_from) = (signed(records_from.0), signed(minutes_from.0));
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
        transaction.prepare_cached("DELETE FROM gaps WHERE ends < ?1")?.execute([records_from])?;
        transaction.prepare_cached("DELETE FROM minutes WHERE minute < ?1")?.execute([minutes_from / 60_000])?;
        transaction.commit()?;
        Ok(deleted > 0)
    }
}

fn insert_attempt(connection: &Connection, attempt: &AttemptEntry) -> Result<(), StoreError> {
    let Usage { queued, cpu_time, memory_bytes, calls } = &attempt.usage;
    let (verdict, due) = match attempt.verdict {
        AttemptVerdict::Handled => (0, None),
        AttemptVerdict::Retry(due) => (1, Some(signed(due.0))),
        AttemptVerdict::Dead => (2, None),
    };
    let details =
        serde_json::to_string(&Details { names: attempt.names.clone(), calls: calls.clone(), trees: Vec::new() })
            .unwrap_or_default();
    let mut insert = connection.prepare_cached(
        "INSERT INTO attempts VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
         ?18, ?19, ?20, ?21, ?22)",
    )?;
    insert.execute(params![
        signed(attempt.at.0),
        signed(attempt.position),
        attempt.event_id,
        attempt.event_source,
        attempt.event_type,
        signed(attempt.stored_at.0),
        attempt.tree.id,
        attempt.tree.source,
        attempt.owner,
        attempt.subscription,
        attempt.replay,
        attempt.digest,
        attempt.attempt,
        signed(micros(*queued)),
        signed(micros(attempt.took)),
        signed(micros(*cpu_time)),
        signed(*memory_bytes),
        verdict,
        due,
        attempt.failure.as_ref().map(|failure| &failure.cause),
        attempt.failure.as_ref().map(|failure| &failure.reason),
        details,
    ])?;
    Ok(())
}

fn insert_request(connection: &Connection, request: &RequestEntry) -> Result<(), StoreError> {
    let Usage { queued, cpu_time, memory_bytes, calls } = &request.usage;
    let details = serde_json::to_string(&Details {
        names: request.names.clone(),
        calls: calls.clone(),
        trees: request.trees.clone(),
    })
    .unwrap_or_default();
    let mut insert = connection.prepare_cached(
        "INSERT INTO requests VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    insert.execute(params![
        signed(request.at.0),
        request.id,
        request.plugin,
        request.digest,
        request.method,
        request.route,
        request.path,
        request.status,
        signed(micros(*queued)),
        signed(micros(request.took)),
        signed(micros(*cpu_time)),
        signed(*memory_bytes),
        request.failure.as_ref().map(|failure| &failure.cause),
        request.failure.as_ref().map(|failure| &failure.reason),
        details,
    ])?;
    let number = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached("INSERT INTO request_trees VALUES (?1, ?2)")?;
    for tree in request.trees.iter().take(MAX_TREES) {
        insert.execute(params![tree.id, number])?;
    }
    Ok(())
}

/// Opens the file for reading. None if it does not exist yet.
pub(super) fn open_reader(path: &Path) -> Result<Option<Connection>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != VERSION {
        return Err(StoreError::Version(version));
    }
    Ok(Some(connection))
}

/// Moves a damaged ledger out of the way. Returns its new path.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let aside = path.with_file_name(format!("ledger-damaged-{}.db", now.0));
    for suffix in ["-wal", "-shm"] {
        let mut companion = path.as_os_str().to_owned();
        companion.push(suffix);
        match std::fs::remove_file(&companion) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

/// SQLite's integers are signed.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
