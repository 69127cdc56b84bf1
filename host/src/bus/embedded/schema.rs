//! The tables of the embedded store, and the settings that make a commit durable.
//!
//! The tables below are those of the first release and never change. Every later change is a step in [`migrations`].

mod backup;
mod migrations;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::error::EmbeddedError;
use crate::bus::StoreError;
use crate::clock::Timestamp;
use crate::failure;
use migrations::MIGRATIONS;

/// SQLite before 3.51.3 could lose commits when it reset the write-ahead log.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Unless stated otherwise, each row has a checksum of its other columns in order (`sum`).
const FIRST_TABLES: &str = "
-- Names of event types, so that events carry a number.
CREATE TABLE types (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sum  INTEGER NOT NULL
) STRICT;

-- The log. The checksum leaves out `bytes`, which follows from the others.
CREATE TABLE events (
    position        INTEGER PRIMARY KEY,
    type            INTEGER NOT NULL,
    id              TEXT NOT NULL,
    source          TEXT NOT NULL,
    subject         TEXT,
    time            TEXT,
    datacontenttype TEXT,
    dataschema      TEXT,
    extensions      TEXT,
    data            BLOB,
    stored_at       INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    sum             INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_identity ON events (id, source);
CREATE INDEX events_by_type ON events (type, position);

-- The log as a whole, in one row: its newest position, the position up to which events were deleted, the
-- bytes of all events, and when the newest was stored.
CREATE TABLE log (
    head   INTEGER NOT NULL,
    floor  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    sum    INTEGER NOT NULL
) STRICT;
INSERT INTO log VALUES (0, 0, 0, 0, checksum(0, 0, 0, 0));

-- Events that enter the log later. The checksum leaves out `number`.
CREATE TABLE scheduled (
    number INTEGER PRIMARY KEY,
    due    INTEGER NOT NULL,
    id     TEXT NOT NULL,
    source TEXT NOT NULL,
    event  TEXT NOT NULL,
    sum    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX scheduled_by_identity ON scheduled (id, source);
CREATE INDEX scheduled_by_due ON scheduled (due);

-- What plugins declare to be published at certain times.
CREATE TABLE schedules (
    plugin   TEXT NOT NULL,
    name     TEXT NOT NULL,
    schedule TEXT NOT NULL,
    next     INTEGER,
    sum      INTEGER NOT NULL,
    PRIMARY KEY (plugin, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedules_by_next ON schedules (next);

-- Subscriptions, and replays of them; only those have values in the columns `replay_*`. Every event that one
-- selects, up to its cursor, is handled, or has a row in `pending` or in `dead_letters`.
CREATE TABLE subscriptions (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    owner        TEXT NOT NULL,
    name         TEXT NOT NULL,
    dynamic      INTEGER NOT NULL,
    definition   TEXT NOT NULL,
    cursor       INTEGER NOT NULL,
    stopped      INTEGER NOT NULL,
    orphaned     INTEGER NOT NULL,
    replay_of    INTEGER,
    replay_until INTEGER,
    replay_rate  INTEGER,
    sum          INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX subscriptions_by_name ON subscriptions (owner, name) WHERE replay_of IS NULL;

-- Plugins to which nothing is delivered.
CREATE TABLE drained (
    plugin TEXT PRIMARY KEY,
    sum    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Deliveries up to the cursor that are not handled: in flight, or waiting for another attempt, or for the
-- turn of their ordering key.
CREATE TABLE pending (
    subscription INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    key          TEXT,
    attempts     INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    replayed     INTEGER NOT NULL,
    history      TEXT NOT NULL,
    sum          INTEGER NOT NULL,
    PRIMARY KEY (subscription, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_by_due ON pending (subscription, due, position);
CREATE INDEX pending_by_key ON pending (subscription, key, position) WHERE key IS NOT NULL;
CREATE INDEX pending_by_position ON pending (position);

CREATE TABLE dead_letters (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    key          TEXT,
    parks        INTEGER NOT NULL,
    replay       INTEGER NOT NULL,
    cause        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    history      TEXT NOT NULL,
    buried_at    INTEGER NOT NULL,
    sum          INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_subscription ON dead_letters (subscription, cause, number);
CREATE INDEX dead_letters_by_position ON dead_letters (position);

-- What plugins keep. Versions tell whether a value is still the one that was read.
CREATE TABLE state (
    plugin  TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   BLOB NOT NULL,
    version INTEGER NOT NULL,
    made    INTEGER NOT NULL,
    sum     INTEGER NOT NULL,
    PRIMARY KEY (plugin, key)
) STRICT, WITHOUT ROWID;

-- How often the store has been opened: versions of one run are above those of all runs before it.
CREATE TABLE runs (number INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
INSERT INTO runs VALUES (0, checksum(0));
";

/// How long a connection waits for other processes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a restart of the write-ahead log may delay other changes.
const SHORT_BUSY_TIMEOUT: Duration = Duration::from_millis(200);

/// Tables that last as long as the writer's connection.
const TEMPORARY_TABLES: &str = "
-- Plugins whose schedules are active. Those of other plugins are suspended.
CREATE TEMP TABLE running (plugin TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// The columns that the checksum of a subscription's row covers.
pub(super) const SUBSCRIPTION_SUMMED: &str = "number, owner, name, dynamic, definition, cursor, stopped, orphaned, replay_of, replay_until, replay_rate, selects_after, replay_filter";
/// The columns that the checksum of a dead letter's row covers.
pub(super) const DEAD_LETTER_SUMMED: &str =
    "number, subscription, position, key, parks, replay, cause, reason, attempts, history, buried_at, edited";
/// The columns that the checksum of a delivery's row covers.
pub(super) const PENDING_SUMMED: &str =
    "subscription, position, key, attempts, due, replayed, history, edited, redriven_at";

/// The columns that the checksum of the mark of a group of dead letters covers.
pub(super) const GROUP_MARK_SUMMED: &str =
    "number, subscription, cause, signature, digest, status, since, set_by, newest";

/// The first tables, and the columns that the checksums of their rows cover. Later versions are in [`migrations`].
const FIRST_SUMMED: [(&str, &str); 11] = [
    ("types", "id, name"),
    ("events", "position, type, id, source, subject, time, datacontenttype, dataschema, extensions, data, stored_at"),
    ("log", "head, floor, bytes, newest"),
    ("scheduled", "due, id, source, event"),
    ("schedules", "plugin, name, schedule, next"),
    (
        "subscriptions",
        "number, owner, name, dynamic, definition, cursor, stopped, orphaned, replay_of, replay_until, replay_rate",
    ),
    ("drained", "plugin"),
    ("pending", "subscription, position, key, attempts, due, replayed, history"),
    ("dead_letters", "number, subscription, position, key, parks, replay, cause, reason, attempts, history, buried_at"),
    ("state", "plugin, key, value, version, made"),
    ("runs", "number"),
];

/// The tables of the newest version, and the columns that the checksums of their rows cover.
pub(super) fn summed() -> BTreeMap<&'static str, &'static str> {
    migrations::summed(MIGRATIONS, migrations::newest(MIGRATIONS))
}

/// The tables of a version, and the columns that the checksums of their rows cover.
pub(super) fn summed_in(version: i64) -> BTreeMap<&'static str, &'static str> {
    migrations::summed(MIGRATIONS, version)
}

/// The version of the tables; zero for a file without tables.
pub(super) fn version(connection: &Connection) -> Result<i64, StoreError> {
    migrations::version(connection)
}

/// The version of the tables, if this program can use them.
pub(super) fn check_version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    migrations::check(connection, path, MIGRATIONS)?;
    migrations::version(connection)
}

/// Copies the store into an empty or missing file, from one committed moment. Does not wait for the writer.
pub(super) fn copy(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    backup::copy_into(connection, to)
}

/// Removes copies that were not completed.
pub(super) fn remove_partial_copies(directory: &Path) -> std::io::Result<()> {
    backup::remove_parts(directory)
}

/// Opens the file for writing. Creates the tables if there are none, and upgrades older ones.
pub(super) fn open(path: &Path, now: Timestamp) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(EmbeddedError::OldSqlite(rusqlite::version()).into());
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    add_functions(&connection)?;
    migrations::check(&connection, path, MIGRATIONS)?;

    let journal: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    // The write-ahead log keeps its space on the disk, because releasing and allocating it costs syncs. The cache, in
    // KiB, holds the pages that every event needs, and no more: SQLite scans the whole cache after each commit that has
    // balanced an index.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 33554432;
         PRAGMA mmap_size = 0; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY",
    )?;
    connection.execute_batch(TEMPORARY_TABLES)?;
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    if !journal.eq_ignore_ascii_case("wal") || synchronous != 2 {
        return Err(EmbeddedError::NotDurable { journal, synchronous }.into());
    }

    migrations::migrate(&mut connection, path, MIGRATIONS, now)?;
    ensure_secret(&connection)?;
    connection.set_prepared_statement_cache_capacity(96);
    Ok(connection)
}

/// Creates the secret from which ids of published events are derived, if there is none.
fn ensure_secret(connection: &Connection) -> Result<(), StoreError> {
    if connection.prepare("SELECT 1 FROM secret")?.exists([])? {
        return Ok(());
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| EmbeddedError::File(error.into()))?;
    connection.execute("INSERT INTO secret VALUES (?1, checksum(?1))", [&secret[..]])?;
    Ok(())
}

/// Opens the file for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    add_functions(&connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the file for checkpoints that run concurrently with the writer.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA mmap_size = 0")?;
    Ok(connection)
}

/// Sets how long the writer waits for other processes. After one timeout, the changes that queue up during an outage
/// are refused sooner.
pub(super) fn wait_for_others(connection: &Connection, is_reachable: bool) -> Result<(), StoreError> {
    Ok(connection.busy_timeout(if is_reachable { BUSY_TIMEOUT } else { SHORT_BUSY_TIMEOUT })?)
}

/// Moves the write-ahead log into the store, so that the next write restarts it. A reader with an old snapshot,
/// another checkpoint, or a full disk prevents that. This is not an error: the next checkpoint will do it.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    match statement.query_row([], |_| Ok(())) {
        Err(rusqlite::Error::SqliteFailure(error, _))
            if matches!(error.code, rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DiskFull) =>
        {
            Ok(())
        }
        result => Ok(result?),
    }
}

/// Moves all of the write-ahead log into the store, so that the next write restarts it. Waits for readers, though not
/// for long.
pub(super) fn restart_wal(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(SHORT_BUSY_TIMEOUT)?;
    let begun = checkpoint(connection, "RESTART");
    connection.busy_timeout(BUSY_TIMEOUT)?;
    begun
}

/// The pages of the write-ahead log.
pub(super) struct WalPages {
    /// The total number.
    pub(super) all: i64,
    /// The number of pages that are not in the store yet.
    pub(super) outstanding: i64,
}

pub(super) fn wal_pages(connection: &Connection) -> Result<WalPages, StoreError> {
    let mut statement = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    let (all, checkpointed): (i64, i64) = statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
    Ok(WalPages { all, outstanding: all - checkpointed })
}

/// Adds two SQL functions. `checksum` is the CRC-32 of its arguments, each with its type and its length.
/// `failure_signature` is the signature of the reason of a failure.
fn add_functions(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("checksum", -1, flags, |arguments| Ok(i64::from(checksum(arguments))))?;
    connection.create_scalar_function("failure_signature", 1, flags, |arguments| {
        Ok(failure::signature(&arguments.get::<String>(0)?))
    })?;
    Ok(())
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

fn checksum(arguments: &Context<'_>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for index in 0..arguments.len() {
        let (kind, number, bytes): (u8, i64, &[u8]) = match arguments.get_raw(index) {
            ValueRef::Null => (0, 0, &[]),
            ValueRef::Integer(number) => (1, number, &[]),
            ValueRef::Real(number) => (2, number.to_bits().cast_signed(), &[]),
            ValueRef::Text(text) => (3, length(text), text),
            ValueRef::Blob(blob) => (4, length(blob), blob),
        };
        hasher.update(&[kind]);
        hasher.update(&number.to_le_bytes());
        hasher.update(bytes);
    }
    hasher.finalize()
}
