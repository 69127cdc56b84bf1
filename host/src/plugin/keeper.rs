//! Keeps what runs equal to what is in the folder: loads what is new, swaps what has changed, takes out
//! what is gone. A broken file changes nothing but the error that is shown for it.

mod rollback;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use self::rollback::{Command, QUEUE};
pub use self::rollback::{RollbackError, RolledBack};
use super::archive::{Archive, Kept, Pin};
use super::compile::Digest;
use super::folder::{self, Seen};
use super::generation::Generation;
use super::loader::{LoadError, Loader};
use super::registry::{Registry, RouteConflict};
use super::sidecar::{CanaryRule, Sidecar};
use crate::clock::Clock;
use crate::subscription::Declaration;

/// A file is taken for whole when nothing has been written to it for so long.
const QUIET: Duration = Duration::from_millis(25);
/// How long a file that cannot be loaded is given to become whole before it is reported.
const PATIENCE: Duration = Duration::from_millis(400);
/// The largest file that is taken for a plugin, in bytes. Those of language runtimes have some 20 MB.
pub const FILE_LIMIT_BYTES: u64 = 256 << 20;
/// The folder is looked at this often even if no change is reported.
const POLL: Duration = Duration::from_secs(2);

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

/// What stands in the folder under one name.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The plugin that is loaded from it, if one is.
    pub plugin: Option<String>,
    /// Why its newest content is not what runs, if that is so.
    pub error: Option<String>,
    /// Whether the sidecar switches it off.
    pub disabled: bool,
    /// What runs in its place, if an operator or a rule went back to an earlier generation.
    pub rolled_back: Option<Pin>,
    /// The generations that are kept, in the order in which they were loaded first.
    pub kept: Vec<Kept>,
}

/// A handle on what is known of the folder, and on its keeper. It clones cheaply.
#[derive(Clone, Debug)]
pub struct Folder {
    statuses: Arc<Mutex<BTreeMap<String, Status>>>,
    commands: mpsc::Sender<Command>,
}

impl Folder {
    /// What stands in the folder, by the stems of the files.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<String, Status> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, stem: &str, status: Option<Status>) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => drop(statuses.insert(stem.to_owned(), status)),
            None => drop(statuses.remove(stem)),
        }
    }
}

/// Why a file's newest content is not what runs.
#[derive(Debug, thiserror::Error)]
enum SwapError {
    #[error("it cannot be read: {0}")]
    Read(std::io::Error),
    #[error("it has {0} bytes; a plugin has {FILE_LIMIT_BYTES} at most")]
    TooLarge(u64),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("its plugin `{name}` is loaded from {other}.wasm already; remove one of them or rename the plugin")]
    NameTaken { name: String, other: String },
    #[error(transparent)]
    Route(#[from] RouteConflict),
    #[error("its subscriptions could not be stored: {0}")]
    Declare(String),
    #[error("{0}")]
    Canary(String),
    #[error("which generation runs cannot be stored: {0}")]
    Keep(std::io::Error),
    #[error("loading it did not finish: {0}")]
    Unfinished(String),
}

impl SwapError {
    /// Whether a file that is still being written could end so.
    fn may_be_half_written(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Load(_))
    }
}

/// Where the files of plugins are. Neither directory need exist yet.
#[derive(Clone, Debug)]
pub struct Places {
    /// Those that run.
    pub plugins: PathBuf,
    /// Those of former generations.
    pub former: PathBuf,
}

/// Watches the folder and keeps the registry equal to it.
#[derive(Debug)]
pub struct Keeper<W> {
    path: PathBuf,
    loader: Arc<Loader>,
    registry: Registry,
    wings: W,
    archive: Archive,
    clock: Clock,
    folder: Folder,
    commands: mpsc::Receiver<Command>,
    /// Files as they were when they were last loaded or refused.
    done: BTreeMap<String, Seen>,
    /// Files that could not be loaded and may still be in the making.
    waiting: BTreeMap<String, Instant>,
}

impl<W: Declare + Rehearse> Keeper<W> {
    /// A keeper of a folder.
    pub fn new(places: Places, loader: Arc<Loader>, registry: Registry, wings: W, clock: Clock) -> Self {
        let Places { plugins: path, former } = places;
        let (sender, commands) = mpsc::channel(QUEUE);
        let (folder, archive) = (Folder { statuses: Arc::default(), commands: sender }, Archive::new(former));
        let (done, waiting) = <(BTreeMap<_, _>, BTreeMap<_, _>)>::default();
        Self { path, loader, registry, wings, archive, clock, folder, commands, done, waiting }
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
        while self.look().await && started.elapsed() < 2 * PATIENCE {
            tokio::time::sleep(QUIET).await;
        }
    }

    /// Watches until it is cancelled.
    pub async fn run(mut self, cancelled: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let mut watcher = None;
        loop {
            if watcher.is_none() {
                watcher = watch(&self.path, Arc::clone(&changed));
            }
            let pending = self.look().await;
            self.roll_back_what_fails().await;
            let wait = if pending { QUIET } else { POLL };
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = changed.notified() => {}
                Some(command) = self.commands.recv() => self.obey(command).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Looks at the folder and acts on what has changed. Returns whether something is in the making.
    async fn look(&mut self) -> bool {
        let path = self.path.clone();
        let scanned = tokio::task::spawn_blocking(move || folder::scan(&path)).await;
        let found = match scanned {
            Ok(Ok(found)) => found,
            // A folder that is not there is an empty one; what was loaded from it is gone.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Ok(Err(error)) => {
                tracing::error!(folder = %self.path.display(), %error, "the plugin folder cannot be read; what is loaded goes on");
                return false;
            }
            Err(_) => return false,
        };
        self.take_out_removed(&found);

        let mut pending = false;
        for (stem, seen) in found {
            if self.done.get(&stem) == Some(&seen) {
                continue;
            }
            if !seen.is_settled(QUIET) {
                pending = true;
                continue;
            }
            pending |= !self.load(&stem, seen).await;
        }
        pending
    }

    fn take_out_removed(&mut self, found: &BTreeMap<String, Seen>) {
        let gone: Vec<_> = self.done.keys().filter(|stem| !found.contains_key(*stem)).cloned().collect();
        for stem in gone {
            self.done.remove(&stem);
            let status = self.folder.statuses().remove(&stem);
            if let Some(plugin) = status.and_then(|status| status.plugin) {
                self.registry.remove(&plugin);
                tracing::info!(plugin, "plugin removed; its subscriptions keep their backlog");
            }
            self.folder.set(&stem, None);
            self.give_others_a_chance();
        }
    }

    /// A name or a route may have become free: files that were refused are looked at again.
    fn give_others_a_chance(&mut self) {
        for (stem, status) in self.folder.statuses() {
            if status.error.is_some() {
                self.done.remove(&stem);
            }
        }
    }

    /// Loads a file. Returns whether that is settled; if not, the file may be half written.
    async fn load(&mut self, stem: &str, seen: Seen) -> bool {
        let started = Instant::now();
        let result = self.swap_in(stem).await;
        let before = self.folder.statuses().remove(stem);
        match result {
            Ok(loaded) => {
                self.waiting.remove(stem);
                self.note_loaded(stem, loaded, before, started.elapsed());
            }
            Err(error) if error.may_be_half_written() && !self.patience_is_over(stem) => return false,
            Err(error) => {
                self.waiting.remove(stem);
                let before = before.unwrap_or_default();
                let running = if before.plugin.is_some() { "; the former one goes on" } else { "" };
                tracing::error!(file = %format!("{stem}.wasm"), "the plugin is not loaded{running}: {error}");
                self.folder.set(stem, Some(Status { error: Some(error.to_string()), disabled: false, ..before }));
            }
        }
        self.done.insert(stem.to_owned(), seen);
        true
    }

    fn patience_is_over(&mut self, stem: &str) -> bool {
        let since = self.waiting.entry(stem.to_owned()).or_insert_with(Instant::now);
        since.elapsed() >= PATIENCE
    }

    fn note_loaded(&mut self, stem: &str, loaded: Option<Swapped>, before: Option<Status>, took: Duration) {
        let former = before.and_then(|before| before.plugin);
        let name = loaded.as_ref().map(|loaded| loaded.generation.name.to_string());
        if let Some(former) = former.filter(|former| name.as_ref() != Some(former)) {
            self.registry.remove(&former);
            tracing::info!(plugin = former, "plugin removed; its subscriptions keep their backlog");
            self.give_others_a_chance();
        }
        let disabled = loaded.is_none();
        let (mut rolled_back, mut kept) = (None, Vec::new());
        if let Some(Swapped { generation, pin, kept: generations }) = loaded {
            let withheld = generation.settings.withheld(&generation.descriptor);
            if !withheld.is_empty() {
                tracing::warn!(plugin = %generation.name, withheld = withheld.join(", "), "the plugin asks for more than the sidecar grants");
            }
            if let Some(pin) = &pin {
                tracing::warn!(plugin = %generation.name, reason = pin.reason, "an earlier generation runs in place of the file; put in another file to go on");
            }
            tracing::info!(
                plugin = %generation.name,
                version = generation.descriptor.version,
                digest = generation.digest.short(),
                took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "plugin loaded"
            );
            (rolled_back, kept) = (pin, generations);
        }
        self.folder.set(stem, Some(Status { plugin: name, error: None, disabled, rolled_back, kept }));
    }

    /// Loads a file, or what runs in its place, and swaps it in, unless its sidecar switches it off.
    async fn swap_in(&self, stem: &str) -> Result<Option<Swapped>, SwapError> {
        let source = self.source(stem);
        let Some(Loaded { generation, bytes, pin }) = blocking(move || source.load()).await? else { return Ok(None) };
        let generation = Arc::new(generation);
        self.check_name(stem, &generation.name)?;
        self.registry.check_routes(&generation.name, &generation.descriptor.routes)?;
        self.rehearse(&generation).await?;
        self.put(&generation).await?;

        // It runs; to keep its file can wait until then.
        let (archive, stem, kept) = (self.archive.clone(), stem.to_owned(), self.kept(&generation));
        let record = blocking(move || {
            archive.keep(&stem, kept, &bytes).or_else(|error| {
                tracing::error!(plugin = stem, %error, "the plugin's file cannot be kept; there will be no way back to it");
                Ok::<_, SwapError>(archive.record(&stem))
            })
        });
        Ok(Some(Swapped { generation, pin, kept: record.await?.kept }))
    }

    fn source(&self, stem: &str) -> Source {
        Source {
            stem: stem.to_owned(),
            wasm: folder::wasm_path(&self.path, stem),
            sidecar: folder::sidecar_path(&self.path, stem),
            loader: Arc::clone(&self.loader),
            archive: self.archive.clone(),
        }
    }

    fn kept(&self, generation: &Generation) -> Kept {
        let (digest, version) = (generation.digest.as_str().to_owned(), generation.descriptor.version.clone());
        Kept { digest, version, since: self.clock.now() }
    }

    /// Lets a new generation handle the past beside the one that runs, where the sidecar demands that.
    async fn rehearse(&self, new: &Arc<Generation>) -> Result<(), SwapError> {
        let Some(rule) = new.settings.canary else { return Ok(()) };
        let live = self.registry.snapshot().plugins.get(&*new.name).cloned();
        match live.filter(|live| live.digest != new.digest) {
            Some(live) => self.wings.rehearse(live, Arc::clone(new), rule).await.map_err(SwapError::Canary),
            None => Ok(()),
        }
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

    fn check_name(&self, stem: &str, name: &str) -> Result<(), SwapError> {
        let statuses = self.folder.statuses();
        let other = statuses.iter().find(|(other, status)| *other != stem && status.plugin.as_deref() == Some(name));
        other.map_or(Ok(()), |(other, _)| Err(SwapError::NameTaken { name: name.to_owned(), other: other.clone() }))
    }
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SwapError> + Send + 'static,
) -> Result<T, SwapError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SwapError::Unfinished(error.to_string()))?
}

/// What was swapped in.
struct Swapped {
    generation: Arc<Generation>,
    pin: Option<Pin>,
    kept: Vec<Kept>,
}

/// A generation, with the bytes that it was made from.
struct Loaded {
    generation: Generation,
    bytes: Vec<u8>,
    /// Why they are not those of the file in the folder.
    pin: Option<Pin>,
}

/// Where a plugin comes from.
struct Source {
    stem: String,
    wasm: PathBuf,
    sidecar: PathBuf,
    loader: Arc<Loader>,
    archive: Archive,
}

impl Source {
    /// Loads the file, or what runs in its place; none if the sidecar switches the plugin off.
    fn load(&self) -> Result<Option<Loaded>, SwapError> {
        let sidecar = self.sidecar()?;
        if sidecar.enabled == Some(false) {
            return Ok(None);
        }
        let (bytes, pin) = self.in_place_of(self.bytes()?);
        let generation = self.loader.load(&bytes, &sidecar)?;
        Ok(Some(Loaded { generation, bytes, pin }))
    }

    fn sidecar(&self) -> Result<Sidecar, SwapError> {
        let mut sidecar = match std::fs::read_to_string(&self.sidecar) {
            Ok(text) => Sidecar::parse(&text).map_err(LoadError::Sidecar)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Sidecar::default(),
            Err(error) => return Err(SwapError::Read(error)),
        };
        sidecar.stem.clone_from(&self.stem);
        Ok(sidecar)
    }

    fn bytes(&self) -> Result<Vec<u8>, SwapError> {
        let length = std::fs::metadata(&self.wasm).map_err(SwapError::Read)?.len();
        if length > FILE_LIMIT_BYTES {
            return Err(SwapError::TooLarge(length));
        }
        std::fs::read(&self.wasm).map_err(SwapError::Read)
    }

    /// The bytes that run in place of the file's. The word for another file is forgotten.
    fn in_place_of(&self, bytes: Vec<u8>) -> (Vec<u8>, Option<Pin>) {
        let record = self.archive.record(&self.stem);
        match record.pin_over(&Digest::of(&bytes)) {
            Some(pin) => match self.archive.read(&self.stem, &pin.runs) {
                Ok(former) => (former, Some(pin.clone())),
                Err(error) => {
                    tracing::error!(file = self.stem, %error, "the generation that was rolled back to is gone; the file in the folder runs");
                    (bytes, None)
                }
            },
            None => {
                if record.pin.is_some()
                    && let Err(error) = self.archive.pin(&self.stem, None)
                {
                    tracing::error!(file = self.stem, %error, "the end of a rollback cannot be stored");
                }
                (bytes, None)
            }
        }
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
