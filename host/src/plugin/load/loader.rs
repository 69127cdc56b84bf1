//! Loads generations: compiles, describes and checks a component. Running plugins are not affected.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::compile::{CompileError, as_component};
use super::engines::{EngineContext, Engines};
use super::program::{PreparedRuntimePaths, PreparedRuntimes, Program, ProgramError};
use super::screening::ComponentInterface;
use crate::plugin::invocation::environment::Environment;
use crate::plugin::manifest::descriptor::Descriptor;
use crate::plugin::manifest::digest::Digest;
use crate::plugin::manifest::settings::{HostSettings, Settings};
use crate::plugin::manifest::sidecar::{DescriptionSource, Sidecar};
use crate::plugin::manifest::sidecar_error::SidecarError;
use crate::plugin::run::admission::ConcurrencyLimiter;
use crate::plugin::run::engine::{EngineConfig, EngineError};
use crate::plugin::run::generation::{Generation, LoadedFile};
use crate::plugin::run::idle_instances::IdleInstances;
use crate::plugin::run::linked::{LinkError, LinkedComponent};

/// Loads generations.
pub struct Loader {
    engines: Engines,
    /// The runtimes of scripts' programs, in development.
    runtimes: Option<PreparedRuntimes>,
    host: RwLock<Arc<HostSettings>>,
    environment: Environment,
    /// The limiter of each plugin. All its generations share it, so that a swap does not double the limit.
    limiters: Mutex<HashMap<String, Arc<ConcurrencyLimiter>>>,
    /// Permits for idle instances.
    idle: Arc<Semaphore>,
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
    /// The component needs WASI 0.3, which the operator has switched off.
    #[error(
        "it is built for WASI 0.3, which this host has switched off; set `[sandbox] wasi_0_3 = true`, or build it for WASI 0.2"
    )]
    SwitchedOff,
    /// The component labels imports, which the operator has switched off.
    #[error(
        "it imports interfaces under labels, which this host has switched off; set `[sandbox] labelled_imports = true`, or build it with one import of each interface"
    )]
    LabelsSwitchedOff,
    /// The engine for components of WASI 0.3 could not be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
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

/// A secret that cannot be read does not make the sidecar invalid.
fn sidecar_message(error: &SidecarError) -> String {
    match error {
        SidecarError::Secret(..) | SidecarError::ImportSecret(..) => error.to_string(),
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
            Self::SwitchedOff
            | Self::LabelsSwitchedOff
            | Self::Engine(_)
            | Self::OtherPlugin(_)
            | Self::SidecarSyntax(_)
            | Self::Sidecar(_) => false,
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
    /// Starts the engines. Compiled code is cached in a directory.
    ///
    /// # Errors
    /// If an engine cannot be started.
    pub fn new(
        config: EngineConfig,
        cache: PathBuf,
        host: impl Into<HostSettings>,
        environment: Environment,
    ) -> Result<Self, EngineError> {
        let engines = Engines::new(config, cache)?;
        let idle = Arc::new(Semaphore::new(config.concurrency));
        Ok(Self {
            engines,
            host: RwLock::new(Arc::new(host.into())),
            environment,
            limiters: Mutex::default(),
            idle,
            runtimes: None,
        })
    }

    /// Lets the loader run programs of scripts on the prepared runtimes of this machine.
    #[must_use]
    pub fn with_runtimes(self, paths: PreparedRuntimePaths) -> Self {
        let runtimes =
            Some(PreparedRuntimes::new(paths.runtimes, self.engines.synchronous.cache.in_directory(paths.code)));
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
            None => self.link(bytes, &digest)?,
        };
        let source = linked.description_source();
        let descriptor = match source {
            DescriptionSource::Component => self.descriptor(&linked, &digest)?,
            DescriptionSource::Sidecar { .. } => linked.described_by(sidecar, self.environment.clock.now())?,
        };
        sidecar.check_description(source)?;
        sidecar.check_imports(linked.labelled_imports())?;
        linked.check_handlers(&descriptor)?;
        let settings = Settings::new(&descriptor, sidecar, &self.host_settings())?;
        let limiter = self.limiter(&descriptor.name, settings.concurrency.get() as usize);
        let idle = IdleInstances::new(Arc::clone(&self.idle));
        let file = LoadedFile { digest, size_bytes: bytes.len() as u64, load_time: started.elapsed() };
        Ok(Generation::new(file, Arc::new(descriptor), settings, limiter, linked, self.environment.clone(), idle))
    }

    /// Compiles a component into the cache of compiled code. Blocks while it compiles. The program of a script is not
    /// compiled.
    ///
    /// # Errors
    /// If the file is invalid.
    pub fn precompile(&self, bytes: &[u8]) -> Result<(), LoadError> {
        match Program::parse(bytes)? {
            Some(_) => Ok(()),
            None => self.link(bytes, &Digest::of(bytes)).map(drop),
        }
    }

    /// Links the runtime of a script's program.
    fn link_program(&self, program: &Program) -> Result<LinkedComponent, LoadError> {
        let runtimes = self.runtimes.as_ref().ok_or(ProgramError::NotInDevelopment)?;
        let component = runtimes.component(program)?;
        Ok(LinkedComponent::for_program(&component, &self.engines.synchronous.linkers, Arc::clone(&program.source))?)
    }

    /// Links a component, with the engine that it needs.
    fn link(&self, bytes: &[u8], digest: &Digest) -> Result<LinkedComponent, LoadError> {
        let synchronous = &self.engines.synchronous;
        if let Some(component) = synchronous.cache.cached(digest) {
            return Ok(LinkedComponent::new(&component, &synchronous.linkers)?);
        }
        let component = as_component(bytes)?;
        let interface = ComponentInterface::of(&component).map_err(CompileError::Unsuitable)?;
        if interface.has_labels() && !self.engines.link_labels() {
            return Err(LoadError::LabelsSwitchedOff);
        }
        match interface.needs_concurrency(&component) {
            false => link_with(synchronous, &component, &interface, digest),
            true => {
                let concurrent = self.engines.concurrent()?.ok_or(LoadError::SwitchedOff)?;
                link_with(&concurrent, &component, &interface, digest)
            }
        }
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
        let cached =
            self.engines.synchronous.cache.cached_descriptor(digest).and_then(|text| serde_json::from_str(&text).ok());
        if let Some(descriptor) = cached {
            return Ok(descriptor);
        }
        let descriptor = linked.describe(self.environment.clock.now())?;
        match serde_json::to_string(&descriptor) {
            Ok(text) => self.engines.synchronous.cache.cache_descriptor(digest, &text),
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

/// Links a component with an engine. Everything that needs no compiler is checked first: whether there is a handler to
/// call, and whether every import is known.
fn link_with(
    engine: &EngineContext,
    component: &[u8],
    interface: &ComponentInterface,
    digest: &Digest,
) -> Result<LinkedComponent, LoadError> {
    let compiled = match engine.cache.cached(digest) {
        Some(compiled) => compiled,
        None => {
            engine.linkers.check_names(&interface.imports).map_err(LinkError::Imports)?;
            interface.check().map_err(CompileError::Unsuitable)?;
            engine.cache.compile(component, digest)?
        }
    };
    Ok(LinkedComponent::new(&compiled, &engine.linkers)?)
}
