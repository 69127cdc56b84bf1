//! One loaded digest of a plugin, and its invocations: each in a fresh instance, unless an operator has
//! asked for less isolation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::call_failure::CallFailure;
use super::health::Health;
use super::instance_pool::InstancePool;
use super::linked::{Instance, LinkedComponent, give_time};
use crate::event::{Event, IdSeed};
use crate::outcome::{Effects, Failure, Outcome, StateView};
use crate::plugin::invocation::Run;
use crate::plugin::invocation::buffer::Buffer;
use crate::plugin::invocation::environment::Environment;
use crate::plugin::invocation::log::{InvocationLog, Trigger};
use crate::plugin::manifest::descriptor::Descriptor;
use crate::plugin::manifest::digest::Digest;
use crate::plugin::manifest::settings::Settings;
use crate::plugin::run::admission::ConcurrencyLimiter;
use crate::reply::ReplyTo;
use crate::threads::LatencyTracker;

/// One loaded digest of a plugin.
pub struct Generation {
    /// The plugin's name.
    pub name: Arc<str>,
    /// What was loaded.
    pub digest: Digest,
    /// What it says about itself.
    pub descriptor: Arc<Descriptor>,
    /// What applies to it.
    pub settings: Arc<Settings>,
    /// What bounds its invocations, shared by all generations of the plugin.
    pub limiter: Arc<ConcurrencyLimiter>,
    pub(super) code: Code,
    pub(super) environment: Environment,
    pub(super) health: Health,
    /// Instances that may serve another call, where an operator has asked for that.
    pub(super) idle: InstancePool,
}

/// What runs.
pub(super) enum Code {
    Component(LinkedComponent),
    Native(NativeHandler),
}

/// An event handler that is compiled into the process. It has all of the path that a component has, but
/// no sandbox: a benchmark shows by it what the sandbox costs. It publishes by calling its second
/// argument with an event type and JSON.
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
        digest: Digest,
        descriptor: Arc<Descriptor>,
        settings: Settings,
        limiter: Arc<ConcurrencyLimiter>,
        linked: LinkedComponent,
        environment: Environment,
        idle: InstancePool,
    ) -> Self {
        let name = descriptor.name.as_str().into();
        let code = Code::Component(linked);
        let (settings, health) = (Arc::new(settings), Health::default());
        Self { name, digest, descriptor, settings, limiter, code, environment, health, idle }
    }

    /// The same plugin with a native handler in place of its component.
    #[must_use]
    pub fn with_native_handler(&self, handler: NativeHandler) -> Self {
        Self {
            name: Arc::clone(&self.name),
            digest: self.digest.clone(),
            descriptor: Arc::clone(&self.descriptor),
            settings: Arc::clone(&self.settings),
            limiter: Arc::clone(&self.limiter),
            code: Code::Native(handler),
            environment: self.environment.clone(),
            health: Health::default(),
            idle: InstancePool::new(Arc::new(Semaphore::new(0))),
        }
    }

    /// Why it is to be rolled back by the rule in its sidecar, if it is. It took over so long ago.
    #[must_use]
    pub fn rollback_reason(&self, age: Duration) -> Option<String> {
        self.health.rollback_reason(self.settings.rollback.as_ref()?, age)
    }

    /// Whether a declared subscription is this generation's too.
    #[must_use]
    pub fn declares(&self, subscription: &str) -> bool {
        self.descriptor.subscriptions.iter().any(|declared| declared.name == subscription)
    }

    /// How many deliveries of a subscription one instance may serve in a row.
    #[must_use]
    pub fn deliveries_per_instance(&self, subscription: &str) -> u32 {
        self.settings.deliveries_per_instance.get(subscription).map_or(1, |number| number.get())
    }

    /// Calls the instance that is given, or a fresh one, and leaves it. It is gone if the call ends badly. How quick
    /// it was is noted where it says something of the plugin's next invocations.
    pub(super) fn call<T>(
        &self,
        linked: &LinkedComponent,
        run: Run,
        timeout: Duration,
        slot: &mut Option<Instance>,
        latency: Option<&LatencyTracker>,
        call: impl FnOnce(&mut Instance) -> wasmtime::Result<T>,
    ) -> (Result<T, Failure>, (Effects, Option<ReplyTo>)) {
        let mut instance = match slot.take() {
            Some(mut instance) => {
                give_time(&mut instance.store, timeout);
                instance
            }
            None => match linked.instantiate(self.settings.limits.memory_bytes, timeout) {
                Ok(instance) => instance,
                Err(failure) => return (Err(failure), Default::default()),
            },
        };
        instance.store.data_mut().begin(run);
        instance.calls += 1;
        let started = Instant::now();
        let returned = call(&mut instance);
        let took = started.elapsed();
        if let Some(latency) = latency {
            latency.note(took);
        }
        match returned {
            Ok(value) => {
                let asked = instance.store.data_mut().end();
                *slot = Some(instance);
                (Ok(value), asked)
            }
            Err(error) => (Err(CallFailure::of(&error, instance.store.data()).failure(timeout)), Default::default()),
        }
    }

    /// Keeps an instance for another call, if an operator has asked for that.
    pub fn return_instance(&self, instance: Option<Instance>) {
        if let Some(instance) = instance.filter(|instance| instance.calls < self.settings.calls_per_instance.get()) {
            self.idle.put(instance);
        }
    }

    pub(super) fn new_run(
        &self,
        environment: &Environment,
        state: Box<dyn StateView>,
        ids: IdSeed,
        inherited: BTreeMap<String, String>,
        trigger: Trigger,
    ) -> Run {
        Run {
            plugin: Arc::clone(&self.name),
            settings: Arc::clone(&self.settings),
            connections: Arc::clone(&self.limiter.connections),
            environment: environment.for_invocation(),
            buffer: Buffer::new(state, self.settings.limits),
            ids,
            ids_given: 0,
            inherited,
            log: Arc::new(InvocationLog::new(Arc::clone(&self.name), trigger, self.settings.limits.log_bytes)),
            reply: None,
        }
    }
}
