//! The tables of the embedded store, and the settings that make a commit durable.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// The version of the tables below, kept in the file's `user_version`.
const VERSION: i64 = 1;

/// SQLite before 3.51.3 could lose commits when it reset the write-ahead log.
const OLDEST_SQLITE: i32 = 3_051_003;

const TABLES: &str = "
-- Names of event types, so that events carry a number.
CREATE TABLE types (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- The log.
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
    stored_at       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_identity ON events (id, source);
CREATE INDEX events_by_type ON events (type, position);

-- Events that enter the log later.
CREATE TABLE scheduled (
    number INTEGER PRIMARY KEY,
    due    INTEGER NOT NULL,
    id     TEXT NOT NULL,
    source TEXT NOT NULL,
    event  BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX scheduled_by_identity ON scheduled (id, source);
CREATE INDEX scheduled_by_due ON scheduled (due);

-- Every matching event up to the cursor has been handled, or has a row in `pending`.
CREATE TABLE subscriptions (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      TEXT NOT NULL,
    name       TEXT NOT NULL,
    dynamic    INTEGER NOT NULL,
    definition TEXT NOT NULL,
    cursor     INTEGER NOT NULL,
    paused     TEXT,
    UNIQUE (owner, name)
) STRICT;

-- Deliveries up to the cursor that are not handled: in flight, or waiting for another attempt.
CREATE TABLE pending (
    subscription INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    history      TEXT NOT NULL,
    PRIMARY KEY (subscription, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_by_due ON pending (subscription, due, position);

CREATE TABLE dead_letters (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    cause        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    history      TEXT NOT NULL,
    buried_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_subscription ON dead_letters (subscription, cause, number);

-- What plugins keep. Versions tell whether a value is still the one that was read.
CREATE TABLE state (
    plugin  TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   BLOB NOT NULL,
    version INTEGER NOT NULL,
    made    INTEGER NOT NULL,
    PRIMARY KEY (plugin, key)
) STRICT, WITHOUT ROWID;

-- How often the store has been opened: versions of one run are above those of all runs before it.
CREATE TABLE runs (number INTEGER NOT NULL) STRICT;
INSERT INTO runs VALUES (0);
";

/// Opens the file for writing, and makes the tables if there are none.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::OldSqlite(rusqlite::version()));
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Err(StoreError::Newer { found: version, known: VERSION });
    }

    let journal: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 4194304; PRAGMA mmap_size = 0",
    )?;
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    if !journal.eq_ignore_ascii_case("wal") || synchronous != 2 {
        return Err(StoreError::NotDurable { journal, synchronous });
    }

    if version == 0 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Opens the file for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}
