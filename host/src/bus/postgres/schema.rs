//! The tables of the bus, in one schema of the database, and their versions.

use super::connection::PgConnection;
use super::error::PostgresError;
use super::lease::Lease;
use super::session::Columns as _;
use crate::bus::StoreError;

/// The newest version of the tables that this program knows.
const VERSION: i64 = 2;

/// Serialises the hosts that create or upgrade the tables: "Sbus".
const MIGRATION_LOCK: i64 = 0x5362_7573;

/// A step from one version of the tables to the next one.
struct Migration {
    /// The version that it makes.
    version: i64,
    sql: &'static str,
}

/// The steps, in order.
///
/// Text that may have any character is stored as bytes, because PostgreSQL's text cannot have U+0000. Names are
/// compared by their bytes, independently of the collation of the database.
const MIGRATIONS: [Migration; 2] =
    [Migration { version: 1, sql: FIRST_TABLES }, Migration { version: CLUSTER, sql: CLUSTER_TABLES }];

/// The first version with what hosts need to share their work.
const CLUSTER: i64 = 2;

const CLUSTER_TABLES: &str = r#"
-- How other hosts connect to a host that shares its work.
ALTER TABLE hosts ADD COLUMN address text, ADD COLUMN certificate bytea, ADD COLUMN token bytea;

-- The files of the plugin folders of all hosts. A file without content was removed.
CREATE TABLE plugin_files (
    name       text COLLATE "C" PRIMARY KEY,
    generation bigint NOT NULL UNIQUE,
    digest     text COLLATE "C",
    content    bytea,
    stored_at  timestamptz NOT NULL
);

-- The newest generation of any file, in one row.
CREATE TABLE plugin_file_generation (
    last bigint NOT NULL
);
INSERT INTO plugin_file_generation VALUES (0);
"#;

const FIRST_TABLES: &str = r#"
-- What identifies the store, in one row: the key from which ids of published events are derived, and how often the
-- store has been opened.
CREATE TABLE store (
    secret bytea  NOT NULL,
    runs   bigint NOT NULL
);

-- One row for each run of a host. It is the lease of the host, the fence of its transactions, and the receipt of its
-- commits.
CREATE TABLE hosts (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    identity text        NOT NULL,
    name     text        NOT NULL,
    version  text        NOT NULL,
    joined   timestamptz NOT NULL,
    seen     timestamptz NOT NULL,
    commits  bigint      NOT NULL,
    ended    text
);
CREATE INDEX hosts_present ON hosts (number) WHERE ended IS NULL;

-- Names of event types, so that events carry a number.
CREATE TABLE types (
    id   bigint PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- The log. `identity` is a digest of `id` and `source`, which may be too long for an index. The columns from
-- `correlation` to `holder` repeat parts of `extensions` and `source` for their indexes.
CREATE TABLE events (
    position           bigint PRIMARY KEY,
    identity           bytea NOT NULL UNIQUE,
    type               bigint NOT NULL,
    id                 text COLLATE "C" NOT NULL,
    source             text COLLATE "C" NOT NULL,
    subject            text COLLATE "C",
    time               text COLLATE "C",
    datacontenttype    text COLLATE "C",
    dataschema         text COLLATE "C",
    extensions         text COLLATE "C",
    correlation        text COLLATE "C",
    correlation_source text COLLATE "C",
    holder             text COLLATE "C",
    data               bytea,
    stored_at          bigint NOT NULL,
    bytes              bigint NOT NULL
);
CREATE INDEX events_by_id ON events (left(id, 200), position);
CREATE INDEX events_by_type ON events (type, position);
CREATE INDEX events_by_correlation ON events (left(correlation, 200), position) WHERE correlation IS NOT NULL;

-- The log as a whole, in one row: its newest position, the position up to which events were deleted, the bytes of all
-- events, and when the newest was stored.
CREATE TABLE log (
    head   bigint NOT NULL,
    floor  bigint NOT NULL,
    bytes  bigint NOT NULL,
    newest bigint NOT NULL
);
INSERT INTO log VALUES (0, 0, 0, 0);

-- Events that enter the log later.
CREATE TABLE scheduled (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    due      bigint NOT NULL,
    identity bytea NOT NULL UNIQUE,
    id       text COLLATE "C" NOT NULL,
    source   text COLLATE "C" NOT NULL,
    type     text COLLATE "C" NOT NULL,
    producer text COLLATE "C",
    event    text COLLATE "C" NOT NULL
);
CREATE INDEX scheduled_by_due ON scheduled (due, number);

-- What plugins declare to be published at certain times.
CREATE TABLE schedules (
    plugin   text COLLATE "C" NOT NULL,
    name     text COLLATE "C" NOT NULL,
    schedule text COLLATE "C" NOT NULL,
    next     bigint,
    PRIMARY KEY (plugin, name)
);
CREATE INDEX schedules_by_next ON schedules (next);

-- Subscriptions, and replays of them; only replays have values in the columns `replay_*`. Every event that one selects,
-- up to its cursor, has been handled, or has a row in `pending` or in `dead_letters`.
CREATE TABLE subscriptions (
    number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner         text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    dynamic       boolean NOT NULL,
    definition    text COLLATE "C" NOT NULL,
    cursor        bigint NOT NULL,
    selects_after bigint NOT NULL,
    paused_by     bigint NOT NULL,
    orphaned      boolean NOT NULL,
    replay_of     bigint,
    replay_until  bigint,
    replay_rate   bigint,
    replay_filter text COLLATE "C"
);
CREATE UNIQUE INDEX subscriptions_by_name ON subscriptions (owner, name) WHERE replay_of IS NULL;

-- Plugins to which nothing is delivered.
CREATE TABLE drained (
    plugin text COLLATE "C" PRIMARY KEY
);

-- Deliveries up to the cursor that are not handled: in flight, or waiting for another attempt, or for the turn of their
-- ordering key.
CREATE TABLE pending (
    subscription bigint NOT NULL,
    position     bigint NOT NULL,
    key          bytea,
    attempts     bigint NOT NULL,
    due          bigint NOT NULL,
    replayed     bigint NOT NULL,
    history      text COLLATE "C" NOT NULL,
    edited       bytea,
    redriven_at  bigint,
    PRIMARY KEY (subscription, position)
);
CREATE INDEX pending_by_due ON pending (subscription, due, position);
CREATE INDEX pending_by_key ON pending (subscription, key, position) WHERE key IS NOT NULL;
CREATE INDEX pending_by_position ON pending (position);

CREATE TABLE dead_letters (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription bigint NOT NULL,
    position     bigint NOT NULL,
    key          bytea,
    parks        boolean NOT NULL,
    replay       boolean NOT NULL,
    cause        text COLLATE "C" NOT NULL,
    reason       bytea NOT NULL,
    signature    bytea NOT NULL,
    digest       text COLLATE "C",
    attempts     bigint NOT NULL,
    history      text COLLATE "C" NOT NULL,
    dead_at      bigint NOT NULL,
    edited       bytea
);
CREATE INDEX dead_letters_by_subscription ON dead_letters (subscription, cause, number);
CREATE INDEX dead_letters_by_position ON dead_letters (position);

-- What operators have decided about groups of dead letters. `newest` is the newest dead letter at that time.
CREATE TABLE group_marks (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription bigint NOT NULL,
    cause        text COLLATE "C" NOT NULL,
    signature    bytea NOT NULL,
    digest       text COLLATE "C" NOT NULL,
    status       bigint NOT NULL,
    since        bigint NOT NULL,
    set_by       text COLLATE "C",
    newest       bigint NOT NULL
);
CREATE UNIQUE INDEX group_marks_by_group ON group_marks (subscription, cause, digest, sha256(signature));

-- What plugins keep. Versions tell whether a value is still the one that was read.
CREATE TABLE state (
    plugin  text COLLATE "C" NOT NULL,
    key     bytea NOT NULL,
    value   bytea NOT NULL,
    version bigint NOT NULL,
    made    bigint NOT NULL,
    PRIMARY KEY (plugin, key)
);

-- Sequences, from which plugins draw numbers.
CREATE TABLE sequences (
    plugin text COLLATE "C" NOT NULL,
    name   bytea NOT NULL,
    next   bigint NOT NULL,
    PRIMARY KEY (plugin, name)
);

-- The size of the events in the log that count against each holder: a plugin, or a producer.
CREATE TABLE publishers (
    plugin text COLLATE "C" PRIMARY KEY,
    bytes  bigint NOT NULL
);

-- Endpoints that have asked to be left alone for a while.
CREATE TABLE holds (
    endpoint text COLLATE "C" NOT NULL,
    until    bigint NOT NULL,
    reason   bytea NOT NULL
);
"#;

/// Creates the schema and its tables if there are none. Older tables stay as they are, because another host may have
/// the lease on them.
///
/// # Errors
/// If the schema is one of another program or of a newer Sandbus, or this user may not create tables.
pub(super) fn create(connection: &PgConnection) -> Result<(), StoreError> {
    in_migration(connection, |found| match found {
        Some(_) => Ok(()),
        None => {
            create_schema(connection)?;
            migrate(connection, 0)?;
            let mut secret = [0; 32];
            getrandom::fill(&mut secret)
                .map_err(|error| PostgresError::Local(format!("no random numbers: {error}")))?;
            connection.execute("INSERT INTO store (secret, runs) VALUES ($1, 0)", &[&&secret[..]]).map(drop)
        }
    })
}

/// Upgrades older tables. Only the host that has the lease may do so. Every version has the table `hosts` with the
/// columns of version 1, so that hosts of all versions respect each other's leases.
///
/// # Errors
/// If a newer Sandbus has upgraded the tables, or this user may not change them.
pub(super) fn upgrade(connection: &PgConnection) -> Result<(), StoreError> {
    in_migration(connection, |found| migrate(connection, found.unwrap_or(0)))
}

/// Upgrades older tables if no host has the lease on them.
///
/// # Errors
/// As [`upgrade`].
pub(super) fn upgrade_unused(connection: &PgConnection) -> Result<(), StoreError> {
    in_migration(connection, |found| {
        connection.run("LOCK TABLE hosts IN SHARE ROW EXCLUSIVE MODE")?;
        match Lease::holder(connection)? {
            Some(_) => Ok(()),
            None => migrate(connection, found.unwrap_or(0)),
        }
    })
}

/// Runs a change of the tables, with their version, in a transaction of its own. One host at a time does so.
fn in_migration(
    connection: &PgConnection,
    change: impl FnOnce(Option<i64>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let schema = &connection.server.url.schema;
    connection.run("BEGIN")?;
    let lock = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
    let changed = connection.query(lock, &[&(MIGRATION_LOCK as i32), schema]).and_then(|_| version(connection));
    let changed = changed.and_then(|found| match found {
        Some(found) if found > VERSION => {
            let (newest, own) = (VERSION, env!("CARGO_PKG_VERSION"));
            Err(PostgresError::Newer { schema: schema.clone(), found, newest, own }.into())
        }
        found => change(found),
    });
    if let Err(error) = changed {
        // Without a connection, the server rolls back.
        drop(connection.run("ROLLBACK"));
        return Err(error);
    }
    connection.run("COMMIT")
}

/// Runs the steps from a version to the newest one.
fn migrate(connection: &PgConnection, from: i64) -> Result<(), StoreError> {
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > from) {
        connection.run(migration.sql)?;
        connection.execute("UPDATE sandbus_version SET version = $1", &[&migration.version])?;
    }
    Ok(())
}

/// Whether the schema has a store, of any version.
///
/// # Errors
/// If the database cannot be read, or the schema is one of another program.
pub(super) fn has_store(connection: &PgConnection) -> Result<bool, StoreError> {
    Ok(version(connection)?.is_some())
}

/// Whether hosts may advertise themselves in this version of the schema.
///
/// # Errors
/// If the database cannot be read.
pub(super) fn has_advertisements(connection: &PgConnection) -> Result<bool, StoreError> {
    Ok(version(connection)?.is_some_and(|version| version >= CLUSTER))
}

/// The version of the tables. None if the schema has no tables.
fn version(connection: &PgConnection) -> Result<Option<i64>, StoreError> {
    let schema = &connection.server.url.schema;
    let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY c.relname";
    let tables: Vec<String> =
        connection.query(sql, &[schema])?.iter().map(|row| row.column(0)).collect::<Result<_, _>>()?;
    if tables.iter().any(|table| table == "sandbus_version") {
        let row = connection.query_one("SELECT version FROM sandbus_version", &[])?;
        return row.map(|row| row.column(0)).transpose();
    }
    match tables.into_iter().next() {
        None => Ok(None),
        Some(table) => Err(PostgresError::Foreign { schema: schema.clone(), table }.into()),
    }
}

fn create_schema(connection: &PgConnection) -> Result<(), StoreError> {
    let schema = &connection.server.url.schema;
    let exists = connection.query_one("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[schema])?;
    if exists.is_none() {
        connection.run(&format!("CREATE SCHEMA \"{schema}\""))?;
    }
    connection.run("CREATE TABLE sandbus_version (version bigint NOT NULL); INSERT INTO sandbus_version VALUES (0)")
}
