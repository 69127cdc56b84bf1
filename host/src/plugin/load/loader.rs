//! Loads generations: compiles, describes and checks a component. Running plugins are not affected.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::Semaphore;
use wasmtime::Engine;

use super::compile::{CodeCache, CompileError};
use super::program::{PreparedRuntimePaths, PreparedRuntimes, Program, ProgramError};
use super::screening::ComponentInterface;
use crate::plugin::imports::linkers::Linkers;
use crate::plugin::invocation::environment::Environment;
use crate::plugin::manifest::descriptor::Descriptor;
use crate::plugin::manifest::digest::Digest;
use crate::plugin::manifest::settings::{HostSettings, Settings};
use crate::plugin::manifest::sidecar::{DescriptionSource, Sidecar};
use crate::plugin::manifest::sidecar_error::SidecarError;
use crate::plugin::run::admission::ConcurrencyLimiter;
use crate::plugin::run::engine::{self, EngineConfig, EngineError};
use crate::plugin::run::generation::{Generation, LoadedFile};
use crate::plugin::run::instance_pool::InstancePool;
use crate::plugin::run::linked::{LinkError, LinkedComponent};

/// Loads generations.
pub struct Loader {
    linkers: Linkers,
    cache: CodeCache,
    /// The runtimes of scripts' programs, in development.
    runtimes: Option<PreparedRuntimes>,
    host: RwLock<Arc<HostSettings>>,
    environment: Environment,
    /// The limiter of each plugin. All its generations share it, so that a swap does not double the limit.
    limiters: Mutex<HashMap<String, Arc<ConcurrencyLimiter>>>,
    /// Permits for idle instances.
    idle: Arc<Semaphore>,
    /// Keeps the ticker running.
    _engine: Engine,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loader").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The component could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The program of a script cannot run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The component cannot run as a plugin.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The component is another plugin than expected.
    #[error("the component is the plugin `{0}`")]
    OtherPlugin(String),
    /// Its sidecar could not be parsed.
    #[error("its sidecar is invalid: {0}")]
    SidecarSyntax(String),
    /// Its sidecar does not match the plugin.
    #[error("{}", sidecar_message(.0))]
    Sidecar(#[from] SidecarError),
}

/// A secret that cannot be read is no fault of the sidecar.
fn sidecar_message(error: &SidecarError) -> String {
    match error {
        SidecarError::Secret(..) => error.to_string(),
        _ => format!("its sidecar is invalid: {error}"),
    }
}

impl LoadError {
    /// Whether the component itself cannot be loaded, with any sidecar.
    #[must_use]
    pub fn concerns_code(&self) -> bool {
        match self {
            Self::Compile(_) | Self::Program(_) => true,
            // A sidecar may describe a component that has no descriptor.
            Self::Link(error) => !matches!(error, LinkError::NoDescriptor | LinkError::NoHandler(..)),
            Self::OtherPlugin(_) | Self::SidecarSyntax(_) | Self::Sidecar(_) => false,
        }
    }

    /// The message for the author of the component.
    #[must_use]
    pub fn author_message(&self) -> String {
        match self {
            Self::Link(LinkError::Script(reason)) => reason.clone(),
            other => other.to_string(),
        }
    }
}

impl Loader {
    /// Starts the engine. Compiled code is cached in a directory.
    ///
    /// # Errors
    /// If the engine cannot be started.
    pub fn new(
        config: EngineConfig,
        cache: PathBuf,
        host: impl Into<HostSettings>,
        environment: Environment,
    ) -> Result<Self, EngineError> {
        let engine = engine::start(config)?;
        let linkers = Linkers::new(&engine)?;
        let cache = CodeCache::new(cache, engine.clone()).map_err(EngineError::compilers)?;
        let idle = Arc::new(Semaphore::new(config.concurrency));
        Ok(Self {
            linkers,
            cache,
            host: RwLock::new(Arc::new(host.into())),
            environment,
            limiters: Mutex::default(),
            idle,
            _engine: engine,
            runtimes: None,
        })
    }

    /// Lets the loader run programs of scripts on the prepared runtimes of this machine.
    #[must_use]
    pub fn with_runtimes(self, paths: PreparedRuntimePaths) -> Self {
        let runtimes = Some(PreparedRuntimes::new(paths.runtimes, self.cache.in_directory(paths.code)));
        Self { runtimes, ..self }
    }

    /// The host's settings for plugins.
    #[must_use]
    pub fn host_settings(&self) -> Arc<HostSettings> {
        Arc::clone(&self.host.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the host's settings for the generations that are loaded from now on.
    pub fn set_host_settings(&self, settings: HostSettings) {
        *self.host.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Loads a generation from the bytes of a component and its sidecar. Blocks while it compiles.
    ///
    /// # Errors
    /// If the file or the sidecar is invalid.
    pub fn load(&self, bytes: &[u8], sidecar: &Sidecar) -> Result<Generation, LoadError> {
        let started = Instant::now();
        let digest = Digest::of(bytes);
        let linked = match Program::parse(bytes)? {
            Some(program) => self.link_program(&program)?,
            None => {
                let component = self.cache.component(bytes, &digest, |component| self.screen(component))?;
                LinkedComponent::new(&component, &self.linkers)?
            }
        };
        let source = linked.description_source();
        let descriptor = match source {
            DescriptionSource::Component => self.descriptor(&linked, &digest)?,
            DescriptionSource::Sidecar { .. } => linked.described_by(sidecar, self.environment.clock.now())?,
        };
        sidecar.check_description(source)?;
        linked.check_handlers(&descriptor)?;
        let settings = Settings::new(&descriptor, sidecar, &self.host_settings())?;
        let limiter = self.limiter(&descriptor.name, settings.concurrency.get() as usize);
        let idle = InstancePool::new(Arc::clone(&self.idle));
        let file = LoadedFile { digest, size_bytes: bytes.len() as u64, load_time: started.elapsed() };
        Ok(Generation::new(file, Arc::new(descriptor), settings, limiter, linked, self.environment.clone(), idle))
    }

    /// Links the runtime of a script's program.
    fn link_program(&self, program: &Program) -> Result<LinkedComponent, LoadError> {
        let runtimes = self.runtimes.as_ref().ok_or(ProgramError::NotInDevelopment)?;
        let component = runtimes.component(program)?;
        Ok(LinkedComponent::for_program(&component, &self.linkers, Arc::clone(&program.source))?)
    }

    /// Checks everything that needs no compiler: whether there is a handler to call, and whether every import is known.
    fn screen(&self, component: &[u8]) -> Result<(), LoadError> {
        let exterior = ComponentInterface::of(component).map_err(CompileError::Unsuitable)?;
        self.linkers.check_names(&exterior.imports).map_err(LinkError::Imports)?;
        Ok(exterior.check_exports().map_err(CompileError::Unsuitable)?)
    }

    /// Loads a generation that could replace the running one, with the running one's sidecar.
    ///
    /// # Errors
    /// If the file is invalid, alone or together with that sidecar.
    pub fn load_replacement(&self, bytes: &[u8], running: &Generation) -> Result<Generation, LoadError> {
        let generation = self.load(bytes, &running.settings.sidecar)?;
        match generation.name == running.name {
            true => Ok(generation),
            false => Err(LoadError::OtherPlugin(generation.name.to_string())),
        }
    }

    /// The descriptor. `describe` is called once for each digest.
    fn descriptor(&self, linked: &LinkedComponent, digest: &Digest) -> Result<Descriptor, LinkError> {
        let cached = self.cache.cached_descriptor(digest).and_then(|text| serde_json::from_str(&text).ok());
        if let Some(descriptor) = cached {
            return Ok(descriptor);
        }
        let descriptor = linked.describe(self.environment.clock.now())?;
        match serde_json::to_string(&descriptor) {
            Ok(text) => self.cache.cache_descriptor(digest, &text),
            Err(error) => tracing::warn!(%error, "a descriptor could not be cached"),
        }
        Ok(descriptor)
    }

    fn limiter(&self, plugin: &str, limit: usize) -> Arc<ConcurrencyLimiter> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = limiters.get(plugin).filter(|limiter| limiter.limit() == limit) {
            return Arc::clone(limiter);
        }
        let limiter = Arc::new(ConcurrencyLimiter::new(limit));
        limiters.insert(plugin.to_owned(), Arc::clone(&limiter));
        limiter
    }
}
