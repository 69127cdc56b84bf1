//! Moves everything in a store to another store, of the same kind or another one.

use std::path::Path;

use super::embedded::EmbeddedTables;
use super::postgres::PostgresTables;
use super::transfer::{TABLES, TableDigest, TableSource, TableTarget, copy_table};
use super::{OpenError, StoreError, StoreUrl};

/// A table that was copied.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CopiedTable {
    /// The name.
    pub table: &'static str,
    /// The number of rows.
    pub rows: u64,
}

/// Why a store was not copied. The source is unchanged. Unless the commit failed, the target is empty.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// Both URLs name the same store.
    #[error("both are the store {0}; name another store with --to")]
    SameStore(StoreUrl),
    /// One of the stores cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The target has something already.
    #[error("the store {to} is not empty: the table `{table}` has rows; name an empty directory or schema with --to")]
    NotEmpty {
        /// The target.
        to: StoreUrl,
        /// A table with rows.
        table: &'static str,
    },
    /// A store failed.
    #[error("the copy failed: {0}; the source is unchanged, and the target is empty")]
    Store(#[from] StoreError),
    /// The commit failed, perhaps after it took place.
    #[error(
        "the copy is complete, but its commit failed: {0}; the source is unchanged; run the command again to see whether the target is empty"
    )]
    Commit(#[source] StoreError),
    /// The target does not have what was written.
    #[error("the table `{0}` of the target differs from that of the source; the target is empty again")]
    Differs(&'static str),
}

/// Copies a store into an empty one. Relative directories are relative to the data directory. Neither store may be in
/// use. The copy is one transaction of the target, and is compared with the source before its commit. Blocks.
///
/// # Errors
/// If one of the stores cannot be used, or the target is not empty. The target is then as before.
pub fn migrate(from: &StoreUrl, to: &StoreUrl, data: &Path) -> Result<Vec<CopiedTable>, MigrationError> {
    if from == to || from.directory(data).is_some_and(|directory| Some(directory) == to.directory(data)) {
        return Err(MigrationError::SameStore(to.clone()));
    }
    let source = open_source(from, data)?;
    let target = open_target(to, data)?;
    for table in &TABLES {
        if target.has_rows(table)? {
            return Err(MigrationError::NotEmpty { to: to.clone(), table: table.name });
        }
    }
    let mut copied = Vec::with_capacity(TABLES.len());
    for table in &TABLES {
        let read = copy_table(&*source, &*target, table)?;
        let rows = read.rows();
        if !read.equals(TableDigest::of(&*target, table)?) {
            return Err(MigrationError::Differs(table.name));
        }
        tracing::info!(table = table.name, rows, "copied");
        copied.push(CopiedTable { table: table.name, rows });
    }
    let header = source.header()?;
    target.set_header(&header)?;
    if target.header()? != header {
        return Err(MigrationError::Differs("log"));
    }
    target.commit().map_err(MigrationError::Commit)?;
    Ok(copied)
}

fn open_source(url: &StoreUrl, data: &Path) -> Result<Box<dyn TableSource>, OpenError> {
    Ok(match url {
        StoreUrl::Directory(directory) => Box::new(EmbeddedTables::open_source(&StoreUrl::resolve(directory, data))?),
        StoreUrl::Postgres(url) => Box::new(PostgresTables::open_source(url)?),
    })
}

fn open_target(url: &StoreUrl, data: &Path) -> Result<Box<dyn TableTarget>, OpenError> {
    Ok(match url {
        StoreUrl::Directory(directory) => Box::new(EmbeddedTables::open_target(&StoreUrl::resolve(directory, data))?),
        StoreUrl::Postgres(url) => Box::new(PostgresTables::open_target(url)?),
    })
}
