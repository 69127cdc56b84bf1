//! Runs scenarios on the real loader, sandbox and bus, with one delivery at a time and a manual clock.

mod delivery;
mod request;
mod results;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sandbus_toolchain::cache_directory;
use serde_json::Value;
use tempfile::TempDir;

use super::preconditions::Preconditions;
use super::sequence_numbers::{DrawRecorder, DrawnNumbers};
use super::spec::{Action, Moment, Step};
use super::{ScenarioError, ScenarioResult, StepResult, internal_error, logs};
use crate::bus::{
    Claim, CommitMoment, CrashPoint, DurableBus, EventLog as _, FeedEntry, Lifecycle as _, Settings,
    Subscriptions as _, open_embedded,
};
use crate::clock::{Clock, Timestamp};
use crate::event::{Event, Position};
use crate::outbound::{self, Outbound};
use crate::outcome::{Effects, Publish, Write};
use crate::plugin::{
    Defaults, EngineConfig, Environment, Generation, Loader, PreparedRuntimePaths, Registry, Sidecar, Symlinks,
    read_plugin,
};
use crate::subscription::{Definition, Target};

/// The largest number of deliveries of a step, and of stops of the clock on the way to a time.
const LIMIT: usize = 10_000;
/// The largest number of items of each kind in the result of a step.
const PAGE: usize = 1_000;
/// Commits are counted from 1, so this moment never comes.
pub(super) const NO_CRASH: CommitMoment = CommitMoment { commit: 0, after: true };

/// The plugins of a scenario and its preconditions.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    pub(super) plugins: Vec<PluginInput<'a>>,
    /// The index of the plugin whose state is reported in the result. None if several plugins are tested together.
    pub(super) subject: Option<usize>,
    pub(super) given: &'a Preconditions,
}

/// A plugin of a scenario.
#[derive(Debug)]
pub(super) struct PluginInput<'a> {
    /// Its name in the result; by default, the plugin's own name.
    pub(super) name: Option<&'a str>,
    pub(super) wasm: &'a Path,
    pub(super) sidecar: Sidecar,
    /// Its state at the beginning.
    pub(super) state: BTreeMap<String, Vec<u8>>,
}

impl<'a> PluginInput<'a> {
    pub(super) fn new(wasm: &'a Path, sidecar: Sidecar) -> Self {
        Self { name: None, wasm, sidecar, state: BTreeMap::new() }
    }
}

/// A scenario that ran to its end.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) result: ScenarioResult,
    /// The number of commits that changed the store.
    pub(super) commits: u64,
    /// The number of the step in which the host crashed, from 1, if it did.
    pub(super) crashed_in: Option<usize>,
    /// The numbers that plugins drew from sequences.
    pub(super) drawn: DrawnNumbers,
}

/// Runs steps.
pub(super) fn run_steps(inputs: &Inputs<'_>, steps: &[Step]) -> Result<ScenarioResult, ScenarioError> {
    run_with_crash(inputs, steps, NO_CRASH).map(|run| run.result)
}

/// Runs steps on a separate thread, since the caller may be in an async runtime. At the commit `crash`, the host
/// crashes and starts again.
pub(super) fn run_with_crash(inputs: &Inputs<'_>, steps: &[Step], crash: CommitMoment) -> Result<Run, ScenarioError> {
    std::thread::scope(|scope| {
        let player = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal_error)?;
            runtime.block_on(async {
                let mut runner = Runner::new(inputs, crash).await?;
                let run = runner.run(steps).await;
                runner.bus.close().await;
                run
            })
        });
        player.join().unwrap_or_else(|_| Err(ScenarioError::Internal("the host panicked".to_owned())))
    })
}

struct Runner {
    bus: DurableBus,
    registry: Registry,
    loader: Loader,
    clock: Clock,
    /// Answers the requests of plugins.
    outbound: Arc<outbound::StubServer>,
    beginning: Timestamp,
    plugins: Vec<ScenarioPlugin>,
    /// The index of the plugin whose state is reported in the result.
    subject: Option<usize>,
    /// The sources and ids of the events that the steps publish.
    published_by_steps: BTreeSet<(String, String)>,
    /// The last position in the results so far.
    last_position: Position,
    step: StepResult,
    /// The number of the current step, from 1.
    step_number: usize,
    /// The numbers that plugins drew from sequences.
    draws: DrawRecorder,
    /// Whether the effects of the current request are committed.
    has_effects: bool,
    /// Where the current bus crashes.
    crash_point: Arc<CrashPoint>,
    crashed_in: Option<usize>,
    /// Dropped last.
    _directory: TempDir,
}

/// A loaded plugin of a scenario.
struct ScenarioPlugin {
    /// Its name in the result.
    key: String,
    /// Its own name.
    name: Arc<str>,
    wasm: PathBuf,
    sidecar: Sidecar,
}

/// What a step has already done when the host crashes.
#[derive(Default)]
struct Progress {
    /// Whether the step has begun.
    has_begun: bool,
    /// When an `advance` ends.
    until: Option<Timestamp>,
    /// Whether the events are published, or the effects of the request are committed.
    is_done: bool,
}

impl Runner {
    async fn new(inputs: &Inputs<'_>, crash: CommitMoment) -> Result<Self, ScenarioError> {
        let directory = tempfile::tempdir().map_err(internal_error)?;
        let beginning = inputs.given.start_time()?;
        let clock = Clock::manual(beginning);
        let outbound = Arc::new(inputs.given.outbound()?);
        let environment = Environment::for_scenario(clock.clone(), Outbound::Stubbed(Arc::clone(&outbound)));
        let loader = loader(directory.path(), environment)?;
        let crash_point = Arc::new(CrashPoint::new(crash, directory.path().join("crashed")));
        let bus = open_bus(&directory.path().join("data"), &clock, Some(Arc::clone(&crash_point)))?;
        let registry = Registry::default();
        let mut plugins = Vec::new();
        for input in &inputs.plugins {
            let name = register_plugin(&loader, &bus, &registry, input.wasm, &input.sidecar).await?;
            let key = input.name.map_or_else(|| name.to_string(), str::to_owned);
            plugins.push(ScenarioPlugin { key, name, wasm: input.wasm.to_owned(), sidecar: input.sidecar.clone() });
        }
        for (input, plugin) in inputs.plugins.iter().zip(&plugins) {
            let writes = input.state.iter().map(|(key, value)| (key.clone(), Write::Set(value.clone())));
            let effects = Effects { writes: writes.collect(), ..Effects::default() };
            bus.commit(&plugin.name, effects).await.map_err(internal_error)?;
        }
        crash_point.start();
        let (published_by_steps, last_position, step, step_number, draws, has_effects) = Default::default();
        Ok(Self {
            bus,
            registry,
            loader,
            clock,
            outbound,
            beginning,
            plugins,
            subject: inputs.subject,
            published_by_steps,
            last_position,
            step,
            step_number,
            draws,
            has_effects,
            crash_point,
            crashed_in: None,
            _directory: directory,
        })
    }

    async fn run(&mut self, steps: &[Step]) -> Result<Run, ScenarioError> {
        let mut result = ScenarioResult { steps: Vec::new(), all: StepResult::default() };
        for (index, step) in steps.iter().enumerate() {
            let mut progress = Progress::default();
            self.step_number = index + 1;
            let mut done = self.run_step(step, &mut progress).await;
            if self.has_crashed() {
                self.restart().await?;
                self.crashed_in = Some(index + 1);
                done = self.run_step(step, &mut progress).await;
            }
            done?;
            self.record_step().await?;
            let step_result = std::mem::take(&mut self.step);
            result.all.append(step_result.clone());
            result.steps.push(step_result);
        }
        let (commits, drawn) = (self.crash_point.commits(), self.draws.drawn());
        Ok(Run { result, commits, crashed_in: self.crashed_in, drawn })
    }

    /// Runs a step, or after a crash the rest of the step.
    async fn run_step(&mut self, step: &Step, progress: &mut Progress) -> Result<(), ScenarioError> {
        if let Some(at) = step.at {
            let (at, now) = (self.time(at), self.clock.now());
            if at < now && !progress.has_begun {
                return Err(ScenarioError::Malformed(format!(
                    "a step is at {at}, but the previous step ends at {now}"
                )));
            }
            self.advance_to(at.max(now)).await?;
        }
        progress.has_begun = true;
        self.perform(&step.action, progress).await?;
        self.run_until_idle().await
    }

    /// Whether the current bus has crashed.
    fn has_crashed(&self) -> bool {
        self.crash_point.crash().is_some() && self.crashed_in.is_none()
    }

    /// Starts the host again on the store as the crash has left it. Nothing in memory remains, except what the scenario
    /// has seen from outside.
    async fn restart(&mut self) -> Result<(), ScenarioError> {
        self.bus = open_bus(self.crash_point.copy(), &self.clock, None)?;
        self.registry = Registry::default();
        for plugin in &self.plugins {
            register_plugin(&self.loader, &self.bus, &self.registry, &plugin.wasm, &plugin.sidecar).await?;
        }
        Ok(())
    }

    fn time(&self, moment: Moment) -> Timestamp {
        match moment {
            Moment::After(time) => self.beginning.after(time),
            Moment::At(time) => time,
        }
    }

    async fn perform(&mut self, action: &Action, progress: &mut Progress) -> Result<(), ScenarioError> {
        match action {
            Action::Advance(time) => {
                let until = *progress.until.get_or_insert(self.clock.now().after(*time));
                return self.advance_to(until).await;
            }
            _ if progress.is_done => return Ok(()),
            // A producer that gets no response publishes again. Events that are in the log are not stored twice.
            Action::Publish(events) => self.publish(events).await?,
            Action::Request { method, target, headers, body } => {
                self.has_effects = false;
                let answered = self.outbound.answered();
                let done = self.request(method, target, headers, body).await;
                self.take_back(answered);
                if let Some(crash) = self.crash_point.crash().filter(|_| self.has_crashed()) {
                    // The client got no response. It sends the request again if nothing came of it.
                    self.step.response = None;
                    progress.is_done = self.has_effects || crash.with_effects;
                    return done;
                }
                done?;
            }
        }
        progress.is_done = true;
        Ok(())
    }

    /// Lets the stubs answer again what an invocation was told, if a crash has undone the invocation.
    fn take_back(&self, answered: outbound::AnsweredCounts) {
        if self.has_crashed() && self.crash_point.crash().is_some_and(|crash| !crash.committed) {
            self.outbound.restore(answered);
        }
    }

    async fn publish(&mut self, events: &[Event]) -> Result<(), ScenarioError> {
        self.published_by_steps.extend(events.iter().map(|event| (event.source.clone(), event.id.clone())));
        let publishes = events.iter().map(|event| Publish { event: event.clone(), due: None });
        self.bus.publish(publishes.collect()).await.map(drop).map_err(internal_error)
    }

    /// Advances the clock to a time, and stops at each retry, delayed event and schedule on the way.
    async fn advance_to(&mut self, until: Timestamp) -> Result<(), ScenarioError> {
        self.run_until_idle().await?;
        for _ in 0..LIMIT {
            let now = self.clock.now();
            match self.bus.next_due().filter(|due| *due > now && *due < until) {
                Some(due) => self.clock.set(due),
                None => {
                    self.clock.set(until.max(now));
                    return self.run_until_idle().await;
                }
            }
            self.run_until_idle().await?;
        }
        Err(ScenarioError::NeverIdle(format!(
            "more than {LIMIT} retries, delayed events or schedules are due before {until}; use smaller steps"
        )))
    }

    /// Makes all deliveries that are due.
    async fn run_until_idle(&mut self) -> Result<(), ScenarioError> {
        for _ in 0..LIMIT {
            if self.has_crashed() {
                return Err(ScenarioError::Internal("the host has crashed".to_owned()));
            }
            self.bus.append_due().await.map_err(internal_error)?;
            let Some((claim, generation, definition)) = self.claim_next().await? else { return Ok(()) };
            self.deliver(claim, &generation, definition).await?;
        }
        Err(ScenarioError::NeverIdle(format!("a step causes more than {LIMIT} deliveries")))
    }

    async fn claim_next(&self) -> Result<Option<(Claim, Arc<Generation>, Arc<Definition>)>, ScenarioError> {
        let catalogue = Arc::clone(&self.bus.catalogue().borrow());
        for entry in &catalogue.feeds {
            let Some(generation) = self.handler(entry) else { continue };
            if let Some(claim) = self.bus.claim_now(entry.feed).await.map_err(internal_error)? {
                return Ok(Some((claim, generation, Arc::clone(&entry.definition))));
            }
        }
        Ok(None)
    }

    /// The plugin of the scenario that handles a subscription's deliveries, if there is one.
    fn handler(&self, entry: &FeedEntry) -> Option<Arc<Generation>> {
        let Target::Plugin(name) = &entry.definition.target else { return None };
        let generation = self.registry.snapshot().plugins.get(name).cloned()?;
        (entry.dynamic || generation.declares(&entry.id.name)).then_some(generation)
    }

    fn after_beginning(&self, time: Timestamp) -> String {
        format!("+{}", humantime::format_duration(time.since(self.beginning)))
    }
}

/// Runs a handler on a separate thread, where host calls may block. Also returns the log lines.
fn run_on_thread<T: Send>(handler: impl FnOnce() -> T + Send) -> (T, Vec<String>) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| logs::capture(handler));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Bytes as JSON if they are JSON, else as text.
fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

/// Loads a plugin and declares its subscriptions. Returns its name.
async fn register_plugin(
    loader: &Loader,
    bus: &DurableBus,
    registry: &Registry,
    wasm: &Path,
    sidecar: &Sidecar,
) -> Result<Arc<str>, ScenarioError> {
    let bytes = read_plugin(wasm, Symlinks::Follow)
        .map_err(|error| ScenarioError::Component { path: wasm.to_owned(), error })?;
    let stem = wasm.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let sidecar = Sidecar { stem, ..sidecar.clone() };
    // The component may print while it describes itself, which blocks.
    let loaded = std::thread::scope(|scope| scope.spawn(|| loader.load(&bytes, &sidecar)).join());
    let loaded = loaded.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let generation = loaded.map_err(|error| ScenarioError::Load { path: wasm.to_owned(), error: Box::new(error) })?;
    if registry.snapshot().plugins.contains_key(&*generation.name) {
        let reason = format!("several plugins are named `{}`", generation.name);
        return Err(ScenarioError::Malformed(reason));
    }
    registry.check_routes(&generation.name, &generation.descriptor.routes).map_err(internal_error)?;
    bus.declare(&generation.name, generation.settings.declared.clone()).await.map_err(internal_error)?;
    let name = Arc::clone(&generation.name);
    registry.put(Arc::new(generation));
    Ok(name)
}

fn open_bus(
    directory: &Path,
    clock: &Clock,
    crash_point: Option<Arc<CrashPoint>>,
) -> Result<DurableBus, ScenarioError> {
    let settings = Settings { repeatable_ids: true, crash_point, ..Settings::default() };
    open_embedded(directory, clock.clone(), settings).map_err(internal_error)
}

pub(super) fn loader(directory: &Path, environment: Environment) -> Result<Loader, ScenarioError> {
    /// Invocations run one at a time, so a small pool is enough.
    const CONCURRENCY: usize = 2;
    let defaults = Defaults::default();
    let engine = EngineConfig {
        concurrency: CONCURRENCY,
        memory_bytes: defaults.max_memory_bytes,
        source_lines: true,
        wasi_0_3: true,
        labelled_imports: true,
    };
    // Compiling a language's runtime takes seconds, so the code is cached.
    let cache = cache_directory().map_or_else(|_| directory.join("cache"), |caches| caches.join("code"));
    let loader = Loader::new(engine, cache.clone(), defaults, environment).map_err(internal_error)?;
    Ok(match sandbus_toolchain::prepared_runtimes() {
        Ok(runtimes) => loader.with_runtimes(PreparedRuntimePaths { runtimes, code: cache }),
        Err(_) => loader,
    })
}

/// Limits the time that a client waits for a reply, in virtual time.
fn limit_timeout(timeout: Duration) -> Duration {
    timeout.min(crate::reply::REPLY_LIMIT)
}
