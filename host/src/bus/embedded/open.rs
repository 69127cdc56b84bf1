//! Opens the bus: the directory, the checks, the threads and tasks.

use arc_swap::ArcSwap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;

use tokio::sync::{Notify, watch};

use super::command::Command;
use super::engine_state::{EngineState, Types};
use super::error::{self, EngineError};
use super::load::load_subscriptions;
use super::readers::Readers;
use super::sequences::Sequences;
use super::state_changes::StateChangeLog;
use super::writer::Writer;
use super::{BusResources, Embedded, background, copy, foreign, integrity, rows, schema};
use crate::bus::endpoint_holds::EndpointHolds;
use crate::bus::group_commit::{self, ChangeReceiver};
use crate::bus::reply_waiters::ReplyWaiters;
use crate::bus::{Catalogue, OpenError, Reachability, Settings, StoreError, StoreErrorKind};
use crate::clock::Clock;
use crate::event::IdKey;
use crate::files;
use crate::lock::Locked;

/// A store up to this size, in bytes, is verified before it is used. A larger one is verified concurrently.
const CHECK_FIRST_BYTES: u64 = 32 << 20;

impl Embedded {
    /// Opens the bus in a directory, which is created if it is missing. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the directory cannot be used, another process has it open, or its store cannot be read.
    pub fn open(directory: &Path, clock: Clock, settings: Settings) -> Result<Self, OpenError> {
        let unusable = |error| error::unusable(directory, error);
        files::make_directory(directory).map_err(unusable)?;
        let lock = Locked::try_new(directory).map_err(unusable)?;
        let lock = lock.ok_or_else(|| error::in_use(directory))?;
        copy::remove_incomplete(directory);
        let path = directory.join(copy::FILE);
        foreign::check_file(&path).map_err(|error| error::unreadable(path.clone(), error))?;
        // SQLite gives the files that it makes next to the store the store's own permissions.
        drop(files::open_private(&path).map_err(unusable)?);
        let bus = Self::open_store(&path, lock, clock, settings).map_err(|error| error::unreadable(path, error))?;
        // Only now is it known that the files are ours.
        tighten(directory);
        // A new directory and its entries must survive a power failure.
        let synced = files::sync_directory(directory);
        synced.and_then(|()| files::sync_directory(files::parent(directory))).map_err(unusable)?;
        Ok(bus)
    }

    fn open_store(path: &Path, lock: Locked, clock: Clock, settings: Settings) -> Result<Self, StoreError> {
        integrity::check_log(path)?;
        let connection = schema::open(path, clock.now())?;
        let is_small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= CHECK_FIRST_BYTES);
        if is_small {
            integrity::check_store(&connection, &schema::summed())?;
        }
        rows::forget_unused_types(&connection)?;
        let types = rows::types(&connection)?.into_iter().map(|(number, name)| (name, number)).collect();
        let types = Types { numbers: types };
        let head = rows::log(&connection)?.head;
        let subscriptions = load_subscriptions(&connection, &types, head)?;
        let next_scheduled = rows::next_scheduled(&connection)?;
        let drained = rows::drained(&connection)?.into_iter().collect();
        let holds = EndpointHolds::new(rows::holds(&connection)?);
        let store = File::options().write(true).open(path)?;

        let secret = if settings.repeatable_ids { b"repeatable".to_vec() } else { rows::secret(&connection)? };
        let ids = IdKey::new(&secret);
        let shared = Arc::new(EngineState {
            clock,
            settings: ArcSwap::from_pointee(settings),
            readers: Arc::new(Readers::new(path.to_owned())),
            subscriptions: RwLock::default(),
            by_number: RwLock::default(),
            catalogue: watch::Sender::new(Arc::new(Catalogue { feeds: Vec::new(), drained })),
            types: RwLock::new(types),
            reply_waiters: ReplyWaiters::default(),
            ids,
            store_id: store_id(&secret),
            state_changes: Arc::new(StateChangeLog::new(head)),
            holds,
            sequences: Sequences::default(),
            head: AtomicU64::new(head.0),
            next_scheduled: watch::Sender::new(next_scheduled),
            committed: Notify::new(),
            failure: watch::Sender::new(None),
            reachable: watch::Sender::new(Reachability::Reachable),
            store,
        });
        shared.set_subscriptions(subscriptions.into_iter());
        let (commands, waiting) = group_commit::new();
        let writer = Writer::new(connection, Arc::clone(&shared))?;
        let thread = start_writer(writer, waiting, Arc::clone(&shared))?;
        if !is_small {
            verify_in_background(&shared);
        }
        tokio::spawn(background::promote(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(background::watch_clock(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(background::probe(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(background::checkpoint(commands.downgrade(), Arc::clone(&shared), path.to_owned()));
        tokio::spawn(background::compact(commands.downgrade(), Arc::clone(&shared)));
        let resources = Arc::new(BusResources { writer: Mutex::new(Some(thread)), _lock: lock });
        Ok(Self { shared, commands, resources })
    }
}

/// Whether an entry of the data directory is one that the host creates.
fn is_own(name: &OsStr) -> bool {
    const NAMES: [&str; 5] = ["audit", "cache", "generations", "lock", "routes"];
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

fn start_writer(
    writer: Writer,
    waiting: ChangeReceiver<Command>,
    shared: Arc<EngineState>,
) -> Result<JoinHandle<()>, StoreError> {
    let thread = std::thread::Builder::new().name("bus-writer".to_owned()).spawn(move || {
        // A panic is a failure: nothing more is committed.
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run(waiting)));
        match run {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail(error.to_string()),
            Err(_) => shared.fail("the store's writer panicked".to_owned()),
        }
    });
    Ok(thread.map_err(|error| EngineError::Aborted(format!("no thread for the writer: {error}")))?)
}

/// Verifies a large store while it is in use, and fails the bus if it is damaged.
fn verify_in_background(shared: &Arc<EngineState>) {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || {
        match shared.readers.read(|connection| integrity::check_store(connection, &schema::summed())) {
            Ok(()) => tracing::debug!("the store is intact"),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                tracing::warn!(%error, "could not verify the store; it is verified at the next start");
            }
            Err(error) => shared.fail(error.to_string()),
        }
    });
}

/// The number of a store, from a digest of its secret.
fn store_id(secret: &[u8]) -> u64 {
    use sha2::Digest as _;
    let digest = sha2::Sha256::new().chain_update(b"store id").chain_update(secret).finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
