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
pub use self::command::{RollbackError, RolledBack};
use self::file_state::{Known, Next, PATIENCE, QUIET};
use self::loading::{Load, Loaded, Loading, Source, end_of_one, mebibytes};
pub use self::ports::{Declare, Rehearse};
pub use self::status::{Folder, Status};
use self::swap_error::SwapError;
use super::archive::Archive;
use super::folder::{self, Scan, Seen};
use super::registry::Registry;
use super::route_claims::Claims;
use crate::clock::Clock;
use crate::plugin::load::loader::Loader;
use crate::plugin::load::source::FILE_LIMIT_BYTES;

/// The folder is looked at this often even if no change is reported.
const POLL: Duration = Duration::from_secs(2);
/// How many files are loaded at a time while the host runs: one that handles the past at length holds up no other.
const AT_ONCE: usize = 4;

/// Where the files of plugins are. None of them need exist yet.
#[derive(Clone, Debug)]
pub struct Places {
    /// Those that run.
    pub plugins: PathBuf,
    /// Those of former generations.
    pub former: PathBuf,
    /// The record of which routes belong to which plugin.
    pub routes: PathBuf,
}

/// Watches the folder and keeps the registry equal to it.
#[derive(Debug)]
pub struct Reconciler<W> {
    path: PathBuf,
    loader: Arc<Loader>,
    registry: Registry,
    wings: Arc<W>,
    archive: Archive,
    claims: Claims,
    /// The stems of the files that were in the folder at the last look.
    present: BTreeSet<String>,
    clock: Clock,
    folder: Folder,
    commands: mpsc::Receiver<Command>,
    /// What is remembered of each file.
    files: BTreeMap<String, Known>,
    /// The files that are being loaded.
    loads: BTreeMap<String, Loading>,
    /// How many of them there may be.
    at_once: usize,
    /// Room for the bytes of files that are being loaded, in MiB: for one of the largest, or for many small ones.
    memory: Arc<Semaphore>,
    /// Ends what takes long.
    stopping: CancellationToken,
}

impl<W: Declare + Rehearse> Reconciler<W> {
    /// A reconciler of a folder.
    pub fn new(places: Places, loader: Arc<Loader>, registry: Registry, wings: W, clock: Clock) -> Self {
        let Places { plugins: path, former, routes } = places;
        let (sender, commands) = mpsc::channel(QUEUE);
        let claims = Claims::read(routes);
        registry.expect(claims.by_plugin());
        Self {
            path,
            loader,
            registry,
            wings: Arc::new(wings),
            archive: Archive::new(former),
            claims,
            present: BTreeSet::new(),
            clock,
            folder: Folder::new(sender),
            commands,
            files: BTreeMap::new(),
            loads: BTreeMap::new(),
            // At the start the order of the files decides which of two that stand against each other runs.
            at_once: 1,
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
            let pending = self.look().await;
            if !self.loads.is_empty() {
                let (stem, loaded) = end_of_one(&mut self.loads).await;
                self.finish(&stem, loaded).await;
            } else if pending && started.elapsed() < 2 * PATIENCE {
                tokio::time::sleep(QUIET).await;
            } else {
                return;
            }
        }
    }

    /// Watches until it is cancelled. What is being loaded then is given up.
    pub async fn run(mut self, cancelled: CancellationToken) {
        (self.stopping, self.at_once) = (cancelled, AT_ONCE);
        self.claims.settle();
        let changed = Arc::new(Notify::new());
        let mut watcher = None;
        loop {
            if watcher.is_none() {
                watcher = watch(&self.path, Arc::clone(&changed));
            }
            let pending = self.look().await;
            self.roll_back_what_fails().await;
            let wait = self.pause(pending);
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = changed.notified() => {}
                Some(command) = self.commands.recv() => self.obey(command).await,
                (stem, loaded) = end_of_one(&mut self.loads) => self.finish(&stem, loaded).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// How long nothing is to be done if nothing happens.
    fn pause(&self, pending: bool) -> Duration {
        if pending {
            return QUIET;
        }
        // Whoever has no place is looked at when a load ends.
        let has_place = self.has_place(true);
        let free = self.files.iter().filter(|(stem, _)| has_place && !self.loads.contains_key(*stem));
        let next = free.filter_map(|(_, known)| known.again()).min();
        next.map_or(POLL, |next| next.saturating_duration_since(Instant::now()).clamp(QUIET, POLL))
    }

    /// Looks at the folder and acts on what has changed. Returns whether something is in the making.
    async fn look(&mut self) -> bool {
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
        self.folder.ignore(ignored);
        self.present = found.keys().cloned().collect();
        self.take_out_removed(&found).await;

        let (mut pending, now) = (false, Instant::now());
        for (stem, seen) in found {
            if let Some(loading) = self.loads.get(&stem) {
                if loading.seen != seen {
                    loading.give_up();
                }
                continue;
            }
            let known = self.files.entry(stem.clone()).or_default();
            let (next, is_again) = (known.next(&seen, now), known.done.as_ref() == Some(&seen));
            match next {
                Next::Load if self.has_place(is_again) => self.begin(stem, seen, is_again),
                Next::Load | Next::Rest => {}
                Next::Wait => pending = true,
            }
        }
        pending
    }

    async fn take_out_removed(&mut self, found: &BTreeMap<String, Seen>) {
        let mut statuses = self.folder.statuses();
        let known: BTreeSet<_> = self.files.keys().chain(statuses.keys()).cloned().collect();
        for stem in known.into_iter().filter(|stem| !found.contains_key(stem)) {
            self.files.remove(&stem);
            self.supersede(&stem);
            let Some(status) = statuses.remove(&stem) else { continue };
            if let Some(plugin) = status.plugin {
                self.take_out(plugin).await;
            }
            self.folder.set(&stem, None);
            self.give_others_a_chance();
        }
    }

    async fn take_out(&self, plugin: String) {
        self.registry.remove(&plugin);
        tracing::info!(plugin, "plugin removed; its subscriptions keep their backlog, and its schedules rest");
        if let Err(error) = self.wings.withdraw(plugin.clone()).await {
            tracing::error!(
                plugin,
                error,
                "the schedules of a plugin that was removed go on until the host is restarted"
            );
        }
    }

    /// A name or a route may have become free: files that were refused are looked at again.
    fn give_others_a_chance(&mut self) {
        let now = Instant::now();
        for (stem, status) in self.folder.statuses() {
            if let Some(known) = self.files.get_mut(&stem).filter(|_| status.error.is_some()) {
                known.try_again(now);
            }
        }
        for loading in self.loads.values_mut() {
            loading.has_vacancy = true;
        }
    }

    /// What is being made of a file is not wanted any more.
    fn supersede(&self, stem: &str) {
        if let Some(loading) = self.loads.get(stem) {
            loading.give_up();
        }
    }

    /// Whether another file may be loaded. Of those that were refused one is tried again at a time: so the order of
    /// the files decides which of two takes over what has become free.
    fn has_place(&self, is_again: bool) -> bool {
        let waits = is_again && self.loads.values().any(|loading| loading.is_again);
        self.loads.len() < self.at_once && !waits
    }

    fn begin(&mut self, stem: String, seen: Seen, is_again: bool) {
        let load = Load {
            source: self.source(&stem, seen.has_sidecar()),
            registry: self.registry.clone(),
            folder: self.folder.clone(),
            wings: Arc::clone(&self.wings),
            memory: Arc::clone(&self.memory),
            bytes: seen.bytes(),
            outdated: CancellationToken::new(),
        };
        self.loads.insert(stem, Loading::begin(seen, is_again, load));
    }

    fn source(&self, stem: &str, has_sidecar: bool) -> Source {
        Source {
            stem: stem.to_owned(),
            wasm: folder::wasm_path(&self.path, stem),
            sidecar: folder::sidecar_path(&self.path, stem),
            has_sidecar,
            loader: Arc::clone(&self.loader),
            archive: self.archive.clone(),
        }
    }

    async fn see(&self, stem: &str) -> Option<Seen> {
        let (path, stem) = (self.path.clone(), stem.to_owned());
        tokio::task::spawn_blocking(move || folder::see(&path, &stem)).await.ok().flatten()
    }

    /// A load has come to its end: what is still wanted takes over.
    async fn finish(&mut self, stem: &str, loaded: Loaded) {
        let Some(loading) = self.loads.remove(stem) else { return };
        let is_wanted = !loading.is_given_up() && self.see(stem).await.as_ref() == Some(&loading.seen);
        let result = match loaded {
            _ if !is_wanted => Err(SwapError::Outdated),
            Err(error) if loading.has_vacancy && error.is_of_place() => Err(SwapError::Outdated),
            Ok(Some(ready)) => self.swap_in(stem, ready).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        self.settle(stem, loading.seen, result, loading.started.elapsed()).await;
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
