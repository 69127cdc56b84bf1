//! The engine that this host uses now, and what the parts of a cluster bus share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bus::{Catalogue, Reachability, Settings, SharedBus};
use crate::subscription::Declaration;

/// Why changes are refused while no host runs the engine.
pub(super) const NO_ACTIVE_HOST: &str = "no host is active; another one takes over soon";

/// The role of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It runs the engine.
    Active,
    /// It uses the engine of another host.
    Member,
}

/// The engine that this host uses now.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    pub(super) bus: SharedBus,
    pub(super) role: Role,
    /// Counts the engines of this run. The feeds of a former engine are replaced.
    pub(super) number: u64,
}

/// What the parts of a cluster bus share.
#[derive(Debug)]
pub(super) struct Shared {
    engine: watch::Sender<Option<Engine>>,
    /// The number of engines so far.
    engines: AtomicU64,
    pub(super) catalogue: watch::Sender<Arc<Catalogue>>,
    pub(super) reachability: watch::Sender<Reachability>,
    pub(super) failure: watch::Sender<Option<String>>,
    /// What the plugins of this host declare. A host declares it to the engine when it becomes active.
    declared: Mutex<BTreeMap<String, Declaration>>,
    declarations_version: AtomicU64,
    pub(super) settings: Mutex<Settings>,
    pub(super) store_id: Mutex<u64>,
    /// Cancelled when the bus is closed.
    pub(super) closing: CancellationToken,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        let reason = NO_ACTIVE_HOST.to_owned();
        Self {
            engine: watch::Sender::new(None),
            engines: AtomicU64::new(0),
            catalogue: watch::Sender::default(),
            reachability: watch::Sender::new(Reachability::Unreachable { reason }),
            failure: watch::Sender::new(None),
            declared: Mutex::default(),
            declarations_version: AtomicU64::new(0),
            settings: Mutex::new(settings),
            store_id: Mutex::new(0),
            closing: CancellationToken::new(),
        }
    }

    /// The engine that this host uses now, and each later one.
    pub(super) fn engine(&self) -> watch::Receiver<Option<Engine>> {
        self.engine.subscribe()
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn declared(&self) -> MutexGuard<'_, BTreeMap<String, Declaration>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the plugins of this host declare.
    pub(super) fn declarations(&self) -> BTreeMap<String, Declaration> {
        self.declared().clone()
    }

    /// Counts the changes of the declarations.
    pub(super) fn declarations_version(&self) -> u64 {
        self.declarations_version.load(Ordering::SeqCst)
    }

    /// Notes what a plugin declares, or that it declares nothing any more.
    pub(super) fn note_declared(&self, plugin: &str, declaration: Option<Declaration>) {
        let mut declared = self.declared();
        match declaration {
            Some(declaration) => drop(declared.insert(plugin.to_owned(), declaration)),
            None => drop(declared.remove(plugin)),
        }
        drop(declared);
        // Before the caller looks at the role of this host.
        self.declarations_version.fetch_add(1, Ordering::SeqCst);
    }

    /// Uses an engine from now on.
    pub(super) fn set_engine(&self, bus: &SharedBus, role: Role) {
        *self.store_id.lock().unwrap_or_else(PoisonError::into_inner) = bus.store_id();
        let number = self.engines.fetch_add(1, Ordering::Relaxed);
        self.engine.send_replace(Some(Engine { bus: Arc::clone(bus), role, number }));
        // After the engine, in which a reader of the catalogue looks for the feed.
        self.follow_catalogue(bus);
    }

    /// Whether this host has used an engine.
    pub(super) fn has_had_engine(&self) -> bool {
        self.engines.load(Ordering::Relaxed) > 0
    }

    /// No engine can be used from now on.
    pub(super) fn clear_engine(&self) {
        self.set_reachability(Reachability::Unreachable { reason: NO_ACTIVE_HOST.to_owned() });
        self.engine.send_replace(None);
    }

    pub(super) fn set_reachability(&self, reachability: Reachability) {
        self.reachability.send_if_modified(|known| {
            let is_new = *known != reachability;
            if is_new {
                *known = reachability;
            }
            is_new
        });
    }

    pub(super) fn fail(&self, reason: String) {
        self.failure.send_replace(Some(reason));
    }

    /// Takes the catalogue over from the engine, if it has changed.
    pub(super) fn follow_catalogue(&self, bus: &SharedBus) {
        let current = Arc::clone(&bus.catalogue().borrow());
        self.catalogue.send_if_modified(|catalogue| {
            let is_new = !Arc::ptr_eq(catalogue, &current);
            if is_new {
                *catalogue = current;
            }
            is_new
        });
    }
}
