//! The worker of one feed: a subscription, or a replay of one. It waits until the target can handle a delivery and the
//! subscription's concurrency allows another one, claims a delivery, and starts a slice or an attempt with the claim.
//! These wait for the permits of the plugin and of the host.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::attempt::{AttemptReporter, AttemptRunner, random_jitter};
use super::endpoint_handler::EndpointHandler;
use super::permits::FeedPermits;
use super::plugin_handler::PluginHandler;
use super::report::Reporter;
use super::slice::{BacklogFlag, Slice};
use crate::bus::{Claim, Reachability, StoreErrorKind, SubscriptionFeed};
use crate::ledger::StatisticsSubject;
use crate::subscription::{Definition, Target};
use crate::telemetry::SubscriptionMetrics;

/// The maximum number of a subscription's deliveries that run or wait for their commit.
const UNSETTLED_LIMIT: usize = 512;

pub(super) struct Worker {
    dispatcher: Dispatcher,
    feed: Arc<dyn SubscriptionFeed>,
    metrics: Arc<SubscriptionMetrics>,
    reporter: Arc<Reporter>,
    running: Arc<Semaphore>,
    /// The total number of permits of `running`.
    running_limit: usize,
    unsettled: Arc<Semaphore>,
    backlog: Arc<BacklogFlag>,
    /// Notified when a slice ends.
    slice_ended: Arc<Notify>,
}

/// A subscription starts as many slices at once as there are cores. It starts an extra one only if no running slice
/// ends within this time, because the handlers are then slow or wait for something.
const EXTRA_SLICE_AFTER: Duration = Duration::from_millis(2);

impl Worker {
    pub(super) fn new(dispatcher: Dispatcher, feed: Arc<dyn SubscriptionFeed>) -> Self {
        let metrics = Arc::new(SubscriptionMetrics::new(feed.id()));
        let (observer, clock) = (dispatcher.observer.clone(), dispatcher.clock().clone());
        let recorder = dispatcher.recorder.clone();
        let id = feed.id();
        let subject = StatisticsSubject::Subscription { owner: id.owner.clone(), name: id.name.clone() };
        let statistics = recorder.subject(subject);
        let tracer = dispatcher.tracer.clone();
        let reporter = Reporter { metrics: Arc::clone(&metrics), recorder, statistics, observer, tracer, clock };
        let size = feed.definition().parallelism();
        let running = Arc::new(Semaphore::new(size));
        let unsettled = Arc::new(Semaphore::new(UNSETTLED_LIMIT));
        Self {
            dispatcher,
            feed,
            metrics,
            reporter: Arc::new(reporter),
            running,
            running_limit: size,
            unsettled,
            backlog: Arc::default(),
            slice_ended: Arc::default(),
        }
    }

    /// Runs until cancelled, or until the subscription is deleted.
    pub(super) async fn run(mut self, cancelled: CancellationToken) {
        let mut catalogue = self.dispatcher.bus.catalogue();
        loop {
            let next = tokio::select! {
                () = cancelled.cancelled() => return,
                _ = catalogue.changed() => None,
                next = self.next() => Some(next),
            };
            if self.feed.is_deleted() {
                return;
            }
            self.resize();
            if let Some((claim, permits)) = next {
                self.begin(claim, permits, &cancelled);
            }
        }
    }

    /// Starts a task for a claim: a slice if a plugin handles it and deliveries may run in parallel, otherwise an
    /// attempt.
    fn begin(&self, claim: Claim, permits: FeedPermits, cancelled: &CancellationToken) {
        let definition = self.feed.definition();
        let runner = self.attempt_runner(Arc::clone(&definition), cancelled);
        let tasks = &self.dispatcher.attempts;
        match &definition.target {
            Target::Plugin(name) => {
                let (dispatcher, plugin, is_serial) =
                    (self.dispatcher.clone(), name.as_str().into(), definition.is_serial());
                let handler = PluginHandler { dispatcher, definition, plugin };
                if is_serial {
                    tasks.spawn(async move { runner.run(claim, permits, &handler).await });
                    return;
                }
                let slice = self.slice(runner, handler);
                let ended = Arc::clone(&self.slice_ended);
                tasks.spawn(async move {
                    slice.run(claim, permits).await;
                    ended.notify_one();
                });
            }
            Target::Webhook(webhook) => {
                let handler = EndpointHandler {
                    dispatcher: self.dispatcher.clone(),
                    webhook: webhook.clone(),
                    definition,
                    feed: Arc::clone(&self.feed),
                    metrics: Arc::clone(&self.metrics),
                    cancelled: cancelled.clone(),
                };
                tasks.spawn(async move { runner.run(claim, permits, &handler).await });
            }
        }
    }

    fn attempt_runner(&self, definition: Arc<Definition>, cancelled: &CancellationToken) -> AttemptRunner {
        AttemptRunner {
            // Held deliveries wait for the next version of their plugin, and an endpoint has no versions.
            holds_failed_deliveries: self.dispatcher.holds_failed_deliveries
                && matches!(definition.target, Target::Plugin(_)),
            definition,
            hop_limit: self.dispatcher.hop_limit,
            jitter: random_jitter,
            reporter: Arc::clone(&self.reporter) as Arc<dyn AttemptReporter>,
            cancelled: cancelled.clone(),
        }
    }

    fn slice(&self, runner: AttemptRunner, handler: PluginHandler) -> Slice {
        Slice {
            runner: Arc::new(runner),
            handler: Arc::new(handler),
            feed: Arc::clone(&self.feed),
            unsettled: Arc::clone(&self.unsettled),
            backlog: Arc::clone(&self.backlog),
        }
    }

    /// Waits for the target, the store, the permits and a delivery, in this order. The permits are the feed's own, so
    /// an idle subscription holds nothing that others need. Dropping the future loses nothing.
    async fn next(&mut self) -> (Claim, FeedPermits) {
        loop {
            self.wait_for_target().await;
            self.wait_for_store().await;
            let running = acquire(&self.running).await;
            if self.running_limit > self.feed.definition().parallelism() {
                // The definition no longer grants this permit.
                running.forget();
                self.running_limit -= 1;
                continue;
            }
            let unsettled = acquire(&self.unsettled).await;
            self.wait_for_slices().await;
            match self.feed.claim().await {
                Ok(claim) => return (claim, FeedPermits::new(running, unsettled)),
                Err(error) => {
                    // The bus logs outages itself.
                    if error.kind() != StoreErrorKind::Unavailable {
                        let subscription = self.feed.id();
                        tracing::error!(%subscription, %error, "cannot read the subscription's deliveries; trying again in a second");
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Gives the running slices time to claim the next delivery themselves.
    async fn wait_for_slices(&self) {
        let running = self.running_limit.saturating_sub(self.running.available_permits() + 1);
        if running >= self.dispatcher.capacity.threads.cores() {
            drop(tokio::time::timeout(EXTRA_SLICE_AFTER, self.slice_ended.notified()).await);
        }
    }

    /// Waits until the plugin that the deliveries need is loaded and not drained. A declared subscription also needs a
    /// generation that declares it. A plugin's webhook needs the plugin that created it; an operator's webhook needs
    /// none.
    async fn wait_for_target(&self) {
        let overview = self.feed.overview();
        let Some(handler) = overview.handler() else { return };
        let mut catalogue = self.dispatcher.bus.catalogue();
        let mut plugins = self.dispatcher.registry.changes();
        loop {
            let is_drained = catalogue.borrow_and_update().drained.contains(handler);
            let generation = plugins.borrow_and_update().plugins.get(handler).cloned();
            let serves = generation.is_some_and(|it| overview.dynamic || it.declares(&overview.id.name));
            if serves && !is_drained {
                return;
            }
            // Both live as long as the dispatcher, so the waits cannot fail.
            tokio::select! {
                changed = plugins.changed() => drop(changed),
                changed = catalogue.changed() => drop(changed),
            }
        }
    }

    /// Waits while the store cannot be reached, because no outcome could be committed.
    async fn wait_for_store(&self) {
        let mut reachability = self.dispatcher.bus.reachable();
        // It lives as long as the bus, so the wait cannot fail.
        drop(reachability.wait_for(|reachability| *reachability == Reachability::Reachable).await);
    }

    /// Adjusts the number of permits to the definition.
    fn resize(&mut self) {
        let wanted = self.feed.definition().parallelism();
        if wanted > self.running_limit {
            self.running.add_permits(wanted - self.running_limit);
            self.running_limit = wanted;
        } else {
            self.running_limit -= self.running.forget_permits(self.running_limit - wanted);
        }
    }
}

async fn acquire(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed")
}
