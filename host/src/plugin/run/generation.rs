//! One loaded version of a plugin, and its invocations: each in a new instance, unless the operator asks for reuse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::call_failure::CallFailure;
use super::health::Health;
use super::idle_instances::IdleInstances;
use super::linked::{Instance, LinkedComponent, give_time};
use crate::event::{Event, IdSeed};
use crate::otlp::ClientTrace;
use crate::outcome::{Effects, Failure, Outcome, StateView};
use crate::plugin::invocation::Invocation;
use crate::plugin::invocation::buffer::Buffer;
use crate::plugin::invocation::environment::Environment;
use crate::plugin::invocation::log::{InvocationLog, Trigger};
use crate::plugin::invocation::response_recorder::ResponseRecorder;
use crate::plugin::manifest::descriptor::Descriptor;
use crate::plugin::manifest::digest::Digest;
use crate::plugin::manifest::settings::Settings;
use crate::plugin::run::admission::ConcurrencyLimiter;
use crate::reply::ReplyTo;
use crate::span_context::SpanContext;
use crate::threads::{CpuTimer, LatencyTracker};
use crate::usage::Usage;

/// One loaded version of a plugin.
pub struct Generation {
    /// The plugin's name.
    pub name: Arc<str>,
    /// The digest of the component.
    pub digest: Digest,
    /// The size of the component's file, in bytes.
    pub size_bytes: u64,
    /// How long it took from the file to a generation that can be called: compiling or reading compiled code from the
    /// cache, linking, and reading the descriptor. The reconciler adds the time to read the file.
    pub load_time: Duration,
    /// The descriptor of the plugin.
    pub descriptor: Arc<Descriptor>,
    /// The settings that apply.
    pub settings: Arc<Settings>,
    /// Limits the invocations. All generations of the plugin share it.
    pub limiter: Arc<ConcurrencyLimiter>,
    pub(super) code: Code,
    pub(super) environment: Environment,
    pub(super) health: Health,
    /// Instances for reuse, if the operator asks for that.
    pub(super) idle: IdleInstances,
}

/// The file that a generation was loaded from.
pub(crate) struct LoadedFile {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    pub(crate) load_time: Duration,
}

/// The code of a generation.
pub(super) enum Code {
    Component(LinkedComponent),
    Native(NativeHandler),
}

/// The result of a call into a guest.
pub(super) struct GuestCallResult<T> {
    /// The value that the guest returned.
    pub(super) returned: Result<T, Failure>,
    /// The effects. A failed call has none.
    pub(super) effects: Effects,
    /// The reply that the client of a request waits for.
    pub(super) reply: Option<ReplyTo>,
    pub(super) usage: Usage,
}

impl<T> GuestCallResult<T> {
    fn failed(failure: Failure, usage: Usage) -> Self {
        Self { returned: Err(failure), effects: Effects::default(), reply: None, usage }
    }
}

/// An event handler that is compiled into the process. It takes the same path as a component, without a sandbox, so
/// that a benchmark can measure what the sandbox costs. It publishes by calling its second argument with an event type
/// and JSON.
pub type NativeHandler = fn(&Event, &mut dyn FnMut(&str, Vec<u8>)) -> Outcome;

impl std::fmt::Debug for Generation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Generation")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Generation {
    pub(crate) fn new(
        file: LoadedFile,
        descriptor: Arc<Descriptor>,
        settings: Settings,
        limiter: Arc<ConcurrencyLimiter>,
        linked: LinkedComponent,
        environment: Environment,
        idle: IdleInstances,
    ) -> Self {
        let name = descriptor.name.as_str().into();
        let code = Code::Component(linked);
        let (settings, health) = (Arc::new(settings), Health::default());
        let LoadedFile { digest, size_bytes, load_time } = file;
        Self { name, digest, size_bytes, load_time, descriptor, settings, limiter, code, environment, health, idle }
    }

    /// A copy of the generation with a native handler in place of the component.
    #[must_use]
    pub fn with_native_handler(&self, handler: NativeHandler) -> Self {
        Self {
            name: Arc::clone(&self.name),
            digest: self.digest.clone(),
            size_bytes: self.size_bytes,
            load_time: self.load_time,
            descriptor: Arc::clone(&self.descriptor),
            settings: Arc::clone(&self.settings),
            limiter: Arc::clone(&self.limiter),
            code: Code::Native(handler),
            environment: self.environment.clone(),
            health: Health::default(),
            idle: IdleInstances::new(Arc::new(Semaphore::new(0))),
        }
    }

    /// The reason for a rollback by the rule in the sidecar. `None` if the rule does not apply. `age` is the time since
    /// the generation took over.
    #[must_use]
    pub fn rollback_reason(&self, age: Duration) -> Option<String> {
        self.health.rollback_reason(self.settings.rollback.as_ref()?, age)
    }

    /// Whether this generation declares a subscription.
    #[must_use]
    pub fn declares(&self, subscription: &str) -> bool {
        self.descriptor.subscriptions.iter().any(|declared| declared.name == subscription)
    }

    /// How many deliveries of a subscription one instance may handle in a row.
    #[must_use]
    pub fn deliveries_per_instance(&self, subscription: &str) -> u32 {
        self.settings.deliveries_per_instance.get(subscription).map_or(1, |number| number.get())
    }

    /// Calls the instance in the slot if it is reusable, or a new one. A successful call leaves the instance in the
    /// slot; a failed call leaves it empty. The usage includes the creation of the instance. The latency is recorded if
    /// a tracker is given.
    pub(super) fn call<T>(
        &self,
        linked: &LinkedComponent,
        invocation: Invocation,
        timeout: Duration,
        slot: &mut Option<Instance>,
        latency: Option<&LatencyTracker>,
        call: impl FnOnce(&mut Instance) -> wasmtime::Result<T>,
    ) -> GuestCallResult<T> {
        let cpu_timer = CpuTimer::start();
        let log = Arc::clone(&invocation.log);
        let usage = |memory_bytes: usize| Usage {
            queued: Duration::ZERO,
            cpu_time: cpu_timer.elapsed(),
            memory_bytes: memory_bytes as u64,
            calls: log.take_calls(&self.settings),
            log: log.take_lines(),
        };
        let mut instance = match slot.take().filter(Instance::is_reusable) {
            Some(mut instance) => {
                give_time(&mut instance.store, timeout);
                instance
            }
            None => match linked.instantiate(self.settings.limits.memory_bytes, timeout) {
                Ok(instance) => instance,
                Err(failure) => return GuestCallResult::failed(failure, usage(0)),
            },
        };
        instance.store.data_mut().begin(invocation);
        instance.calls += 1;
        let started = Instant::now();
        let returned = call(&mut instance);
        let took = started.elapsed();
        if let Some(latency) = latency {
            latency.note(took);
        }
        match returned {
            Ok(value) => {
                let (effects, reply) = instance.store.data_mut().end();
                let usage = usage(instance.memory_bytes());
                *slot = Some(instance);
                GuestCallResult { returned: Ok(value), effects, reply, usage }
            }
            Err(error) => {
                let mut failure = CallFailure::of(&error, instance.store.data()).failure(timeout);
                self.settings.mask.apply(&mut failure.reason);
                GuestCallResult::failed(failure, usage(instance.memory_bytes()))
            }
        }
    }

    /// Keeps an instance for another invocation, if the operator asks for reuse.
    pub fn keep_instance(&self, instance: Option<Instance>) {
        let is_reusable =
            |instance: &Instance| instance.is_reusable() && instance.calls < self.settings.calls_per_instance.get();
        if let Some(instance) = instance.filter(is_reusable) {
            self.idle.put(instance);
        }
    }

    fn new_log(&self, environment: &Environment, trigger: Trigger) -> InvocationLog {
        let response_recorder = ResponseRecorder::new(environment.response_memory.clone());
        let log =
            InvocationLog::new(Arc::clone(&self.name), trigger, self.settings.limits.log_bytes, response_recorder);
        log.masked(self.settings.mask.clone())
    }

    pub(super) fn new_invocation(
        &self,
        environment: &Environment,
        state: Box<dyn StateView>,
        ids: IdSeed,
        inherited: BTreeMap<String, String>,
        trigger: Trigger,
        trace: Option<SpanContext>,
    ) -> Invocation {
        let given = |name: &str| inherited.get(name).map(String::as_str);
        let client = ClientTrace::new(&environment.tracer, trace, given);
        let log = self.new_log(environment, trigger);
        Invocation {
            plugin: Arc::clone(&self.name),
            settings: Arc::clone(&self.settings),
            connections: Arc::clone(&self.limiter.connections),
            environment: environment.for_invocation(),
            buffer: Buffer::new(state, self.settings.limits),
            ids,
            ids_given: 0,
            inherited,
            log: Arc::new(log.traced(trace, client)),
            reply: None,
            trace,
        }
    }
}
