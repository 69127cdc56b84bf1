//! From a file to a generation: compile, check, describe. Nothing that runs is touched by it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Engine;

use super::compile::{CodeCache, CompileError, Digest};
use super::screening::Exterior;
use crate::plugin::imports::environment::World;
use crate::plugin::imports::linking::Linking;
use crate::plugin::manifest::descriptor::Descriptor;
use crate::plugin::manifest::settings::{Defaults, Mismatch, Settings};
use crate::plugin::manifest::sidecar::{Sidecar, Speaks};
use crate::plugin::run::engine::{self, EngineConfig, EngineError};
use crate::plugin::run::generation::Generation;
use crate::plugin::run::instance_pool::Idle;
use crate::plugin::run::linked::{PrepareError, Prepared};
use crate::threads::{Pace, Turn};

/// Makes generations.
pub struct Loader {
    linking: Linking,
    cache: CodeCache,
    defaults: Defaults,
    world: World,
    /// Rooms by plugin: all generations of one share it, so that a swap does not double it.
    rooms: Mutex<HashMap<String, Arc<Room>>>,
    /// Places for instances that wait for another call.
    idle: Arc<Semaphore>,
    /// Kept so that the ticker goes on.
    _engine: Engine,
}

/// How often an invocation runs again because others changed what it had read, before that counts as a
/// failure.
pub const RERUN_LIMIT: u32 = 32;

/// How many requests a plugin may have open at a time; further ones wait.
const CONNECTIONS: usize = 64;

/// What bounds a plugin's invocations.
#[derive(Debug)]
pub struct Room {
    /// Places for invocations that run at a time.
    places: Arc<Semaphore>,
    /// Held by an invocation that runs again after a conflict, so that such ones don't defeat each other.
    pub again: Arc<tokio::sync::Mutex<()>>,
    /// Places for requests that its invocations have open at a time.
    pub(crate) connections: Arc<Semaphore>,
    /// How quick its invocations have been lately.
    pub(crate) pace: Arc<Pace>,
    size: usize,
}

/// An invocation may run.
#[derive(Debug)]
pub struct Admission {
    /// Its turn on a thread.
    pub turn: Turn,
    /// What it holds until that thread is free, also if nobody waits for it any more.
    pub places: [OwnedSemaphorePermit; 2],
}

impl Room {
    /// How many places there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many places are taken.
    #[must_use]
    pub fn running(&self) -> usize {
        self.size - self.places.available_permits()
    }

    /// Waits for a place among those that all plugins share, once the plugin itself has room for another
    /// invocation: one that fills its own places keeps no other plugin waiting.
    pub async fn admit(&self, shared: &Arc<Semaphore>) -> Admission {
        let place = async |places: &Arc<Semaphore>| {
            Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed")
        };
        let own = place(&self.places).await;
        let turn = self.pace.turn().await;
        Admission { turn, places: [own, place(shared).await] }
    }

    /// Waits until nothing runs.
    pub async fn idle(&self) {
        // All places free at once.
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loader").field("defaults", &self.defaults).finish_non_exhaustive()
    }
}

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It is no plugin.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// It is another plugin than it should be.
    #[error("it is the plugin `{0}`")]
    OtherPlugin(String),
    /// Its sidecar is malformed.
    #[error("its sidecar is refused: {0}")]
    Sidecar(String),
    /// Its sidecar does not go with it.
    #[error("its sidecar is refused: {0}")]
    Mismatch(#[from] Mismatch),
}

impl Loader {
    /// Starts the engine, with compiled code kept in a directory, for plugins of a world.
    ///
    /// # Errors
    /// If the engine cannot be started.
    pub fn new(config: EngineConfig, cache: PathBuf, defaults: Defaults, world: World) -> Result<Self, EngineError> {
        let engine = engine::start(config)?;
        let linking = Linking::new(&engine)?;
        let cache = CodeCache::new(cache, engine.clone()).map_err(EngineError::compilers)?;
        let idle = Arc::new(Semaphore::new(config.concurrency));
        Ok(Self { linking, cache, defaults, world, rooms: Mutex::default(), idle, _engine: engine })
    }

    /// Makes a generation of a file's bytes and its sidecar's text. Blocks for as long as it compiles.
    ///
    /// # Errors
    /// What is wrong with the file or the sidecar.
    pub fn load(&self, bytes: &[u8], sidecar: &Sidecar) -> Result<Generation, LoadError> {
        let digest = Digest::of(bytes);
        let component = self.cache.component(bytes, &digest, |component| self.screen(component))?;
        let prepared = Prepared::new(&component, &self.linking)?;
        let speaks = prepared.speaks();
        let descriptor = match speaks {
            Speaks::ForItself => self.descriptor(&prepared, &digest)?,
            Speaks::Not { .. } => prepared.described_by(sidecar, self.world.clock.now())?,
        };
        sidecar.check_description(speaks)?;
        prepared.check_handlers(&descriptor)?;
        let settings = Settings::new(&descriptor, sidecar, &self.defaults)?;
        let room = self.room(&descriptor.name, settings.concurrency.get() as usize);
        let idle = Idle::new(Arc::clone(&self.idle));
        Ok(Generation::new(digest, Arc::new(descriptor), settings, room, prepared, self.world.clone(), idle))
    }

    /// Checks what can be seen without a compiler: whether there is something to call, and whether every import is known.
    fn screen(&self, component: &[u8]) -> Result<(), LoadError> {
        let exterior = Exterior::of(component).map_err(CompileError::Unsuitable)?;
        self.linking.check_names(&exterior.imports).map_err(PrepareError::Imports)?;
        Ok(exterior.check_exports().map_err(CompileError::Unsuitable)?)
    }

    /// Makes a generation of another file's bytes that could take the place of one: with its sidecar.
    ///
    /// # Errors
    /// What is wrong with the file, beside that sidecar too.
    pub fn load_beside(&self, bytes: &[u8], live: &Generation) -> Result<Generation, LoadError> {
        let generation = self.load(bytes, &live.settings.sidecar)?;
        match generation.name == live.name {
            true => Ok(generation),
            false => Err(LoadError::OtherPlugin(generation.name.to_string())),
        }
    }

    /// The descriptor, asked for once for each digest.
    fn descriptor(&self, prepared: &Prepared, digest: &Digest) -> Result<Descriptor, PrepareError> {
        let kept = self.cache.note(digest).and_then(|text| serde_json::from_str(&text).ok());
        if let Some(descriptor) = kept {
            return Ok(descriptor);
        }
        let descriptor = prepared.describe(self.world.clock.now())?;
        match serde_json::to_string(&descriptor) {
            Ok(text) => self.cache.keep_note(digest, &text),
            Err(error) => tracing::warn!(%error, "a descriptor could not be cached"),
        }
        Ok(descriptor)
    }

    fn room(&self, plugin: &str, size: usize) -> Arc<Room> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(plugin).filter(|room| room.size == size) {
            return Arc::clone(room);
        }
        let room = Arc::new(Room {
            places: Arc::new(Semaphore::new(size)),
            again: Arc::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            pace: Arc::default(),
            size,
        });
        rooms.insert(plugin.to_owned(), Arc::clone(&room));
        room
    }
}
