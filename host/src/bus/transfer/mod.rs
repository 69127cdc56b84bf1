//! The contents of a store as tables of plain values, to copy them from one kind of store to another.

mod tables;

use sha2::{Digest as _, Sha256};

use super::StoreError;
pub(in crate::bus) use tables::{Column, ColumnKind, TABLES, Table, column};

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bus) enum Value {
    /// No value.
    Null,
    /// A number. A flag is zero or one.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// The size in memory, in bytes.
    fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Null | Self::Integer(_) => 0,
                Self::Text(text) => text.len(),
                Self::Bytes(bytes) => bytes.len(),
            }
    }
}

/// The values of a row, in the order of its table's columns.
pub(in crate::bus) type Row = Vec<Value>;

/// What a store has once, apart from its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bus) struct StoreHeader {
    /// The newest position of the log.
    pub(in crate::bus) head: i64,
    /// The position up to which events were deleted.
    pub(in crate::bus) floor: i64,
    /// The size of all events, in bytes.
    pub(in crate::bus) bytes: i64,
    /// When the newest event was stored, in milliseconds since 1970.
    pub(in crate::bus) newest: i64,
    /// The key from which ids of published events are derived.
    pub(in crate::bus) secret: Vec<u8>,
    /// How often the store has been opened. Versions of the state depend on it, so it never becomes smaller.
    pub(in crate::bus) runs: i64,
    /// The largest number that each table of [`NUMBERED`] has given to a row. No number is given twice.
    pub(in crate::bus) last_numbers: [i64; NUMBERED.len()],
}

/// The tables that number their rows, and never give a number twice.
pub(in crate::bus) const NUMBERED: [&str; 3] = ["subscriptions", "dead_letters", "group_marks"];

/// How many rows are read and written at a time.
pub(in crate::bus) const CHUNK_ROWS: usize = 256;
/// The size of the rows that are written at a time, in bytes. One row may be larger.
const CHUNK_BYTES: usize = 8 << 20;

/// A store whose tables can be read. Nobody else uses the store as long as this value exists.
pub(in crate::bus) trait TableSource {
    /// What the store has once.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn header(&self) -> Result<StoreHeader, StoreError>;

    /// Whether a table has rows.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn has_rows(&self, table: &Table) -> Result<bool, StoreError>;

    /// Calls a function with each row of a table, in the order of the table's key.
    ///
    /// # Errors
    /// If the store cannot be read, or the error of the function.
    fn read(&self, table: &Table, each: &mut dyn FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError>;
}

/// A store that receives tables, in one transaction.
pub(in crate::bus) trait TableTarget: TableSource {
    /// Adds rows to a table.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn insert(&self, table: &Table, rows: Vec<Row>) -> Result<(), StoreError>;

    /// Sets what the store has once.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn set_header(&self, header: &StoreHeader) -> Result<(), StoreError>;

    /// Commits everything durably. Without this call, the store stays empty.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// The number of a table's rows, and a digest of their values.
#[derive(Clone, Debug, Default)]
pub(in crate::bus) struct TableDigest {
    rows: u64,
    hasher: Sha256,
}

impl TableDigest {
    /// Reads a table.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(in crate::bus) fn of(source: &dyn TableSource, table: &Table) -> Result<Self, StoreError> {
        let mut digest = Self::default();
        source.read(table, &mut |row| {
            digest.add(&row);
            Ok(())
        })?;
        Ok(digest)
    }

    fn add(&mut self, row: &Row) {
        self.rows += 1;
        for value in row {
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Integer(number) => (1, &number.to_le_bytes()),
                Value::Text(text) => (2, text.as_bytes()),
                Value::Bytes(bytes) => (3, bytes),
            };
            self.hasher.update([kind]);
            self.hasher.update((bytes.len() as u64).to_le_bytes());
            self.hasher.update(bytes);
        }
    }

    /// The number of rows.
    pub(in crate::bus) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether two tables have the same rows.
    pub(in crate::bus) fn equals(self, other: Self) -> bool {
        self.rows == other.rows && self.hasher.finalize() == other.hasher.finalize()
    }
}

/// Copies a table. Returns what was read.
///
/// # Errors
/// If one of the stores fails.
pub(in crate::bus) fn copy_table(
    source: &dyn TableSource,
    target: &dyn TableTarget,
    table: &Table,
) -> Result<TableDigest, StoreError> {
    let (mut digest, mut chunk, mut bytes) = (TableDigest::default(), Vec::new(), 0);
    source.read(table, &mut |row| {
        digest.add(&row);
        bytes += row.iter().map(Value::size_bytes).sum::<usize>();
        chunk.push(row);
        if chunk.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
            return Ok(());
        }
        bytes = 0;
        target.insert(table, std::mem::take(&mut chunk))
    })?;
    if !chunk.is_empty() {
        target.insert(table, chunk)?;
    }
    Ok(digest)
}
