//! Makes the running plugins match the files in the folder: loads new files, swaps changed ones, and removes plugins
//! whose files are gone. A broken file leaves the running generation in place and is reported.

mod archived;
mod command;
mod file_changes;
mod file_state;
mod folder_check;
mod handle;
mod loading;
mod outcome;
mod ports;
mod rollback;
mod swap;
mod swap_error;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub use self::archived::ArchivedError;
use self::command::{Command, QUEUE};
pub use self::command::{FileChange, FileChangeError, RollbackError, RollbackReport};
use self::file_changes::PendingChange;

use self::file_state::{FileState, GRACE_PERIOD, NextAction, STABLE_AFTER};
pub(crate) use self::folder_check::{FileFault, FolderReport, check as check_folder};
pub use self::handle::{FileStatus, ReconcilerHandle};
use self::loading::{LoadJob, LoadOutcome, LoadTask, PluginFiles, first_in_order, mebibytes, next_finished};
pub use self::ports::{CanaryRunner, SubscriptionRegistrar};
use self::swap_error::SwapError;
use super::archive::Archive;
use super::folder::{self, FileFingerprint, FolderId, PluginFolder, Scan};
use super::registry::Registry;
use super::route_ownership::RouteOwnership;
use crate::clock::Clock;
use crate::plugin::load::loader::Loader;
use crate::plugin::load::source::FILE_LIMIT_BYTES;

/// How often the folder is scanned if the system reports no change.
const POLL: Duration = Duration::from_secs(2);
/// How many files load at the same time while the host runs, so that a long canary does not delay other plugins.
const MAX_LOADS: usize = 4;

/// The paths that the reconciler reads and writes.
#[derive(Clone, Debug)]
pub struct PluginPaths {
    /// The plugin folder.
    pub plugins: PathBuf,
    /// The directories that links in the plugin folder may lead into, besides the folder itself.
    pub link_roots: Vec<PathBuf>,
    /// The directory of archived generations. It need not exist yet.
    pub archive: PathBuf,
    /// The file that records which plugin owns which route. It need not exist yet.
    pub routes: PathBuf,
}

/// Watches the folder and updates the registry.
#[derive(Debug)]
pub struct Reconciler<S> {
    directory: PluginFolder,
    loader: Arc<Loader>,
    registry: Registry,
    /// Registers subscriptions and runs canaries.
    services: Arc<S>,
    archive: Archive,
    route_owners: RouteOwnership,
    /// The identity of the folder at the last accepted scan.
    folder_id: Option<FolderId>,
    /// Whether the system may be watching a directory that is not the folder any more.
    watch_is_stale: bool,
    /// The stems of the plugin files found by the last scan.
    present: BTreeSet<String>,
    clock: Clock,
    handle: ReconcilerHandle,
    commands: mpsc::Receiver<Command>,
    /// Changes of files that were written and are not loaded yet.
    changes: Vec<PendingChange>,
    /// The state of each file, by stem.
    files: BTreeMap<String, FileState>,
    /// Loads in progress, by stem.
    loads: BTreeMap<String, LoadTask>,
    /// The limit of loads in progress.
    max_loads: usize,
    /// The subscriptions that were reported as no longer declared, by plugin.
    orphans: BTreeMap<String, BTreeSet<String>>,
    /// Memory for files being loaded, in MiB: enough for one file of the largest size, or for many small ones.
    memory: Arc<Semaphore>,
    /// Cancelled when the host stops.
    stopping: CancellationToken,
}

impl<S: SubscriptionRegistrar + CanaryRunner> Reconciler<S> {
    /// Creates a reconciler. It does nothing until [`Reconciler::load_all`] or [`Reconciler::run`].
    pub fn new(paths: PluginPaths, loader: Arc<Loader>, registry: Registry, services: S, clock: Clock) -> Self {
        let PluginPaths { plugins, link_roots, archive, routes } = paths;
        let directory = PluginFolder::new(plugins, &link_roots, loader.host_settings().secrets.clone());
        let (sender, commands) = mpsc::channel(QUEUE);
        let route_owners = RouteOwnership::read(routes);
        registry.expect_plugins(route_owners.by_plugin());
        let archive = Archive::new(archive);
        Self {
            handle: ReconcilerHandle::new(sender, directory.clone(), archive.clone()),
            directory,
            loader,
            registry,
            services: Arc::new(services),
            archive,
            route_owners,
            folder_id: None,
            watch_is_stale: false,
            present: BTreeSet::new(),
            clock,
            commands,
            changes: Vec::new(),
            files: BTreeMap::new(),
            loads: BTreeMap::new(),
            orphans: BTreeMap::new(),
            max_loads: std::thread::available_parallelism().map_or(1, usize::from),
            memory: Arc::new(Semaphore::new(mebibytes(FILE_LIMIT_BYTES) as usize)),
            stopping: CancellationToken::new(),
        }
    }

    /// A handle for reading the folder's status and for sending commands.
    #[must_use]
    pub fn handle(&self) -> ReconcilerHandle {
        self.handle.clone()
    }

    /// Loads the files in the folder, several at the same time. They are swapped in one by one, so that the order of
    /// the files decides which of two conflicting plugins runs. Waits briefly for files that are still being written,
    /// and leaves slow ones to [`Reconciler::run`].
    pub async fn load_all(&mut self) {
        let started = Instant::now();
        let path = self.directory.path().to_owned();
        tokio::task::spawn_blocking(move || file_changes::restore_interrupted(&path)).await.ok();
        loop {
            let pending = self.reconcile().await;
            if !self.loads.is_empty() {
                let (stem, loaded) = first_in_order(&mut self.loads).await;
                self.finish_load(&stem, loaded).await;
            } else if pending && started.elapsed() < 2 * GRACE_PERIOD {
                tokio::time::sleep(STABLE_AFTER).await;
            } else {
                return;
            }
        }
    }

    /// Runs until cancelled. Loads in progress are then dropped.
    pub async fn run(mut self, cancelled: CancellationToken) {
        (self.stopping, self.max_loads) = (cancelled, MAX_LOADS);
        self.route_owners.finish_startup();
        let changed = Arc::new(Notify::new());
        let mut watcher = None;
        loop {
            if watcher.is_none() {
                watcher = watch(self.directory.path(), Arc::clone(&changed));
            }
            let pending = self.reconcile().await;
            if std::mem::take(&mut self.watch_is_stale) {
                watcher = watch(self.directory.path(), Arc::clone(&changed));
            }
            self.roll_back_failing_plugins().await;
            self.registry.set_refused_files(self.handle.refused_files());
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

    /// How long to wait for an event before the next scan.
    fn next_wait(&self, pending: bool) -> Duration {
        if pending {
            return STABLE_AFTER;
        }
        if self.handle.fault().is_some() {
            return POLL;
        }
        // Files that wait because too many loads are in progress are considered again when one ends.
        let may_load = self.may_load(true);
        let free = self.files.iter().filter(|(stem, _)| may_load && !self.loads.contains_key(*stem));
        let next = free.filter_map(|(_, state)| state.retry_at()).min();
        next.map_or(POLL, |next| next.saturating_duration_since(Instant::now()).clamp(STABLE_AFTER, POLL))
    }

    /// Scans the folder and acts on the changes. Returns whether a file may still be incomplete.
    async fn reconcile(&mut self) -> bool {
        let (directory, previous) = (self.directory.clone(), self.present.clone());
        let scanned = tokio::task::spawn_blocking(move || folder::scan(&directory, &previous)).await;
        let Ok(scanned) = scanned else { return false };
        let Some(scan) = self.accept(scanned) else { return false };
        self.end_superseded(&scan).await;
        let Scan { found, ignored, .. } = scan;
        self.handle.set_ignored(ignored);
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

    /// Accepts a scan. If the folder cannot be read, or was replaced by an empty one, reports that instead, and all
    /// plugins keep running.
    fn accept(&mut self, scanned: io::Result<Scan>) -> Option<Scan> {
        let is_replaced = |scan: &Scan| self.folder_id.is_some_and(|before| before != scan.folder);
        let fault = match scanned {
            // The mount point that an unmounted file system leaves is empty, too.
            Ok(scan) if is_replaced(&scan) && scan.found.is_empty() && !self.files.is_empty() => {
                "was replaced by an empty folder, like the mount point of an unmounted file system; mount it again, \
                 put a plugin into the folder, or restart the host to remove the plugins"
                    .to_owned()
            }
            Ok(scan) => {
                self.watch_is_stale |= is_replaced(&scan);
                self.folder_id = Some(scan.folder);
                self.handle.set_fault(None);
                return Some(scan);
            }
            Err(error) => format!("cannot be read: {error}"),
        };
        self.watch_is_stale = true;
        self.abandon_changes(&fault);
        self.handle.set_fault(Some(format!("the plugin folder {} {fault}", self.directory.path().display())));
        None
    }

    async fn remove_missing(&mut self, found: &BTreeMap<String, FileFingerprint>) {
        let mut statuses = self.handle.statuses();
        let stems: BTreeSet<_> = self.files.keys().chain(statuses.keys()).cloned().collect();
        for stem in stems.into_iter().filter(|stem| !found.contains_key(stem)) {
            self.files.remove(&stem);
            self.cancel_load(&stem);
            let Some(status) = statuses.remove(&stem) else { continue };
            if let Some(plugin) = status.plugin {
                self.remove_plugin(plugin).await;
            }
            self.handle.set(&stem, None);
            self.retry_refused();
        }
    }

    async fn remove_plugin(&self, plugin: String) {
        self.registry.remove(&plugin);
        tracing::info!(plugin, "plugin removed; its subscriptions keep their backlog, and its schedules are paused");
        if let Err(error) = self.services.withdraw(plugin.clone()).await {
            tracing::error!(
                plugin,
                error,
                "the schedules of a removed plugin could not be paused; they run until the host restarts"
            );
        }
    }

    /// Retries the refused files, because a name or a route may have become free.
    fn retry_refused(&mut self) {
        let now = Instant::now();
        for (stem, status) in self.handle.statuses() {
            if let Some(state) = self.files.get_mut(&stem).filter(|_| status.error.is_some()) {
                state.retry_now(now);
            }
        }
        for loading in self.loads.values_mut() {
            loading.conflict_may_be_gone = true;
        }
    }

    /// Cancels the load of a file, if one is in progress.
    fn cancel_load(&self, stem: &str) {
        if let Some(loading) = self.loads.get(stem) {
            loading.cancel();
        }
    }

    /// Whether another load may start. Refused files are retried one at a time, so that their order decides which of
    /// two takes over a freed name or route.
    fn may_load(&self, is_retry: bool) -> bool {
        let waits = is_retry && self.loads.values().any(|loading| loading.is_retry);
        self.loads.len() < self.max_loads && !waits
    }

    fn start_load(&mut self, stem: String, fingerprint: FileFingerprint, is_retry: bool) {
        let load = LoadJob {
            source: self.source(&stem, fingerprint.has_sidecar()),
            registry: self.registry.clone(),
            handle: self.handle.clone(),
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
            directory: self.directory.clone(),
            has_sidecar,
            loader: Arc::clone(&self.loader),
            archive: self.archive.clone(),
        }
    }

    async fn fingerprint(&self, stem: &str) -> Option<FileFingerprint> {
        let (directory, stem) = (self.directory.clone(), stem.to_owned());
        tokio::task::spawn_blocking(move || folder::fingerprint(&directory, &stem))
            .await
            .ok()
            .and_then(Result::ok)
            .flatten()
    }

    /// Handles the end of a load: swaps the generation in, unless the file has changed since.
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

/// Asks the system to report changes. Without such reports the folder is polled.
fn watch(path: &Path, changed: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // The scan itself is an access, and must not trigger another scan.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            changed.notify_one();
        }
    })
    .ok()?;
    watcher.watch(path, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}
