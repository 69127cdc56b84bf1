//! Opens the bus in a directory: the lock, the checks, the connections.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::readers::SqliteReaders;
use super::{checkpoint, copy, error, foreign, integrity, schema};
use crate::bus::engine::store::Readers;
use crate::bus::engine::{DurableBus, EngineState, OpenedStore};
use crate::bus::{OpenError, Settings, StoreError, StoreErrorKind};
use crate::clock::Clock;
use crate::files;
use crate::lock::Locked;

/// A store up to this size, in bytes, is verified before it is used. A larger one is verified concurrently.
const CHECK_FIRST_BYTES: u64 = 32 << 20;

/// Opens the bus in a directory, which is created if it is missing. Must be called in a tokio runtime.
///
/// # Errors
/// If the directory cannot be used, another process has it open, or its store cannot be read.
pub fn open(directory: &Path, clock: Clock, settings: Settings) -> Result<DurableBus, OpenError> {
    let unusable = |error| error::unusable(directory, error);
    files::make_directory(directory).map_err(unusable)?;
    let lock = Locked::try_new(directory).map_err(unusable)?;
    let lock = lock.ok_or_else(|| error::in_use(directory))?;
    copy::remove_incomplete(directory);
    let path = directory.join(copy::FILE);
    foreign::check_file(&path).map_err(|error| error::unreadable(path.clone(), error))?;
    // SQLite gives the files that it makes next to the store the store's own permissions.
    drop(files::open_private(&path).map_err(unusable)?);
    let bus = open_store(&path, lock, clock, settings).map_err(|error| error::unreadable(path, error))?;
    // Only now is it known that the files are ours.
    tighten(directory);
    // A new directory and its entries must survive a power failure.
    let synced = files::sync_directory(directory);
    synced.and_then(|()| files::sync_directory(files::parent(directory))).map_err(unusable)?;
    Ok(bus)
}

fn open_store(path: &Path, lock: Locked, clock: Clock, settings: Settings) -> Result<DurableBus, StoreError> {
    integrity::check_wal(path)?;
    let connection = schema::open(path, clock.now())?;
    let is_small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= CHECK_FIRST_BYTES);
    if is_small {
        integrity::check_store(&connection, &schema::summed())?;
    }
    let readers = Arc::new(SqliteReaders::new(path.to_owned())?);
    let store = OpenedStore {
        readers: Arc::clone(&readers) as Arc<dyn Readers>,
        writer: Box::new(connection),
        held: Box::new(lock),
    };
    let started = DurableBus::start(store, clock, settings)?;
    if !is_small {
        verify_in_background(started.shared(), Arc::clone(&readers));
    }
    let (commands, shared) = (started.commands(), Arc::clone(started.shared()));
    tokio::spawn(checkpoint::checkpoint(commands, shared, readers, path.to_owned()));
    Ok(started)
}

/// Whether an entry of the data directory is one that the host creates.
fn is_own(name: &OsStr) -> bool {
    const NAMES: [&str; 6] = ["audit", "cache", "generations", "host-id", "lock", "routes"];
    const PREFIXES: [&str; 6] = ["backup-", "bus.db", "ledger", "lock.partial-", "routes.partial-", "tokens."];
    let name = name.to_string_lossy();
    NAMES.contains(&&*name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Makes files private that an earlier version or another program left readable.
fn tighten(directory: &Path) {
    let path = directory.display();
    let files::Tightened { changed, refused } = files::tighten(directory, is_own);
    if changed > 0 {
        tracing::info!(%path, changed, "files of the data directory were accessible to other users; access is now restricted to the owner");
    }
    if refused > 0 {
        tracing::warn!(%path, refused, "files of the data directory belong to another user and are accessible to others; restrict them with chmod");
    }
}

/// Verifies a large store while it is in use, and fails the bus if it is damaged.
fn verify_in_background(shared: &Arc<EngineState>, readers: Arc<SqliteReaders>) {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || {
        match readers.read_store(|connection| integrity::check_store(connection, &schema::summed())) {
            Ok(()) => tracing::debug!("the store is intact"),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                tracing::warn!(%error, "could not verify the store; it is verified at the next start");
            }
            Err(error) => shared.fail(error.to_string()),
        }
    });
}
