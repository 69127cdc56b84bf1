//! Keeps what runs equal to what is in the folder: loads what is new, swaps what has changed, takes out
//! what is gone. A broken file changes nothing but the error that is shown for it.

mod file_state;
mod loading;
mod rollback;
mod status;
mod swap_error;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use self::file_state::{Known, Next, PATIENCE, QUIET};
use self::loading::{Load, Loaded, Loading, Ready, Source, blocking, check_place, end_of_one, mebibytes};
use self::rollback::{Command, QUEUE};
pub use self::rollback::{RollbackError, RolledBack};
pub use self::status::{Folder, Status};
use self::swap_error::SwapError;
use super::archive::{Archive, Kept, Pin, Record};
use super::folder::{self, Scan, Seen};
use super::registry::Registry;
use super::route_claims::Claims;
use crate::clock::Clock;
use crate::plugin::load::loader::Loader;
use crate::plugin::load::source::FILE_LIMIT_BYTES;
use crate::plugin::manifest::swap_rules::CanaryRule;
use crate::plugin::run::generation::Generation;
use crate::printable;
use crate::subscription::Declaration;

/// The folder is looked at this often even if no change is reported.
const POLL: Duration = Duration::from_secs(2);
/// The longest complaint about a file.
const COMPLAINT_CHARACTERS: usize = 2_000;
/// How many files are loaded at a time while the host runs: one that handles the past at length holds up no other.
const AT_ONCE: usize = 4;

/// Where a generation's subscriptions are made known before it is swapped in. The composition root
/// connects this to the bus, which this module does not know.
pub trait Declare: Send + Sync + 'static {
    /// Takes over the subscriptions and the schedules that a plugin declares, and returns the names of the
    /// subscriptions that it no longer does.
    fn declare(
        &self,
        plugin: String,
        declaration: Declaration,
    ) -> impl Future<Output = Result<Vec<String>, String>> + Send;

    /// Lets the schedules of a plugin rest that does not run any more.
    fn withdraw(&self, plugin: String) -> impl Future<Output = Result<(), String>> + Send;
}

/// What lets a generation handle the past before it takes over. The composition root connects this, too.
pub trait Rehearse: Send + Sync + 'static {
    /// Compares how two generations handle the last events, and says what an operator must know if they differ
    /// more than a rule allows.
    fn rehearse(
        &self,
        live: Arc<Generation>,
        new: Arc<Generation>,
        rule: CanaryRule,
    ) -> impl Future<Output = Result<(), String>> + Send;
}

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
pub struct Keeper<W> {
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

impl<W: Declare + Rehearse> Keeper<W> {
    /// A keeper of a folder.
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
    /// that it is left for [`Keeper::run`].
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

    async fn settle(&mut self, stem: &str, seen: Seen, result: Result<Option<Swapped>, SwapError>, took: Duration) {
        let now = Instant::now();
        let known = self.files.entry(stem.to_owned()).or_default();
        match result {
            Ok(swapped) => {
                known.settle(seen);
                known.is_stuck = false;
                self.note_loaded(stem, swapped, took).await;
            }
            Err(SwapError::Outdated) => known.hold(now),
            Err(error) if error.may_be_half_written() && !known.is_patience_over(now) => known.hold(now),
            Err(error) => {
                let is_again = known.done.as_ref() == Some(&seen);
                if error.may_pass() {
                    known.settle_for_now(seen, now);
                } else {
                    known.settle(seen);
                }
                self.note_refused(stem, &error, is_again);
            }
        }
    }

    fn note_refused(&self, stem: &str, error: &SwapError, is_again: bool) {
        let before = self.folder.statuses().remove(stem).unwrap_or_default();
        // The file's own words are among them.
        let error: String = printable::block(&error.to_string()).chars().take(COMPLAINT_CHARACTERS).collect();
        // The same complaint about the same file is no news.
        if !is_again || before.error.as_ref() != Some(&error) {
            let running = if before.plugin.is_some() { "; the former one goes on" } else { "" };
            tracing::error!(file = %format!("{stem}.wasm"), "the plugin is not loaded{running}: {error}");
        }
        self.folder.set(stem, Some(Status { error: Some(error), disabled: false, ..before }));
    }

    async fn note_loaded(&mut self, stem: &str, swapped: Option<Swapped>, took: Duration) {
        let former = self.folder.statuses().remove(stem).and_then(|before| before.plugin);
        let name = swapped.as_ref().map(|swapped| swapped.generation.name.to_string());
        if let Some(former) = former.filter(|former| name.as_ref() != Some(former)) {
            self.take_out(former).await;
            self.give_others_a_chance();
        }
        let disabled = swapped.is_none();
        let (mut rolled_back, mut kept) = (None, Vec::new());
        if let Some(Swapped { generation, pin, kept: generations, is_news }) = swapped {
            if is_news {
                tell_of(&generation, pin.as_ref(), took);
            }
            (rolled_back, kept) = (pin, generations);
        }
        self.folder.set(stem, Some(Status { plugin: name, error: None, disabled, rolled_back, kept }));
    }

    /// Lets a generation take over that was made of a file, or of what runs in its place.
    async fn swap_in(&mut self, stem: &str, ready: Ready) -> Result<Swapped, SwapError> {
        let Ready { generation, bytes, pin, memory } = ready;
        check_place(&self.registry, &self.folder, stem, &generation)?;
        self.claim(stem, &generation).await?;
        let former = self.registry.snapshot().plugins.get(&*generation.name).cloned();
        let is_as_before = former.as_ref().is_some_and(|former| {
            former.digest == generation.digest && former.settings.sidecar == generation.settings.sidecar
        });
        let status = self.folder.statuses().remove(stem).unwrap_or_default();
        let is_news = !is_as_before || status.error.is_some() || status.rolled_back != pin;
        self.put(&generation).await?;
        let routes = &generation.descriptor.routes;
        if former.is_some_and(|former| former.descriptor.routes.iter().any(|route| !routes.contains(route))) {
            self.give_others_a_chance();
        }

        // It runs; to keep its file can wait until then, and what was said of another file holds until then.
        let (archive, stem, kept) = (self.archive.clone(), stem.to_owned(), self.kept(&generation));
        let is_pinned = pin.is_some();
        let record = blocking(move || Ok(keep(&archive, &stem, kept, &bytes, is_pinned))).await;
        drop(memory);
        Ok(Swapped { is_news, generation, pin, kept: record.map(|record| record.kept).unwrap_or_default() })
    }

    /// Makes a generation's routes its plugin's, unless one would take requests from another plugin's. Durable before
    /// the first request comes, so that a restart decides alike.
    async fn claim(&mut self, stem: &str, generation: &Generation) -> Result<(), SwapError> {
        let (archive, name) = (self.archive.clone(), stem.to_owned());
        let has_run = self.claims.is_new()
            && blocking(move || Ok(archive.record(&name)?)).await.is_ok_and(|record| !record.kept.is_empty());
        if !has_run {
            self.claims.check(stem, generation, &self.present)?;
        }
        let claims = self.claims.with(stem, generation, &self.present);
        if !claims.is_like(&self.claims) {
            let stored = claims.clone();
            blocking(move || stored.store().map_err(SwapError::Claim)).await?;
        }
        self.claims = claims;
        Ok(())
    }

    fn kept(&self, generation: &Generation) -> Kept {
        let (digest, version) = (generation.digest.as_str().to_owned(), generation.descriptor.version.clone());
        Kept { digest, version, since: self.clock.now(), rolled_back_from: false }
    }

    /// Lets a generation take over.
    async fn put(&self, generation: &Arc<Generation>) -> Result<(), SwapError> {
        let declared = generation.settings.declared.clone();
        let orphans = self.wings.declare(generation.name.to_string(), declared).await.map_err(SwapError::Declare)?;
        for subscription in orphans {
            tracing::warn!(plugin = %generation.name, subscription, "the plugin no longer declares this subscription; it is paused and keeps its backlog");
        }
        self.registry.put(Arc::clone(generation));
        Ok(())
    }
}

/// What was swapped in.
struct Swapped {
    /// Whether it is another generation than before, or has other rules. Files that are moved away and back are not.
    is_news: bool,
    generation: Arc<Generation>,
    pin: Option<Pin>,
    kept: Vec<Kept>,
}

/// Tells of a generation that has taken over.
fn tell_of(generation: &Generation, pin: Option<&Pin>, took: Duration) {
    let withheld = generation.settings.withheld(&generation.descriptor);
    if !withheld.is_empty() {
        tracing::warn!(plugin = %generation.name, withheld = withheld.join(", "), "the plugin asks for more than the sidecar grants");
    }
    if let Some(pin) = pin {
        tracing::warn!(plugin = %generation.name, reason = pin.reason, "an earlier generation runs in place of the file; put in another file to go on");
    }
    tracing::info!(
        plugin = %generation.name,
        version = generation.descriptor.version,
        digest = generation.digest.short(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "plugin loaded"
    );
}

/// Keeps the file of what runs, as far as that is possible.
fn keep(archive: &Archive, stem: &str, kept: Kept, bytes: &[u8], is_pinned: bool) -> Record {
    let runs = kept.digest.clone();
    let error = match archive.keep(stem, kept, bytes, is_pinned) {
        Ok(record) => return record,
        Err(error) => error,
    };
    tracing::error!(plugin = stem, %error, "the plugin's file cannot be kept; there will be no way back to it");
    if !is_pinned && let Err(error) = archive.unpin(stem, &runs) {
        tracing::error!(file = stem, %error, "the end of a rollback cannot be stored");
    }
    archive.record(stem).unwrap_or_default()
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
