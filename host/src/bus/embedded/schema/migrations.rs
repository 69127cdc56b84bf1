//! The versions of the tables, and the steps between them.
//!
//! A store of any version since the first release is upgraded when it is opened. Steps are only appended. A step that
//! was released never changes, because there are stores that have taken it. A new store also takes all steps, so that
//! both kinds have the same tables.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::super::error::EmbeddedError;
use super::{FIRST_TABLES, backup};
use crate::bus::StoreError;
use crate::bus::embedded::{foreign, integrity};
use crate::clock::Timestamp;

/// The version of the first tables, in the file's `user_version`. Zero is a file without tables.
const FIRST: i64 = 2;

/// This program's own version.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// A step from one version of the tables to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    /// The subject of the change, for the log.
    pub(super) subject: &'static str,
    /// The statements. If they change columns that a checksum covers, they set the new checksums with `checksum(..)`.
    pub(super) sql: &'static str,
    /// New tables, and tables whose checksums cover other columns from now on, each with these columns.
    pub(super) summed: &'static [(&'static str, &'static str)],
}

/// All steps in order, the first one from version [`FIRST`]. Append new ones.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        subject: "which Sandbus wrote the data",
        sql: "
-- Which Sandbus brought the tables to a version. An older one reads it from here to say so: it never changes.
CREATE TABLE writers (
    version INTEGER PRIMARY KEY,
    sandbus TEXT NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;",
        summed: &[("writers", "version, sandbus")],
    },
    Migration {
        subject: "sequences",
        sql: "
-- Numbers that plugins draw. Those before `next` are given away, or reserved by a process that may have ended.
CREATE TABLE sequences (
    plugin TEXT NOT NULL,
    name   TEXT NOT NULL,
    next   INTEGER NOT NULL,
    sum    INTEGER NOT NULL,
    PRIMARY KEY (plugin, name)
) STRICT, WITHOUT ROWID;",
        summed: &[("sequences", "plugin, name, next")],
    },
    Migration {
        subject: "a secret for the ids of published events, and the size of each plugin's events",
        sql: "
-- What ids of published events are derived from, in one row, which is made when the store is opened.
CREATE TABLE secret (
    value BLOB NOT NULL,
    sum   INTEGER NOT NULL
) STRICT;

-- The bytes of the events in the log, by the plugins that published them.
CREATE TABLE publishers (
    plugin TEXT PRIMARY KEY,
    bytes  INTEGER NOT NULL,
    sum    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO publishers
    SELECT plugin, bytes, checksum(plugin, bytes) FROM (
        SELECT substr(source, 10) AS plugin, sum(bytes) AS bytes FROM events
        WHERE source >= '/plugins/' AND source < '/plugins0' GROUP BY source);

-- Events that enter the log later have a type from the beginning, and not only once they enter it.
INSERT INTO types
    SELECT id, name, checksum(id, name) FROM (
        SELECT (SELECT coalesce(max(id), 0) FROM types) + row_number() OVER () AS id, name FROM (
            SELECT DISTINCT json_extract(event, '$.event_type') AS name FROM scheduled
            WHERE json_extract(event, '$.event_type') NOT IN (SELECT types.name FROM types)));",
        summed: &[("secret", "value"), ("publishers", "plugin, bytes")],
    },
    Migration {
        subject: "holds of endpoints",
        sql: "
-- Endpoints that want no requests until a time, by their addresses. A subscription whose `stopped` is 2 was stopped by
-- its endpoint, and not by an operator.
CREATE TABLE holds (
    endpoint TEXT PRIMARY KEY,
    until    INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    sum      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;",
        summed: &[("holds", "endpoint, until, reason")],
    },
    Migration {
        subject: "the events of a cause tree, and since when a subscription selects events",
        sql: "
-- Events that name their cause tree. Events without such a name are not in the index.
CREATE INDEX events_by_correlation ON events (extensions ->> '$.correlationid', position)
    WHERE extensions ->> '$.correlationid' IS NOT NULL;

-- The position after which the present definition selects events. A replay starts there. For subscriptions of earlier
-- versions it is not known, and zero.
ALTER TABLE subscriptions ADD COLUMN selects_after INTEGER NOT NULL DEFAULT 0;
UPDATE subscriptions SET sum = checksum(number, owner, name, dynamic, definition, cursor, stopped, orphaned, replay_of,
    replay_until, replay_rate, selects_after);",
        summed: &[(
            "subscriptions",
            "number, owner, name, dynamic, definition, cursor, stopped, orphaned, replay_of, replay_until, replay_rate, selects_after",
        )],
    },
    Migration {
        subject: "which events a replay delivers",
        sql: "
-- The events that a replay delivers. Null stands for all that its subscription selects.
ALTER TABLE subscriptions ADD COLUMN replay_filter TEXT;
UPDATE subscriptions SET sum = checksum(number, owner, name, dynamic, definition, cursor, stopped, orphaned, replay_of,
    replay_until, replay_rate, selects_after, replay_filter);",
        summed: &[(
            "subscriptions",
            "number, owner, name, dynamic, definition, cursor, stopped, orphaned, replay_of, replay_until, replay_rate, selects_after, replay_filter",
        )],
    },
    Migration {
        subject: "deliveries with edited data",
        sql: "
-- The data of a delivery, if an operator has edited it. The event in the log is unchanged.
ALTER TABLE pending ADD COLUMN edited BLOB;
UPDATE pending SET sum = checksum(subscription, position, key, attempts, due, replayed, history, edited);
ALTER TABLE dead_letters ADD COLUMN edited BLOB;
UPDATE dead_letters SET sum = checksum(number, subscription, position, key, parks, replay, cause, reason, attempts,
    history, buried_at, edited);",
        summed: &[
            ("pending", "subscription, position, key, attempts, due, replayed, history, edited"),
            (
                "dead_letters",
                "number, subscription, position, key, parks, replay, cause, reason, attempts, history, buried_at, edited",
            ),
        ],
    },
    Migration {
        subject: "when dead letters were redriven",
        sql: "
-- When an operator redrove the dead letter that the delivery was. Null for other deliveries.
ALTER TABLE pending ADD COLUMN redriven_at INTEGER;
UPDATE pending SET sum = checksum(subscription, position, key, attempts, due, replayed, history, edited, redriven_at);",
        summed: &[("pending", "subscription, position, key, attempts, due, replayed, history, edited, redriven_at")],
    },
    Migration {
        subject: "what operators have decided about groups of dead letters",
        sql: "
-- The status of a group of dead letters. An empty digest stands for none. `newest` is the newest dead letter of all
-- groups at the time: a later one opens a resolved group again.
CREATE TABLE group_marks (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    cause        TEXT NOT NULL,
    signature    TEXT NOT NULL,
    digest       TEXT NOT NULL,
    -- 0: open, 1: resolved, 2: ignored.
    status       INTEGER NOT NULL,
    since        INTEGER NOT NULL,
    set_by       TEXT NOT NULL,
    newest       INTEGER NOT NULL,
    sum          INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX group_marks_by_group ON group_marks (subscription, cause, signature, digest);",
        summed: &[("group_marks", "number, subscription, cause, signature, digest, status, since, set_by, newest")],
    },
];

/// The version after all steps.
pub(super) fn newest(migrations: &[Migration]) -> i64 {
    migrations.iter().fold(FIRST, |version, _| version + 1)
}

/// The tables of a version, and the columns that the checksums of their rows cover.
pub(super) fn summed(migrations: &[Migration], version: i64) -> BTreeMap<&'static str, &'static str> {
    let steps = migrations.iter().zip(FIRST + 1..).take_while(|(_, leads_to)| *leads_to <= version);
    let changes = steps.flat_map(|(migration, _)| migration.summed.iter().copied());
    super::FIRST_SUMMED.into_iter().chain(changes).collect()
}

/// The version of a store's tables.
pub(super) fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Refuses a store of another program, and one for which there are no steps.
pub(super) fn check(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<(), StoreError> {
    let (found, newest) = (version(connection)?, newest(migrations));
    foreign::check_tables(connection, found)?;
    if found > newest {
        let writer = writer(connection, found);
        let backup = backup::newest_of(path, newest);
        return Err(EmbeddedError::Newer { found, newest, own: OWN, writer, backup }.into());
    }
    if found != 0 && found < FIRST {
        return Err(EmbeddedError::Older { found, first: FIRST, own: OWN }.into());
    }
    Ok(())
}

/// The Sandbus that wrote a version of the tables, if the store names it.
fn writer(connection: &Connection, version: i64) -> Option<String> {
    let sandbus = "SELECT sandbus FROM writers WHERE version = ?1";
    connection.query_row(sandbus, [version], |row| row.get(0)).optional().ok().flatten()
}

/// Upgrades a store to the newest version. A file without tables gets them. An older store is backed up and then
/// changed in one transaction. If that fails, or the process ends before the commit, the store is unchanged.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<(), StoreError> {
    let (found, newest) = (version(connection)?, newest(migrations));
    if found == newest {
        return Ok(());
    }
    if found == 0 {
        return create(connection, migrations);
    }
    // Damaged data must not get into a backup, which would be trusted later.
    integrity::check_store(connection, &summed(migrations, found))?;
    let backup = backup::make(connection, path, found, now)?;
    tracing::info!(backup = %backup.display(), from = found, to = newest, "the data was backed up and is being upgraded");
    let changed = upgrade(connection, migrations, found);
    changed.inspect_err(|_| {
        // Nothing has changed. The next attempt makes a new backup.
        drop(std::fs::remove_file(&backup));
    })
}

fn create(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(FIRST_TABLES)?;
    for migration in migrations {
        transaction.execute_batch(migration.sql)?;
    }
    note_version(&transaction, newest(migrations))?;
    Ok(transaction.commit()?)
}

fn upgrade(connection: &mut Connection, migrations: &[Migration], found: i64) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    for (migration, version) in migrations.iter().zip(FIRST + 1..).filter(|(_, version)| *version > found) {
        tracing::info!(version, subject = migration.subject, "upgrading the data");
        transaction.execute_batch(migration.sql)?;
    }
    note_version(&transaction, newest(migrations))?;
    Ok(transaction.commit()?)
}

fn note_version(transaction: &Transaction<'_>, version: i64) -> Result<(), StoreError> {
    transaction.execute("INSERT INTO writers VALUES (?1, ?2, checksum(?1, ?2))", (version, OWN))?;
    transaction.pragma_update(None, "application_id", foreign::APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version)?;
    Ok(())
}

#[cfg(test)]
mod tests;
