//! From a file to a generation: compile, check, describe. Nothing that runs is touched by it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use wasmtime::Engine;

use super::compile::{CodeCache, CompileError};
use super::screening::Exterior;
use crate::plugin::imports::linkers::Linkers;
use crate::plugin::invocation::environment::World;
use crate::plugin::manifest::descriptor::Descriptor;
use crate::plugin::manifest::digest::Digest;
use crate::plugin::manifest::mismatch::Mismatch;
use crate::plugin::manifest::settings::{Defaults, Settings};
use crate::plugin::manifest::sidecar::{Sidecar, Speaks};
use crate::plugin::run::admission::Room;
use crate::plugin::run::engine::{self, EngineConfig, EngineError};
use crate::plugin::run::generation::Generation;
use crate::plugin::run::instance_pool::Idle;
use crate::plugin::run::linked::{PrepareError, Prepared};

/// Makes generations.
pub struct Loader {
    linkers: Linkers,
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
        let linkers = Linkers::new(&engine)?;
        let cache = CodeCache::new(cache, engine.clone()).map_err(EngineError::compilers)?;
        let idle = Arc::new(Semaphore::new(config.concurrency));
        Ok(Self { linkers, cache, defaults, world, rooms: Mutex::default(), idle, _engine: engine })
    }

    /// Makes a generation of a file's bytes and its sidecar's text. Blocks for as long as it compiles.
    ///
    /// # Errors
    /// What is wrong with the file or the sidecar.
    pub fn load(&self, bytes: &[u8], sidecar: &Sidecar) -> Result<Generation, LoadError> {
        let digest = Digest::of(bytes);
        let component = self.cache.component(bytes, &digest, |component| self.screen(component))?;
        let prepared = Prepared::new(&component, &self.linkers)?;
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
        self.linkers.check_names(&exterior.imports).map_err(PrepareError::Imports)?;
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
        if let Some(room) = rooms.get(plugin).filter(|room| room.size() == size) {
            return Arc::clone(room);
        }
        let room = Arc::new(Room::new(size));
        rooms.insert(plugin.to_owned(), Arc::clone(&room));
        room
    }
}
