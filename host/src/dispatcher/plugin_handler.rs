//! A plugin as the handler of a subscription's deliveries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Dispatcher;
use super::attempt::{Invocation, Invoke};
use crate::bus::{Bus, Delivery};
use crate::outcome::{Cause, Effects, Failure, Outcome};
use crate::plugin::{Admission, Call, Generation, HandlerResult, Instance};
use crate::subscription::Definition;
use crate::threads::Panicked;

/// How long an invocation that has run out of time may take to notice, before it is given up.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

/// Invokes a plugin's handler on a guests' thread.
pub(super) struct PluginHandler {
    pub(super) dispatcher: Dispatcher,
    pub(super) definition: Arc<Definition>,
    /// The plugin's name.
    pub(super) plugin: Arc<str>,
}

impl Invoke for PluginHandler {
    async fn invoke(&self, delivery: &Arc<Delivery>) -> Option<Invocation> {
        let (generation, admission) = self.admit(delivery).await?;
        Some(self.run(generation, delivery, admission).await)
    }
}

impl PluginHandler {
    /// Waits for an admission, and takes the generation that is there then.
    pub(super) async fn admit(&self, delivery: &Delivery) -> Option<(Arc<Generation>, Admission)> {
        let generation = self.generation(delivery)?;
        let admission = generation.limiter.admit(&self.dispatcher.capacity.permits).await;
        Some((self.generation(delivery)?, admission))
    }

    /// The plugin's generation, if it has this subscription.
    pub(super) fn generation(&self, delivery: &Delivery) -> Option<Arc<Generation>> {
        let generation = self.dispatcher.registry.snapshot().plugins.get(&*self.plugin).cloned()?;
        (delivery.is_dynamic || generation.declares(&delivery.subscription.name)).then_some(generation)
    }

    /// Runs the handler. The admission's permits are held until its thread is free, also if the handler is given up
    /// before that.
    async fn run(&self, generation: Arc<Generation>, delivery: &Arc<Delivery>, admission: Admission) -> Invocation {
        let started = Instant::now();
        let patience = self.patience(&generation);
        let bus = Arc::clone(&self.dispatcher.bus);
        let (delivery, timeout) = (Arc::clone(delivery), self.definition.timeout);
        let code = Arc::clone(&generation);
        let Admission { ticket, permits } = admission;
        let invocation = self.dispatcher.capacity.threads.run(ticket, move || {
            let mut instance = None;
            let invocation = invoke_plugin(&*bus, &code, &delivery, timeout, &mut instance);
            code.return_instance(instance);
            drop(permits);
            invocation
        });
        match tokio::time::timeout(patience, invocation).await {
            Ok(Ok(invocation)) => invocation,
            Ok(Err(error)) => host_failed(&error, generation, started.elapsed()),
            Err(_) => given_up(generation, started.elapsed()),
        }
    }

    /// How long an invocation is waited for.
    pub(super) fn patience(&self, generation: &Generation) -> Duration {
        self.definition.timeout.min(generation.settings.limits.timeout) + TIMEOUT_GRACE
    }
}

/// Lets a plugin handle a delivery. Blocks for as long as the handler runs.
pub(crate) fn invoke_plugin(
    bus: &dyn Bus,
    generation: &Arc<Generation>,
    delivery: &Delivery,
    timeout: Duration,
    instance: &mut Option<Instance>,
) -> Invocation {
    let call = Call {
        logged: &delivery.logged,
        subscription: &delivery.subscription.name,
        attempt: delivery.attempt,
        replay: delivery.kind.is_replay(),
        ids: delivery.ids,
    };
    let started = Instant::now();
    let handled = generation.handle_event(&call, timeout, bus.state(&generation.name), instance);
    let HandlerResult { outcome, effects } = handled;
    Invocation { outcome, effects, generation: Some(Arc::clone(generation)), took: started.elapsed() }
}

/// The invocation panicked in the host. Given back, the delivery would meet the same mistake at once, and for ever.
pub(super) fn host_failed(error: &Panicked, generation: Arc<Generation>, took: Duration) -> Invocation {
    failed(Cause::Trap, format!("the host failed to run it: {error}"), generation, took)
}

/// The invocation hangs in the host, where the guest's time is not counted. Its outcome is thrown away.
pub(super) fn given_up(generation: Arc<Generation>, took: Duration) -> Invocation {
    failed(Cause::Timeout, "it was given up because it ran out of time".to_owned(), generation, took)
}

fn failed(cause: Cause, reason: String, generation: Arc<Generation>, took: Duration) -> Invocation {
    let outcome = Outcome::Retry { after: None, failure: Failure { cause, reason } };
    Invocation { outcome, effects: Effects::default(), generation: Some(generation), took }
}
