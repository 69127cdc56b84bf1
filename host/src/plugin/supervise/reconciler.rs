//! Keeps what runs equal to what is in the folder: loads what is new, swaps what has changed, takes out
//! what is gone. A broken file changes nothing but the error that is shown for it.

mod command;
mod file_state;
mod loading;
mod outcome;
mod ports;
mod rollback;
mod status;
mod swap;
mod swap_error;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use self::command::{Command, QUEUE};
pub use self::command::{RollbackError, RollbackReport};
use self::file_state::{FileState, GRACE_PERIOD, NextAction, STABLE_AFTER};
use self::loading::{LoadJob, LoadOutcome, LoadTask, PluginFiles, mebibytes, next_finished};
pub use self::ports::{CanaryRunner, SubscriptionRegistrar};
pub use self::status::{Folder, Status};
use self::swap_error::SwapError;
use super::archive::Archive;
use super::folder::{self, FileFingerprint, Scan};
use super::registry::Registry;
use super::route_ownership::RouteOwnership;
use crate::clock::Clock;
use crate::plugin::load::loader::Loader;
use crate::plugin::load::source::FILE_LIMIT_BYTES;

/// The folder is looked at this often even if no change is reported.
const POLL: Duration = Duration::from_secs(2);
/// How many files are loaded at a time while the host runs: one that handles the past at length holds up no other.
const MAX_LOADS: usize = 4;

/// Where the files of plugins are. None of them need exist yet.
#[derive(Clone, Debug)]
pub struct PluginPaths {
    /// Those that run.
    pub plugins: PathBuf,
    /// Those of former generations.
    pub archive: PathBuf,
    /// The record of which routes belong to which plugin.
    pub routes: PathBuf,
}

/// Watches the folder and keeps the registry equal to it.
#[derive(Debug)]
pub struct Reconciler<W> {
    path: PathBuf,
    loader: Arc<Loader>,
    registry: Registry,
    services: Arc<W>,
    archive: Archive,
    route_owners: RouteOwnership,
    /// The stems of the files that were in the folder at the last look.
    present: BTreeSet<String>,
    clock: Clock,
    folder: Folder,
    commands: mpsc::Receiver<Command>,
    /// What is remembered of each file.
    files: BTreeMap<String, FileState>,
    /// The files that are being loaded.
    loads: BTreeMap<String, LoadTask>,
    /// How many of them there may be.
    max_loads: usize,
    /// Room for the bytes of files that are being loaded, in MiB: for one of the largest, or for many small ones.
    memory: Arc<Semaphore>,
    /// Ends what takes long.
    stopping: CancellationToken,
}

impl<W: SubscriptionRegistrar + CanaryRunner> Reconciler<W> {
    /// A reconciler of a folder.
    pub fn new(paths: PluginPaths, loader: Arc<Loader>, registry: Registry, services: W, clock: Clock) -> Self {
        let PluginPaths { plugins: path, archive, routes } = paths;
        let (sender, commands) = mpsc::channel(QUEUE);
        let route_owners = RouteOwnership::read(routes);
        registry.expect_plugins(route_owners.by_plugin());
        Self {
            path,
            loader,
            registry,
            services: Arc::new(services),
            archive: Archive::new(archive),
            route_owners,
            present: BTreeSet::new(),
            clock,
            folder: Folder::new(sender),
            commands,
            files: BTreeMap::new(),
            loads: BTreeMap::new(),
            // At the start the order of the files decides which of two that stand against each other runs.
            max_loads: 1,
            memory: Arc::new(Semaphore::new(mebibytes(FILE_LIMIT_BYTES) as usize)),
            stopping: CancellationToken::new(),
        }
    }

    /// A handle on what is known of the folder.
    #[must_use]
    pub fn folder(&self) -> Folder {
        self.folder.clone()
    }

    /// Loads what is in the folder. What is still being written is waited for, but not for long: after
    /// that it is left for [`Reconciler::run`].
    pub async fn load_all(&mut self) {
        let started = Instant::now();
        loop {
            let pending = self.reconcile().await;
            if !self.loads.is_empty() {
                let (stem, loaded) = next_finished(&mut self.loads).await;
                self.finish_load(&stem, loaded).await;
            } else if pending && started.elapsed() < 2 * GRACE_PERIOD {
                tokio::time::sleep(STABLE_AFTER).await;
            } else {
                return;
            }
        }
    }

    /// Watches until it is cancelled. What is being loaded then is given up.
    pub async fn run(mut self, cancelled: CancellationToken) {
        (self.stopping, self.max_loads) = (cancelled, MAX_LOADS);
        self.route_owners.finish_startup();
        let changed = Arc::new(Notify::new());
        let mut watcher = None;
        loop {
            if watcher.is_none() {
                watcher = watch(&self.path, Arc::clone(&changed));
            }
            let pending = self.reconcile().await;
            self.roll_back_what_fails().await;
            let wait = self.next_wait(pending);
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = changed.notified() => {}
                Some(command) = self.commands.recv() => self.handle_command(command).await,
                (stem, loaded) = next_finished(&mut self.loads) => self.finish_load(&stem, loaded).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// How long nothing is to be done if nothing happens.
    fn next_wait(&self, pending: bool) -> Duration {
        if pending {
            return STABLE_AFTER;
        }
        // Whoever has no place is looked at when a load ends.
        let may_load = self.may_load(true);
        let free = self.files.iter().filter(|(stem, _)| may_load && !self.loads.contains_key(*stem));
        let next = free.filter_map(|(_, state)| state.retry_at()).min();
        next.map_or(POLL, |next| next.saturating_duration_since(Instant::now()).clamp(STABLE_AFTER, POLL))
    }

    /// Looks at the folder and acts on what has changed. Returns whether something is in the making.
    async fn reconcile(&mut self) -> bool {
        let path = self.path.clone();
        let scanned = tokio::task::spawn_blocking(move || folder::scan(&path)).await;
        let Scan { found, ignored } = match scanned {
            Ok(Ok(scan)) => scan,
            // A folder that is not there is an empty one; what was loaded from it is gone.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Scan::default(),
            Ok(Err(error)) => {
                tracing::error!(folder = %self.path.display(), %error, "the plugin folder cannot be read; what is loaded goes on");
                return false;
            }
            Err(_) => return false,
        };
        self.folder.set_ignored(ignored);
        self.present = found.keys().cloned().collect();
        self.remove_missing(&found).await;

        let (mut pending, now) = (false, Instant::now());
        for (stem, fingerprint) in found {
            if let Some(loading) = self.loads.get(&stem) {
                if loading.fingerprint != fingerprint {
                    loading.cancel();
                }
                continue;
            }
            let state = self.files.entry(stem.clone()).or_default();
            let (next, is_retry) = (state.next(&fingerprint, now), state.processed.as_ref() == Some(&fingerprint));
            match next {
                NextAction::Load if self.may_load(is_retry) => self.start_load(stem, fingerprint, is_retry),
                NextAction::Load | NextAction::Nothing => {}
                NextAction::Wait => pending = true,
            }
        }
        pending
    }

    async fn remove_missing(&mut self, found: &BTreeMap<String, FileFingerprint>) {
        let mut statuses = self.folder.statuses();
        let known: BTreeSet<_> = self.files.keys().chain(statuses.keys()).cloned().collect();
        for stem in known.into_iter().filter(|stem| !found.contains_key(stem)) {
            self.files.remove(&stem);
            self.cancel_load(&stem);
            let Some(status) = statuses.remove(&stem) else { continue };
            if let Some(plugin) = status.plugin {
                self.remove_plugin(plugin).await;
            }
            self.folder.set(&stem, None);
            self.retry_refused();
        }
    }

    async fn remove_plugin(&self, plugin: String) {
        self.registry.remove(&plugin);
        tracing::info!(plugin, "plugin removed; its subscriptions keep their backlog, and its schedules rest");
        if let Err(error) = self.services.withdraw(plugin.clone()).await {
            tracing::error!(
                plugin,
                error,
                "the schedules of a plugin that was removed go on until the host is restarted"
            );
        }
    }

    /// A name or a route may have become free: files that were refused are looked at again.
    fn retry_refused(&mut self) {
        let now = Instant::now();
        for (stem, status) in self.folder.statuses() {
            if let Some(state) = self.files.get_mut(&stem).filter(|_| status.error.is_some()) {
                state.retry_now(now);
            }
        }
        for loading in self.loads.values_mut() {
            loading.conflict_may_be_gone = true;
        }
    }

    /// What is being made of a file is not wanted any more.
    fn cancel_load(&self, stem: &str) {
        if let Some(loading) = self.loads.get(stem) {
            loading.cancel();
        }
    }

    /// Whether another file may be loaded. Of those that were refused one is tried again at a time: so the order of
    /// the files decides which of two takes over what has become free.
    fn may_load(&self, is_retry: bool) -> bool {
        let waits = is_retry && self.loads.values().any(|loading| loading.is_retry);
        self.loads.len() < self.max_loads && !waits
    }

    fn start_load(&mut self, stem: String, fingerprint: FileFingerprint, is_retry: bool) {
        let load = LoadJob {
            source: self.source(&stem, fingerprint.has_sidecar()),
            registry: self.registry.clone(),
            folder: self.folder.clone(),
            services: Arc::clone(&self.services),
            memory: Arc::clone(&self.memory),
            bytes: fingerprint.wasm_bytes(),
            outdated: CancellationToken::new(),
        };
        self.loads.insert(stem, LoadTask::begin(fingerprint, is_retry, load));
    }

    fn source(&self, stem: &str, has_sidecar: bool) -> PluginFiles {
        PluginFiles {
            stem: stem.to_owned(),
            wasm: folder::wasm_path(&self.path, stem),
            sidecar: folder::sidecar_path(&self.path, stem),
            has_sidecar,
            loader: Arc::clone(&self.loader),
            archive: self.archive.clone(),
        }
    }

    async fn fingerprint(&self, stem: &str) -> Option<FileFingerprint> {
        let (path, stem) = (self.path.clone(), stem.to_owned());
        tokio::task::spawn_blocking(move || folder::fingerprint(&path, &stem)).await.ok().flatten()
    }

    /// A load has come to its end: what is still wanted takes over.
    async fn finish_load(&mut self, stem: &str, loaded: LoadOutcome) {
        let Some(loading) = self.loads.remove(stem) else { return };
        let is_wanted = !loading.is_cancelled() && self.fingerprint(stem).await.as_ref() == Some(&loading.fingerprint);
        let result = match loaded {
            _ if !is_wanted => Err(SwapError::Outdated),
            Err(error) if loading.conflict_may_be_gone && error.is_conflict() => Err(SwapError::Outdated),
            Ok(Some(ready)) => self.swap_in(stem, ready).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        self.record_outcome(stem, loading.fingerprint, result, loading.started.elapsed()).await;
    }
}

/// Lets the system tell of changes. Where it cannot, the folder is polled.
fn watch(path: &Path, changed: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // To read the folder is an access too, and must not lead to the next look.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            changed.notify_one();
        }
    })
    .ok()?;
    watcher.watch(path, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}
