//! Moves the bus of a host that does not run to another store.

use std::path::Path;

use crate::bus::{self, CopiedTable, StoreUrl, StoreUrlError};

/// A bus that was copied.
#[derive(Debug, serde::Serialize)]
pub struct MigratedBus {
    /// The store that was read.
    pub from: String,
    /// The store that was filled.
    pub to: String,
    /// What was copied.
    pub tables: Vec<CopiedTable>,
}

/// Copies a bus from one store to another empty store. Each one is a directory or a URL. Blocks.
///
/// # Errors
/// If one of the stores cannot be used, or the target is not empty.
pub fn migrate(from: &str, to: &str) -> anyhow::Result<MigratedBus> {
    let (from, to) = (parse(from)?, parse(to)?);
    let tables = bus::migrate(&from, &to, Path::new("."))?;
    Ok(MigratedBus { from: from.to_string(), to: to.to_string(), tables })
}

/// Parses a store's URL, or the path of its directory.
fn parse(text: &str) -> Result<StoreUrl, StoreUrlError> {
    match StoreUrl::parse(text) {
        Err(StoreUrlError::NoScheme) if !text.is_empty() => Ok(StoreUrl::Directory(text.into())),
        parsed => parsed,
    }
}
