//! The dispatcher: for each subscription, it claims deliveries, invokes the handler and settles the outcome. All its
//! work is bounded, plugins share the threads fairly, and a shutdown waits for the running attempts.

pub(crate) mod attempt;
mod endpoint;
mod endpoint_handler;
pub(crate) mod permits;
pub(crate) mod plugin_handler;
mod report;
mod signature;
mod slice;
pub(crate) mod trace;
mod webhook;
mod webhook_result;
mod worker;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{FeedId, SharedBus};
use crate::clock::Clock;
use crate::ledger::Recorder;
use crate::observer::Observer;
use crate::otlp::Tracer;
use crate::plugin::Registry;
use crate::threads::Capacity;
pub use webhook::Webhooks;

/// What all workers share.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    bus: SharedBus,
    registry: Registry,
    /// The permits and threads for the invocations of all plugins.
    capacity: Capacity,
    /// The runtime on which guest threads spawn tasks.
    runtime: Handle,
    webhooks: Webhooks,
    /// The maximum depth of an event in its cause tree. Deeper events become dead letters.
    hop_limit: u32,
    observer: Observer,
    recorder: Recorder,
    tracer: Tracer,
    /// Whether failed deliveries of plugins are held until `Subscriptions::retry_now`.
    holds_failed_deliveries: bool,
    /// The running attempts. They outlive their workers, so that a shutdown can wait for them.
    attempts: TaskTracker,
}

impl Dispatcher {
    /// A dispatcher that shares the capacity for invocations with the ingress. Must be called in a tokio runtime.
    #[must_use]
    pub fn new(bus: SharedBus, registry: Registry, capacity: Capacity, webhooks: Webhooks, hop_limit: u32) -> Self {
        let runtime = Handle::current();
        let (observer, recorder, tracer, attempts) = Default::default();
        Self {
            bus,
            registry,
            capacity,
            runtime,
            webhooks,
            hop_limit,
            observer,
            recorder,
            tracer,
            holds_failed_deliveries: false,
            attempts,
        }
    }

    /// Reports attempts to an observer.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Records attempts in a ledger.
    #[must_use]
    pub fn recorded_by(self, recorder: Recorder) -> Self {
        Self { recorder, ..self }
    }

    /// Traces attempts.
    #[must_use]
    pub fn traced_by(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Sets whether failed deliveries of plugins are held until `Subscriptions::retry_now`, instead of following the
    /// retry policy.
    #[must_use]
    pub fn holding_failed_deliveries(self, holds_failed_deliveries: bool) -> Self {
        Self { holds_failed_deliveries, ..self }
    }

    /// The clock for latencies and for the holds of endpoints.
    fn clock(&self) -> &Clock {
        self.webhooks.clock()
    }

    /// Runs a worker for each feed until cancelled, and then waits for the running attempts. If the process
    /// ends before that, the events of these attempts are delivered again at the next start.
    pub async fn run(self, cancelled: CancellationToken) {
        let workers = TaskTracker::new();
        let mut running: HashMap<FeedId, CancellationToken> = HashMap::new();
        let mut catalogue = self.bus.catalogue();
        loop {
            let current = Arc::clone(&catalogue.borrow_and_update());
            running.retain(|_, worker| !worker.is_cancelled());
            for entry in &current.feeds {
                let Entry::Vacant(vacant) = running.entry(entry.feed) else { continue };
                // It may have been deleted since the catalogue was read.
                let Some(subscription) = self.bus.feed(entry.feed) else { continue };
                let ended = CancellationToken::new();
                let guard = ended.clone().drop_guard();
                let run = worker::Worker::new(self.clone(), subscription).run(cancelled.child_token());
                workers.spawn(async move {
                    run.await;
                    drop(guard);
                });
                vacant.insert(ended);
            }
            tokio::select! {
                () = cancelled.cancelled() => break,
                changed = catalogue.changed() => if changed.is_err() { break },
            }
        }
        workers.close();
        workers.wait().await;
        self.attempts.close();
        self.attempts.wait().await;
    }
}
