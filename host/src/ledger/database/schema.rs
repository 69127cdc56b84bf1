//! The tables of the ledger.

/// The version of the tables. A ledger of a newer version is not touched.
pub(super) const VERSION: i64 = 3;

/// The tables of a new ledger.
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
    latency   TEXT NOT NULL,
    wait      TEXT NOT NULL
) STRICT;
CREATE INDEX minutes_by_minute ON minutes (minute);

-- Times in which records are missing. `lost` is -1 if their number is unknown.
CREATE TABLE gaps (
    starts INTEGER NOT NULL,
    ends   INTEGER NOT NULL,
    lost   INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;

-- The run of the host that writes, and when it last wrote. A stop deletes the row, so a row that is left tells that a
-- run ended without a stop.
CREATE TABLE run (
    id      INTEGER NOT NULL,
    written INTEGER NOT NULL
) STRICT;
";

/// The table of recorded responses, which version 3 has added.
const RECORDED_RESPONSES: &str = "
-- What other services answered to the requests of a record, as JSON. `kind` is 0 for an attempt, 1 for a request.
CREATE TABLE exchanges (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      INTEGER NOT NULL,
    record    INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    exchanges TEXT NOT NULL
) STRICT;
CREATE INDEX exchanges_by_record ON exchanges (kind, record);
";

/// From version 1 to version 2.
const FROM_VERSION_1: &str = "
ALTER TABLE minutes ADD COLUMN wait TEXT NOT NULL DEFAULT '[]';
CREATE TABLE run (
    id      INTEGER NOT NULL,
    written INTEGER NOT NULL
) STRICT;
";

/// The statements that upgrade a ledger from a version. None if that is the current version.
pub(super) fn to_present(version: i64) -> Option<String> {
    match version {
        0 => Some([TABLES, RECORDED_RESPONSES].concat()),
        1 => Some([FROM_VERSION_1, RECORDED_RESPONSES].concat()),
        2 => Some(RECORDED_RESPONSES.to_owned()),
        _ => None,
    }
}
