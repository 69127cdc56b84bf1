//! Runs scenarios on the real loader, sandbox and bus, with one delivery at a time and a manual clock.

mod delivery;
mod request;
mod results;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sandbus_toolchain::cache_directory;
use serde_json::Value;
use tempfile::TempDir;

use super::preconditions::Preconditions;
use super::spec::{Action, Moment, Step};
use super::{ScenarioError, ScenarioResult, StepResult, internal_error, logs};
use crate::bus::{Claim, Embedded, EventLog as _, FeedEntry, Lifecycle as _, Settings, Subscriptions as _};
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

/// The plugins of a scenario and its preconditions.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    pub(super) plugins: Vec<PluginInput<'a>>,
    /// The index of the plugin whose state is the state of the result. None if there are several such plugins.
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

/// Runs steps on a separate thread, since the caller may be in an async runtime.
pub(super) fn run_steps(inputs: &Inputs<'_>, steps: &[Step]) -> Result<ScenarioResult, ScenarioError> {
    std::thread::scope(|scope| {
        let player = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal_error)?;
            runtime.block_on(async {
                let mut runner = Runner::new(inputs).await?;
                let result = runner.run(steps).await;
                runner.bus.close().await;
                result
            })
        });
        player.join().unwrap_or_else(|_| Err(ScenarioError::Internal("the host panicked".to_owned())))
    })
}

struct Runner {
    bus: Embedded,
    registry: Registry,
    clock: Clock,
    /// Answers the requests of plugins.
    outbound: Arc<outbound::StubServer>,
    beginning: Timestamp,
    plugins: Vec<ScenarioPlugin>,
    /// The index of the plugin whose state is the state of the result.
    subject: Option<usize>,
    /// The sources and ids of the events that the steps publish.
    published_by_steps: BTreeSet<(String, String)>,
    /// The last position in the results so far.
    last_position: Position,
    step: StepResult,
    /// Dropped last.
    _directory: TempDir,
}

/// A loaded plugin of a scenario.
struct ScenarioPlugin {
    /// Its name in the result.
    key: String,
    /// Its own name.
    name: Arc<str>,
}

impl Runner {
    async fn new(inputs: &Inputs<'_>) -> Result<Self, ScenarioError> {
        let directory = tempfile::tempdir().map_err(internal_error)?;
        let beginning = inputs.given.start_time()?;
        let clock = Clock::manual(beginning);
        let outbound = Arc::new(inputs.given.outbound());
        let environment = Environment::for_scenario(clock.clone(), Outbound::Stubbed(Arc::clone(&outbound)));
        let loader = loader(directory.path(), environment)?;
        let settings = Settings { repeatable_ids: true, ..Settings::default() };
        let bus = Embedded::open(&directory.path().join("data"), clock.clone(), settings).map_err(internal_error)?;
        let registry = Registry::default();
        let mut plugins = Vec::new();
        for input in &inputs.plugins {
            let name = register_plugin(&loader, &bus, &registry, input.wasm, &input.sidecar).await?;
            let key = input.name.map_or_else(|| name.to_string(), str::to_owned);
            plugins.push(ScenarioPlugin { key, name });
        }
        for (input, plugin) in inputs.plugins.iter().zip(&plugins) {
            let writes = input.state.iter().map(|(key, value)| (key.clone(), Write::Set(value.clone())));
            let effects = Effects { writes: writes.collect(), ..Effects::default() };
            bus.commit(&plugin.name, effects).await.map_err(internal_error)?;
        }
        let (published_by_steps, last_position, step) = Default::default();
        Ok(Self {
            bus,
            registry,
            clock,
            outbound,
            beginning,
            plugins,
            subject: inputs.subject,
            published_by_steps,
            last_position,
            step,
            _directory: directory,
        })
    }

    async fn run(&mut self, steps: &[Step]) -> Result<ScenarioResult, ScenarioError> {
        let mut result = ScenarioResult { steps: Vec::new(), all: StepResult::default() };
        for step in steps {
            if let Some(at) = step.at {
                let (at, now) = (self.time(at), self.clock.now());
                if at < now {
                    return Err(ScenarioError::Malformed(format!(
                        "a step is at {at}, but the previous step ends at {now}"
                    )));
                }
                self.advance_to(at).await?;
            }
            self.perform(&step.action).await?;
            self.run_until_idle().await?;
            self.record_step().await?;
            let step_result = std::mem::take(&mut self.step);
            result.all.append(step_result.clone());
            result.steps.push(step_result);
        }
        Ok(result)
    }

    fn time(&self, moment: Moment) -> Timestamp {
        match moment {
            Moment::After(time) => self.beginning.after(time),
            Moment::At(time) => time,
        }
    }

    async fn perform(&mut self, action: &Action) -> Result<(), ScenarioError> {
        match action {
            Action::Publish(events) => self.publish(events).await,
            Action::Request { method, target, headers, body } => self.request(method, target, headers, body).await,
            Action::Advance(time) => self.advance_to(self.clock.now().after(*time)).await,
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
            self.bus.promote().await.map_err(internal_error)?;
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
    bus: &Embedded,
    registry: &Registry,
    wasm: &Path,
    sidecar: &Sidecar,
) -> Result<Arc<str>, ScenarioError> {
    let bytes = read_plugin(wasm, Symlinks::Follow)
        .map_err(|error| ScenarioError::Component { path: wasm.to_owned(), error })?;
    let stem = wasm.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let loaded = loader.load(&bytes, &Sidecar { stem, ..sidecar.clone() });
    let generation = loaded.map_err(|error| ScenarioError::Load { path: wasm.to_owned(), error })?;
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

fn loader(directory: &Path, environment: Environment) -> Result<Loader, ScenarioError> {
    /// One invocation runs at a time.
    const CONCURRENCY: usize = 2;
    let defaults = Defaults::default();
    let engine = EngineConfig { concurrency: CONCURRENCY, memory_bytes: defaults.max_memory_bytes, source_lines: true };
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
