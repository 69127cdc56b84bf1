//! Slices: one thread runs several deliveries of a parallel subscription in a row. Waking a thread for each delivery
//! would cost more.
//!
//! A slice ends when no more deliveries are ready, or when its time is up. It has less time if other work waits for the
//! thread. Each delivery has its own claim and its own settlement; the slice does not wait for the commits. If a
//! handler hangs, only its delivery fails. The earlier settlements are not affected.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::attempt::{AttemptRunner, SubmittedAttempt};
use super::permits::FeedPermits;
use super::plugin_handler::{PluginHandler, given_up, host_failed, invoke_plugin};
use crate::bus::{Claim, Delivery, Reachability, Settlement, SubscriptionFeed};
use crate::plugin::{Admission, Generation, Instance};
use crate::threads::Priority;

/// After this time, the thread is free for another slice, which may belong to another plugin.
const SLICE_TIME: Duration = Duration::from_millis(1);
/// After this time, another slice gets the thread if one waits for it.
const CONTENDED_SLICE_TIME: Duration = Duration::from_micros(250);

pub(super) struct Slice {
    pub(super) runner: Arc<AttemptRunner>,
    pub(super) handler: Arc<PluginHandler>,
    pub(super) feed: Arc<dyn SubscriptionFeed>,
    pub(super) unsettled: Arc<Semaphore>,
    pub(super) backlog: Arc<BacklogFlag>,
}

/// Whether a subscription's last slice ran out of time, and so probably left a backlog. The next slice then runs at
/// bulk priority, so that it does not delay interactive work.
#[derive(Debug, Default)]
pub(super) struct BacklogFlag(AtomicBool);

impl BacklogFlag {
    fn record(&self, ran_out_of_time: bool) {
        self.0.store(ran_out_of_time, Ordering::Relaxed);
    }

    fn priority(&self, priority: Priority) -> Priority {
        match priority {
            Priority::Interactive if self.0.load(Ordering::Relaxed) => Priority::Bulk,
            priority => priority,
        }
    }
}

/// The delivery that runs now. When the handler returns, the guest thread takes the delivery from its slot and settles
/// it. If the handler hangs, the slice's task takes it and settles it as failed.
struct CurrentDelivery {
    claim: Claim,
    permits: FeedPermits,
    since: Instant,
}

#[derive(Clone, Default)]
struct DeliverySlot(Arc<Mutex<Option<CurrentDelivery>>>);

impl DeliverySlot {
    fn put(&self, claim: Claim, permits: FeedPermits) {
        let current = CurrentDelivery { claim, permits, since: Instant::now() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
    }

    /// Restarts the timer of the delivery, so that the time spent waiting for a thread does not count.
    fn restart_timer(&self) {
        if let Some(current) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            current.since = Instant::now();
        }
    }

    fn take(&self) -> Option<CurrentDelivery> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes the delivery if it has run for too long. Otherwise returns when to check again.
    fn take_overdue(&self, give_up_after: Duration) -> Result<CurrentDelivery, Instant> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = slot.as_ref().map_or_else(Instant::now, |current| current.since);
        match slot.take_if(|current| current.since.elapsed() >= give_up_after) {
            Some(overdue) => Ok(overdue),
            None => Err(since + give_up_after),
        }
    }
}

impl Slice {
    /// Runs a slice whose first delivery is claimed. It holds its `running` permit until the end. The permits of the
    /// admission are held until the thread is free, even if the task stops waiting for it.
    pub(super) async fn run(self, claim: Claim, mut permits: FeedPermits) {
        let claimed = Instant::now();
        let running = permits.take_running();
        let Some((generation, admission)) = self.handler.admit(claim.delivery()).await else { return };
        let (runner, handler) = (Arc::clone(&self.runner), Arc::clone(&self.handler));
        let (give_up_after, slot) = (handler.give_up_after(&generation), DeliverySlot::default());
        let delivery = Arc::clone(claim.delivery());
        slot.put(claim, permits);
        let (thread_generation, thread_slot) = (Arc::clone(&generation), slot.clone());
        let Admission { mut ticket, permits } = admission;
        ticket.priority = self.backlog.priority(ticket.priority);
        let priority = ticket.priority;
        let mut thread = handler.dispatcher.capacity.threads.run(ticket, move || {
            self.work(priority, &thread_generation, delivery, claimed, &thread_slot);
            drop(permits);
        });
        let mut next_check = Instant::now() + give_up_after;
        let (current, invocation) = loop {
            tokio::select! {
                ended = &mut thread => match (ended, slot.take()) {
                    (Err(error), Some(current)) => {
                        let took = current.since.elapsed();
                        break (current, host_failed(&error, generation, took));
                    }
                    _ => return,
                },
                () = tokio::time::sleep_until(next_check.into()) => match slot.take_overdue(give_up_after) {
                    Ok(current) => {
                        let took = current.since.elapsed();
                        break (current, given_up(generation, took));
                    }
                    Err(later) => next_check = later,
                },
            }
        };
        drop(running);
        let CurrentDelivery { claim, permits, .. } = current;
        runner.settle(claim, permits, &*handler, invocation).await;
    }

    /// Runs deliveries on the guest thread.
    fn work(
        &self,
        priority: Priority,
        generation: &Arc<Generation>,
        mut delivery: Arc<Delivery>,
        claimed: Instant,
        slot: &DeliverySlot,
    ) {
        let started = Instant::now();
        // Only the first delivery has waited: the others are claimed when the thread is free.
        let mut queued = started - claimed;
        let max_reuses = generation.deliveries_per_instance(&delivery.subscription.name);
        let (mut instance, mut reuses): (Option<Instance>, u32) = (None, 0);
        slot.restart_timer();
        let ran_out_of_time = loop {
            let PluginHandler { dispatcher, definition, .. } = &*self.handler;
            let mut invocation = self.runner.check_hops(&delivery).unwrap_or_else(|| {
                let state = dispatcher.bus.state(&generation.name);
                invoke_plugin(state, generation, &delivery, definition.timeout, &mut instance, &dispatcher.tracer)
            });
            invocation.usage.queued = std::mem::take(&mut queued);
            reuses = if instance.is_some() { reuses + 1 } else { 0 };
            if reuses >= max_reuses {
                generation.keep_instance(instance.take());
                reuses = 0;
            }
            let Some(CurrentDelivery { claim, permits, .. }) = slot.take() else { return };
            let (settlement, attempt) = self.runner.decide(&delivery, invocation);
            self.settle(claim, permits, settlement, attempt);
            if !self.has_time(priority, started.elapsed()) {
                break true;
            }
            let Some((claim, permits)) = self.next(generation, &delivery) else { break false };
            delivery = Arc::clone(claim.delivery());
            slot.put(claim, permits);
        };
        self.backlog.record(ran_out_of_time);
        generation.keep_instance(instance);
    }

    /// Submits a settlement without waiting for its commit. If it is refused, a task continues with the attempt.
    fn settle(&self, claim: Claim, permits: FeedPermits, settlement: Settlement, attempt: SubmittedAttempt) {
        let (runner, handler) = (Arc::clone(&self.runner), Arc::clone(&self.handler));
        // A shutdown also waits for the commit.
        let token = handler.dispatcher.attempts.token();
        let on_settled = move |claim: Claim, result| match result {
            Ok(status) => {
                runner.report(attempt, status);
                drop((permits, token));
            }
            Err(error) => {
                let runtime = handler.dispatcher.runtime.clone();
                drop(runtime.spawn(async move {
                    runner.resume(claim, permits, &*handler, attempt, error).await;
                    drop(token);
                }));
            }
        };
        claim.settle_then(settlement, Box::new(on_settled));
    }

    fn has_time(&self, priority: Priority, took: Duration) -> bool {
        took < CONTENDED_SLICE_TIME
            || took < SLICE_TIME && !self.handler.dispatcher.capacity.threads.has_waiting_jobs(priority)
    }

    /// Claims the next delivery if one is ready in memory. None if the generation or the definition has changed, the
    /// plugin is drained, or the store cannot be reached.
    fn next(&self, generation: &Arc<Generation>, last: &Delivery) -> Option<(Claim, FeedPermits)> {
        let PluginHandler { dispatcher, definition, .. } = &*self.handler;
        let current = self.handler.generation(last)?;
        if self.runner.cancelled.is_cancelled()
            || !Arc::ptr_eq(&current, generation)
            || !Arc::ptr_eq(&self.feed.definition(), definition)
            || dispatcher.bus.is_drained(&generation.name)
            || *dispatcher.bus.reachable().borrow() != Reachability::Reachable
        {
            return None;
        }
        let unsettled = Arc::clone(&self.unsettled).try_acquire_owned().ok()?;
        Some((self.feed.try_claim()?, FeedPermits::unsettled(unsettled)))
    }
}
