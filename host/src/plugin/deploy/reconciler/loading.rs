//! Loads a file and runs its canary in a separate task, so that the reconciler can continue.

use std::collections::BTreeMap;
use std::io;
use std::pin::{Pin as Pinned, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::swap_error::SwapError;
use super::{CanaryRunner, ReconcilerHandle};
use crate::plugin::deploy::archive::Archive;
use crate::plugin::deploy::folder::{FileFingerprint, PluginFolder};
use crate::plugin::deploy::generation_record::Pin;
use crate::plugin::deploy::registry::{Registry, RouteConflictError};
use crate::plugin::load::loader::{LoadError, Loader};
use crate::plugin::load::source::FILE_LIMIT_BYTES;
use crate::plugin::manifest::digest::{Digest, short};
use crate::plugin::manifest::sidecar::Sidecar;
use crate::plugin::run::generation::Generation;

/// The result of a load; `None` if the sidecar disables the plugin.
pub(super) type LoadOutcome = Result<Option<Candidate>, SwapError>;

/// A load in progress. Dropping this aborts the load.
#[derive(Debug)]
pub(super) struct LoadTask {
    /// The file as it was when the load started.
    pub(super) fingerprint: FileFingerprint,
    pub(super) started: Instant,
    /// Whether the same file was refused before.
    pub(super) is_retry: bool,
    /// Whether a name or a route has become free since the load started.
    pub(super) conflict_may_be_gone: bool,
    outdated: CancellationToken,
    task: AbortOnDropHandle<LoadOutcome>,
}

impl LoadTask {
    /// Starts to load a file.
    pub(super) fn begin<S: CanaryRunner>(fingerprint: FileFingerprint, is_retry: bool, load: LoadJob<S>) -> Self {
        let (started, outdated) = (Instant::now(), load.outdated.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(load.run()));
        Self { fingerprint, started, is_retry, conflict_may_be_gone: false, outdated, task }
    }

    /// Cancels the load. A compilation in progress still finishes, so that there are never more compilers than loads.
    pub(super) fn cancel(&self) {
        self.outdated.cancel();
    }

    /// Whether the load was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.outdated.is_cancelled()
    }
}

/// Waits until one of the loads ends; forever if there are none.
pub(super) async fn next_finished(loads: &mut BTreeMap<String, LoadTask>) -> (String, LoadOutcome) {
    std::future::poll_fn(|context| {
        for (stem, loading) in loads.iter_mut() {
            if let Poll::Ready(ended) = Pinned::new(&mut loading.task).poll(context) {
                let loaded = ended.unwrap_or_else(|error| Err(SwapError::Unfinished(error.to_string())));
                return Poll::Ready((stem.clone(), loaded));
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits until the load of the first file in order ends; forever if there are no loads.
pub(super) async fn first_in_order(loads: &mut BTreeMap<String, LoadTask>) -> (String, LoadOutcome) {
    match loads.first_entry() {
        Some(mut first) => {
            let ended = (&mut first.get_mut().task).await;
            let loaded = ended.unwrap_or_else(|error| Err(SwapError::Unfinished(error.to_string())));
            (first.key().clone(), loaded)
        }
        None => std::future::pending().await,
    }
}

/// A loaded generation that may be swapped in, with the bytes of its component.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) generation: Arc<Generation>,
    pub(super) bytes: Vec<u8>,
    /// The pin, if the bytes come from the archive instead of the folder.
    pub(super) pin: Option<Pin>,
    /// The permit for the memory of the bytes.
    pub(super) memory: OwnedSemaphorePermit,
}

/// Everything that a load needs.
pub(super) struct LoadJob<S> {
    pub(super) source: PluginFiles,
    pub(super) registry: Registry,
    pub(super) handle: ReconcilerHandle,
    pub(super) services: Arc<S>,
    /// Memory for files being loaded, in MiB.
    pub(super) memory: Arc<Semaphore>,
    /// The size of the file.
    pub(super) bytes: u64,
    /// Cancels the canary once its result is not needed any more.
    pub(super) outdated: CancellationToken,
}

impl<S: CanaryRunner> LoadJob<S> {
    async fn run(self) -> LoadOutcome {
        let Self { source, registry, handle, services, memory, bytes, outdated } = self;
        let stem = source.stem.clone();
        // A file that is too large is not read, and needs no memory.
        let permits = if bytes > FILE_LIMIT_BYTES { 0 } else { mebibytes(bytes) };
        let memory = memory.acquire_many_owned(permits).await.expect("the semaphore is never closed");
        let load = announce_if_slow(&stem, run_blocking(move || source.load(memory)));
        let Some(ready) = load.await? else { return Ok(None) };
        // The swap checks this again. Checking here saves a canary for a generation that would be refused.
        check_conflicts(&registry, &handle, &stem, &ready.generation)?;
        let running = registry.snapshot().plugins.get(&*ready.generation.name).cloned();
        let running = running.filter(|running| running.digest != ready.generation.digest);
        if let (Some(rule), Some(running)) = (ready.generation.settings.canary, running) {
            let canary = services.run_canary(running, Arc::clone(&ready.generation), rule);
            tokio::select! {
                () = outdated.cancelled() => return Err(SwapError::Outdated),
                result = canary => result.map_err(SwapError::Canary)?,
            }
        }
        Ok(Some(ready))
    }
}

/// Waits for a load, and logs a line if it takes long, as it does if the component has to be compiled.
async fn announce_if_slow(stem: &str, load: impl Future<Output = LoadOutcome>) -> LoadOutcome {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut load = pin!(load);
    match tokio::time::timeout(PATIENCE, &mut load).await {
        Ok(loaded) => loaded,
        Err(_) => {
            tracing::info!(file = stem, "compiling; the next start uses the compiled code");
            load.await
        }
    }
}

/// Checks that neither the name nor a route conflicts with another file's plugin.
pub(super) fn check_conflicts(
    registry: &Registry,
    handle: &ReconcilerHandle,
    stem: &str,
    generation: &Generation,
) -> Result<(), SwapError> {
    let (name, statuses) = (&*generation.name, handle.statuses());
    let other = statuses.iter().find(|(other, status)| *other != stem && status.plugin.as_deref() == Some(name));
    if let Some((other, _)) = other {
        return Err(SwapError::NameTaken { name: name.to_owned(), other: other.clone() });
    }
    let former = statuses.get(stem).and_then(|status| status.plugin.as_deref());
    check_routes(registry, former, generation).map_err(SwapError::Route)
}

/// Checks routes against those of all other plugins, except the plugin that the same file contained before.
fn check_routes(registry: &Registry, former: Option<&str>, generation: &Generation) -> Result<(), RouteConflictError> {
    let routes = &generation.descriptor.routes;
    match registry.check_routes(&generation.name, routes) {
        Err(conflict) if former == Some(conflict.other.as_str()) => {
            let others = Registry::default();
            for (name, other) in &registry.snapshot().plugins {
                if *name != conflict.other {
                    others.put(Arc::clone(other));
                }
            }
            others.check_routes(&generation.name, routes)
        }
        result => result,
    }
}

/// Runs a closure that blocks on the blocking threads.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SwapError> + Send + 'static,
) -> Result<T, SwapError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SwapError::Unfinished(error.to_string()))?
}

/// Runs a closure that reads files on the blocking threads.
pub(super) async fn run_blocking_io<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The files that a plugin is loaded from.
pub(super) struct PluginFiles {
    pub(super) stem: String,
    pub(super) directory: PluginFolder,
    /// Whether a sidecar exists. A sidecar that is missing for a moment must not count as absent.
    pub(super) has_sidecar: bool,
    pub(super) loader: Arc<Loader>,
    pub(super) archive: Archive,
}

impl PluginFiles {
    /// Loads the file, or the generation pinned in its place; `None` if the sidecar disables the plugin.
    fn load(&self, memory: OwnedSemaphorePermit) -> LoadOutcome {
        let sidecar = self.sidecar()?;
        if sidecar.enabled == Some(false) {
            return Ok(None);
        }
        let started = Instant::now();
        let (bytes, pin) = self.apply_pin(self.directory.read_component(&self.stem)?)?;
        let generation = self.load_bytes(&bytes, &sidecar, started)?;
        Ok(Some(Candidate { generation, bytes, pin, memory }))
    }

    /// Loads a component from its bytes. `started` is when reading them began; it counts towards the load time.
    pub(super) fn load_bytes(
        &self,
        bytes: &[u8],
        sidecar: &Sidecar,
        started: Instant,
    ) -> Result<Arc<Generation>, SwapError> {
        let mut generation = self.loader.load(bytes, sidecar)?;
        generation.load_time = started.elapsed();
        Ok(Arc::new(generation))
    }

    pub(super) fn sidecar(&self) -> Result<Sidecar, SwapError> {
        let mut sidecar = match self.directory.read_sidecar_bytes(&self.stem) {
            Ok(Ok(bytes)) => Sidecar::parse(&text(bytes)?).map_err(LoadError::SidecarSyntax)?,
            Ok(Err(length)) => return Err(SwapError::SidecarTooLarge(length)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.has_sidecar => Sidecar::default(),
            Err(error) => return Err(SwapError::ReadSidecar(error)),
        };
        sidecar.stem.clone_from(&self.stem);
        Ok(sidecar)
    }

    /// The digest of the file in the folder.
    pub(super) fn digest(&self) -> Result<Digest, SwapError> {
        self.directory.digest(&self.directory.wasm_path(&self.stem)).map_err(SwapError::Read)
    }

    /// Replaces the bytes of the file by those of the pinned generation. If those cannot be read, loading fails,
    /// because the file itself was rolled back from.
    fn apply_pin(&self, bytes: Vec<u8>) -> Result<(Vec<u8>, Option<Pin>), SwapError> {
        let record = self.archive.record(&self.stem)?;
        let Some(pin) = record.pin_over(&Digest::of(&bytes)) else { return Ok((bytes, None)) };
        // The memory permit covers only one of the two files at a time.
        drop(bytes);
        match self.archive.read(&self.stem, &pin.runs) {
            Ok(former) => Ok((former, Some(pin.clone()))),
            Err(error) => Err(SwapError::ReadPinned(short(&pin.runs).to_owned(), error)),
        }
    }
}

/// Converts bytes to MiB, rounded up.
pub(super) fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX)
}

fn text(bytes: Vec<u8>) -> Result<String, SwapError> {
    String::from_utf8(bytes).map_err(|_| SwapError::ReadSidecar(std::io::Error::other("the file is not UTF-8")))
}
