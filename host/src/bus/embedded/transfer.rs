//! Reads and fills the tables of a store that no host uses.

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSql, ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::error::{self, EmbeddedError};
use super::{copy, foreign, integrity, schema};
use crate::bus::transfer::{Column, NUMBERED, Row, StoreHeader, Table, TableSource, TableTarget, Value};
use crate::bus::{OpenError, StoreError};
use crate::clock::Clock;
use crate::files;
use crate::lock::Locked;

/// The store of a directory, which is locked.
pub(in crate::bus) struct EmbeddedTables {
    connection: Connection,
    directory: PathBuf,
    _lock: Locked,
}

impl EmbeddedTables {
    /// Opens a store to read it. Upgrades it first if an older version has written it.
    ///
    /// # Errors
    /// If there is no store, a host uses it, or it is damaged.
    pub(in crate::bus) fn open_source(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(copy::FILE);
        if !copy::has_store(directory) {
            let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "it has no store (`bus.db`)");
            return Err(error::unusable(directory, missing));
        }
        let lock = Locked::try_new(directory).map_err(|error| error::unusable(directory, error))?;
        let lock = lock.ok_or_else(|| error::in_use(directory))?;
        let open = || {
            foreign::check_file(&path)?;
            integrity::check_wal(&path)?;
            let connection = schema::open(&path, Clock::System.now())?;
            integrity::check_store(&connection, &schema::summed())?;
            // One moment, for all tables.
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection = open().map_err(|error| error::unreadable(path.clone(), error))?;
        Ok(Self { connection, directory: directory.to_owned(), _lock: lock })
    }

    /// Creates a store, or opens an empty one, to fill it.
    ///
    /// # Errors
    /// If the directory cannot be used, or a host uses it.
    pub(in crate::bus) fn open_target(directory: &Path) -> Result<Self, OpenError> {
        let unusable = |error| error::unusable(directory, error);
        files::make_directory(directory).map_err(unusable)?;
        let lock = Locked::try_new(directory).map_err(unusable)?;
        let lock = lock.ok_or_else(|| error::in_use(directory))?;
        let path = directory.join(copy::FILE);
        let open = || {
            foreign::check_file(&path)?;
            drop(files::open_private(&path)?);
            let connection = schema::open(&path, Clock::System.now())?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(connection)
        };
        let connection = open().map_err(|error| error::unreadable(path.clone(), error))?;
        Ok(Self { connection, directory: directory.to_owned(), _lock: lock })
    }
}

/// The embedded store's names of the columns of a table.
fn own_names(table: &Table) -> Vec<&'static str> {
    let own_name = |column: &Column| match (table.name, column.name) {
        ("subscriptions", "paused_by") => "stopped",
        ("dead_letters", "dead_at") => "buried_at",
        (_, name) => name,
    };
    table.columns.iter().map(own_name).collect()
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqlValue::Null),
            Self::Integer(number) => ToSqlOutput::Owned(SqlValue::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

fn value(column: ValueRef<'_>) -> Result<Value, StoreError> {
    let damaged = |what: &str| EmbeddedError::Damaged(what.to_owned());
    Ok(match column {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(_) => return Err(damaged("a column has a fraction").into()),
        ValueRef::Text(text) => {
            Value::Text(String::from_utf8(text.to_vec()).map_err(|_| damaged("a text is not UTF-8"))?)
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    })
}

impl TableSource for EmbeddedTables {
    fn header(&self) -> Result<StoreHeader, StoreError> {
        let connection = &self.connection;
        let [head, floor, bytes, newest] =
            connection.query_row("SELECT head, floor, bytes, newest FROM log", [], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })?;
        let mut last_numbers = [0; NUMBERED.len()];
        for (last, table) in last_numbers.iter_mut().zip(NUMBERED) {
            let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?1";
            *last = connection.query_row(sql, [table], |row| row.get(0))?;
        }
        Ok(StoreHeader {
            head,
            floor,
            bytes,
            newest,
            secret: connection.query_row("SELECT value FROM secret", [], |row| row.get(0))?,
            runs: connection.query_row("SELECT number FROM runs", [], |row| row.get(0))?,
            last_numbers,
        })
    }

    fn has_rows(&self, table: &Table) -> Result<bool, StoreError> {
        Ok(self.connection.prepare(&format!("SELECT 1 FROM {} LIMIT 1", table.name))?.exists([])?)
    }

    fn read(&self, table: &Table, each: &mut dyn FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let columns = own_names(table);
        let sql = format!("SELECT {} FROM {} ORDER BY {}", columns.join(", "), table.name, table.key);
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each((0..columns.len()).map(|index| value(row.get_ref(index)?)).collect::<Result<_, _>>()?)?;
        }
        Ok(())
    }
}

impl TableTarget for EmbeddedTables {
    fn insert(&self, table: &Table, rows: Vec<Row>) -> Result<(), StoreError> {
        let columns = own_names(table);
        let number_of = |name: &str| columns.iter().position(|column| *column == name).map(|index| index + 1);
        let parameter = |name: &str| number_of(name).map(|number| format!("?{number}"));
        let summed = schema::summed();
        let summed: Option<Vec<String>> =
            summed.get(table.name).and_then(|summed| summed.split(", ").map(parameter).collect());
        let summed = summed.ok_or_else(|| EmbeddedError::Aborted(format!("no checksum for `{}`", table.name)))?;
        let parameters: Vec<_> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
        let sql = format!(
            "INSERT INTO {} ({}, sum) VALUES ({}, checksum({}))",
            table.name,
            columns.join(", "),
            parameters.join(", "),
            summed.join(", ")
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        for row in rows {
            statement.execute(params_from_iter(row))?;
        }
        Ok(())
    }

    fn set_header(&self, header: &StoreHeader) -> Result<(), StoreError> {
        let StoreHeader { head, floor, bytes, newest, secret, runs, last_numbers } = header;
        self.connection.execute(
            "UPDATE log SET head = ?1, floor = ?2, bytes = ?3, newest = ?4, sum = checksum(?1, ?2, ?3, ?4)",
            [head, floor, bytes, newest],
        )?;
        self.connection.execute("UPDATE secret SET value = ?1, sum = checksum(?1)", [secret])?;
        self.connection.execute("UPDATE runs SET number = ?1, sum = checksum(?1)", [runs])?;
        for (table, last) in NUMBERED.into_iter().zip(last_numbers) {
            self.connection.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [table])?;
            self.connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, last))?;
        }
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        integrity::check_store(&self.connection, &schema::summed())?;
        // A new directory and its entries must survive a power failure.
        files::sync_directory(&self.directory)?;
        files::sync_directory(files::parent(&self.directory))?;
        Ok(self.connection.execute_batch("COMMIT")?)
    }
}
