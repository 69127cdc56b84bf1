//! Starts an engine on a store: loads what is kept in memory, and starts the writer and the background tasks.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::command::Command;
use super::engine_state::{EngineState, Types};
use super::load::load_feeds;
use super::sequences::Sequences;
use super::state_changes::StateChangeLog;
use super::store::{Readers, WriterConnection};
use super::writer::Writer;
use super::{BusResources, DurableBus, background};
use crate::bus::endpoint_holds::EndpointHolds;
use crate::bus::group_commit::{self, ChangeReceiver, WeakQueue};
use crate::bus::reply_waiters::ReplyWaiters;
use crate::bus::{Catalogue, Reachability, Settings, StoreError, StoreErrorKind};
use crate::clock::Clock;
use crate::event::IdKey;

/// A store that is open, and that an engine takes over.
pub(in crate::bus) struct OpenedStore {
    pub(in crate::bus) readers: Arc<dyn Readers>,
    pub(in crate::bus) writer: Box<dyn WriterConnection>,
    /// Held while the bus exists.
    pub(in crate::bus) held: Box<dyn Any + Send + Sync>,
}

impl DurableBus {
    /// Starts an engine on a store. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub(in crate::bus) fn start(store: OpenedStore, clock: Clock, settings: Settings) -> Result<Self, StoreError> {
        let OpenedStore { readers, writer: rows, held } = store;
        rows.forget_unused_types()?;
        let types = rows.types()?.into_iter().map(|(number, name)| (name, number)).collect();
        let types = Types { numbers: types };
        let head = rows.log()?.head;
        let feeds = load_feeds(&*rows, &types, head)?;
        let next_scheduled = rows.next_scheduled()?;
        let drained = rows.drained()?.into_iter().collect();
        let holds = EndpointHolds::new(rows.holds()?);
        let secret = if settings.repeatable_ids { b"repeatable".to_vec() } else { rows.secret()? };
        let ids = IdKey::new(&secret);
        let shared = Arc::new(EngineState {
            clock,
            settings: ArcSwap::from_pointee(settings),
            readers,
            feeds: RwLock::default(),
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
            is_shared: AtomicBool::new(false),
        });
        shared.set_feeds(feeds.into_iter());
        let (commands, waiting) = group_commit::new();
        let writer = Writer::new(rows, Arc::clone(&shared))?;
        let thread = start_writer(writer, waiting, Arc::clone(&shared))?;
        tokio::spawn(background::append_due(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(background::watch_clock(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(background::probe(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(background::compact(commands.downgrade(), Arc::clone(&shared)));
        let resources = Arc::new(BusResources { writer: Mutex::new(Some(thread)), _held: held });
        Ok(Self { shared, commands, resources })
    }

    /// The state that the writer and the readers share, for tasks of the store.
    pub(in crate::bus) fn shared(&self) -> &Arc<EngineState> {
        &self.shared
    }

    /// Sends commands of the store, and does not keep the bus alive.
    pub(in crate::bus) fn commands(&self) -> WeakQueue<Command> {
        self.commands.downgrade()
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
    thread.map_err(|error| StoreError::new(StoreErrorKind::Failed, format!("no thread for the writer: {error}")))
}

/// The number of a store, from a digest of its secret.
fn store_id(secret: &[u8]) -> u64 {
    use sha2::Digest as _;
    let digest = sha2::Sha256::new().chain_update(b"store id").chain_update(secret).finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
