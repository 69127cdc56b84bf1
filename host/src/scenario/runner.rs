//! Runs scenarios on the real loader, sandbox and bus, with one delivery at a time and a manual clock.

mod delivery;
mod request;
mod service;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sandbus_toolchain::cache_directory;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::spec::{Action, Moment, Preconditions, Step};
use super::{ScenarioError, ScenarioResult, StepResult, internal_error, logs};
use crate::api::RetryView;
use crate::bus::{
    Claim, DeadLetterFilter, DeadLetters as _, Embedded, EventLog as _, FeedEntry, Lifecycle as _, PluginState as _,
    Settings, Subscriptions as _,
};
use crate::clock::{Clock, Timestamp};
use crate::event::{Event, Position};
use crate::outbound::{self, Outbound, Sent};
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs<'a> {
    pub(super) wasm: &'a Path,
    pub(super) others: &'a [PathBuf],
    pub(super) given: &'a Preconditions,
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
    /// The plugin under test.
    plugin: Arc<str>,
    /// The sources and ids of the events that the steps publish.
    published_by_steps: BTreeSet<(String, String)>,
    /// The last position in the results so far.
    last_position: Position,
    step: StepResult,
    /// Dropped last.
    _directory: TempDir,
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
        for other in inputs.others {
            register_plugin(&loader, &bus, &registry, other, &Sidecar::default()).await?;
        }
        let plugin = register_plugin(&loader, &bus, &registry, inputs.wasm, &inputs.given.effective_sidecar()?).await?;
        let writes = inputs.given.state_bytes().into_iter().map(|(key, value)| (key, Write::Set(value)));
        let effects = Effects { writes: writes.collect(), ..Effects::default() };
        bus.commit(&plugin, effects).await.map_err(internal_error)?;
        let (published_by_steps, last_position, step) = Default::default();
        Ok(Self {
            bus,
            registry,
            clock,
            outbound,
            beginning,
            plugin,
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

    /// Records the result of a step.
    async fn record_step(&mut self) -> Result<(), ScenarioError> {
        self.step.published = self.new_events().await?;
        self.step.state = self.state()?;
        self.step.requests = self.outbound.take_sent().iter().map(Sent::to_json).collect();
        let scheduled = self.bus.scheduled(None, PAGE).await.map_err(internal_error)?;
        self.step.scheduled = scheduled
            .iter()
            .map(|scheduled| {
                let mut event = scheduled.event.to_value();
                event["at"] = self.after_beginning(scheduled.due).into();
                event
            })
            .collect();
        let dead = self.bus.dead_letters(DeadLetterFilter::default(), None, PAGE).await.map_err(internal_error)?;
        self.step.dead_letters = dead
            .iter()
            .map(|dead| {
                json!({
                    "subscription": dead.subscription.to_string(), "event": dead.logged.event.id,
                    "type": dead.logged.event.event_type, "cause": dead.cause, "reason": dead.reason,
                    "attempts": dead.attempts,
                })
            })
            .collect();
        let catalogue = Arc::clone(&self.bus.catalogue().borrow());
        let dynamic = catalogue.feeds.iter().filter(|one| one.dynamic);
        self.step.subscriptions = dynamic
            .map(|one| {
                let mut rules = serde_json::to_value(&*one.definition).unwrap_or_default();
                rules["retry"] = serde_json::to_value(RetryView::from(&one.definition.retry)).unwrap_or_default();
                rules["name"] = one.id.name.as_str().into();
                rules
            })
            .collect();
        Ok(())
    }

    /// The events that entered the log since the previous step, except those that steps published.
    async fn new_events(&mut self) -> Result<Vec<Value>, ScenarioError> {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = self.bus.events(before, PAGE).await.map_err(internal_error)?;
            let full = page.len() == PAGE;
            let new = page.into_iter().take_while(|logged| logged.position > self.last_position);
            let count = found.len();
            found.extend(new);
            match found.last() {
                Some(last) if full && found.len() == count + PAGE => before = Some(last.position),
                _ => break,
            }
        }
        self.last_position = found.first().map_or(self.last_position, |newest| newest.position);
        found.reverse();
        let is_own = |event: &Event| self.published_by_steps.contains(&(event.source.clone(), event.id.clone()));
        Ok(found.iter().filter(|logged| !is_own(&logged.event)).map(|logged| logged.event.to_value()).collect())
    }

    fn state(&self) -> Result<std::collections::BTreeMap<String, Value>, ScenarioError> {
        let mut view = self.bus.state(&self.plugin);
        let (mut state, mut after) = (std::collections::BTreeMap::new(), None::<String>);
        loop {
            let (keys, _) = view.keys(after.as_deref(), PAGE).map_err(internal_error)?;
            after = keys.last().cloned();
            for key in keys {
                let value = view.get(&key).map_err(internal_error)?.0.unwrap_or_default();
                state.insert(key, json_or_text(&value));
            }
            if after.is_none() || state.len() % PAGE != 0 {
                return Ok(state);
            }
        }
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
