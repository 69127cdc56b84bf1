//! Plugins as handlers of deliveries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Dispatcher;
use super::attempt::{DeliveryHandler, InvocationResult};
use super::trace::{self, AttemptSpan};
use crate::bus::Delivery;
use crate::otlp::Tracer;
use crate::outcome::{Cause, Failure, Outcome, StateView};
use crate::plugin::{Admission, EventInvocation, EventResult, Generation, Instance};
use crate::subscription::Definition;
use crate::threads::Panicked;

/// How long after its timeout an invocation may take to end. Then the dispatcher gives it up and fails the delivery.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

/// Invokes a plugin's handler on a guest thread.
pub(super) struct PluginHandler {
    pub(super) dispatcher: Dispatcher,
    pub(super) definition: Arc<Definition>,
    /// The plugin's name.
    pub(super) plugin: Arc<str>,
}

impl DeliveryHandler for PluginHandler {
    async fn invoke(&self, delivery: &Arc<Delivery>) -> Option<InvocationResult> {
        let claimed = Instant::now();
        let (generation, admission) = self.admit(delivery).await?;
        Some(self.run(generation, delivery, admission, claimed).await)
    }
}

impl PluginHandler {
    /// Waits for admission, and then returns the current generation.
    pub(super) async fn admit(&self, delivery: &Delivery) -> Option<(Arc<Generation>, Admission)> {
        let generation = self.generation(delivery)?;
        let admission = generation.limiter.admit(&self.dispatcher.capacity.permits).await;
        Some((self.generation(delivery)?, admission))
    }

    /// The plugin's current generation, if it has this subscription.
    pub(super) fn generation(&self, delivery: &Delivery) -> Option<Arc<Generation>> {
        let generation = self.dispatcher.registry.snapshot().plugins.get(&*self.plugin).cloned()?;
        (delivery.is_dynamic || generation.declares(&delivery.subscription.name)).then_some(generation)
    }

    /// Runs the handler. The permits of the admission are held until the thread is free, even after the handler's
    /// timeout.
    async fn run(
        &self,
        generation: Arc<Generation>,
        delivery: &Arc<Delivery>,
        admission: Admission,
        claimed: Instant,
    ) -> InvocationResult {
        let started = Instant::now();
        let give_up_after = self.give_up_after(&generation);
        let bus = Arc::clone(&self.dispatcher.bus);
        let (delivery, timeout) = (Arc::clone(delivery), self.definition.timeout);
        let thread_generation = Arc::clone(&generation);
        let Admission { ticket, permits } = admission;
        let tracer = self.dispatcher.tracer.clone();
        let invocation = self.dispatcher.capacity.threads.run(ticket, move || {
            let (mut instance, queued) = (None, claimed.elapsed());
            let state = bus.state(&thread_generation.name);
            let mut invocation = invoke_plugin(state, &thread_generation, &delivery, timeout, &mut instance, &tracer);
            invocation.usage.queued = queued;
            thread_generation.keep_instance(instance);
            drop(permits);
            invocation
        });
        match tokio::time::timeout(give_up_after, invocation).await {
            Ok(Ok(invocation)) => invocation,
            Ok(Err(error)) => host_failed(&error, generation, started.elapsed()),
            Err(_) => given_up(generation, started.elapsed()),
        }
    }

    /// How long to wait for an invocation.
    pub(super) fn give_up_after(&self, generation: &Generation) -> Duration {
        self.definition.timeout.min(generation.settings.limits.timeout) + TIMEOUT_GRACE
    }
}

/// Invokes a plugin's handler for a delivery. Blocks while the handler runs.
pub(crate) fn invoke_plugin(
    state: Box<dyn StateView>,
    generation: &Arc<Generation>,
    delivery: &Delivery,
    timeout: Duration,
    instance: &mut Option<Instance>,
    tracer: &Tracer,
) -> InvocationResult {
    let operation = trace::begin(tracer, delivery);
    let invocation = EventInvocation {
        logged: &delivery.logged,
        subscription: &delivery.subscription.name,
        attempt: delivery.attempt,
        replay: delivery.kind.is_replay(),
        ids: delivery.ids,
        trace: operation.as_ref().map(|operation| operation.context),
    };
    let started = Instant::now();
    let handled = generation.handle_event(&invocation, timeout, state, instance);
    let EventResult { outcome, effects, usage } = handled;
    let (generation, span) = (Some(Arc::clone(generation)), operation.into());
    InvocationResult { outcome, effects, generation, took: started.elapsed(), usage, span }
}

/// An invocation that panicked in the host. It fails the attempt: if the delivery were given back, it would panic
/// again, endlessly.
pub(super) fn host_failed(error: &Panicked, generation: Arc<Generation>, took: Duration) -> InvocationResult {
    failed(Cause::Trap, format!("the host failed while it ran the handler: {error}"), generation, took)
}

/// An invocation that hangs in the host, where the guest's timeout does not apply. Its outcome is discarded.
pub(super) fn given_up(generation: Arc<Generation>, took: Duration) -> InvocationResult {
    failed(Cause::Timeout, "the handler did not return within its timeout".to_owned(), generation, took)
}

fn failed(cause: Cause, reason: String, generation: Arc<Generation>, took: Duration) -> InvocationResult {
    let outcome = Outcome::Retry { after: None, failure: Failure { cause, reason } };
    let (effects, usage) = Default::default();
    InvocationResult { outcome, effects, generation: Some(generation), took, usage, span: AttemptSpan::Undecided }
}
