//! One attempt at one delivery: invoke, settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::answer::Answer;
use super::worker::Places;
use crate::bus::{Bus, Claim, CommitError, Delivery, HeldBack, Settled, Settlement, Subscribed, retry};
use crate::observer::{End, Observed};
use crate::outcome::{Cause, Effects, Failure, Outcome};
use crate::plugin::{Admission, Call, Generation, Handled, Live, RERUN_LIMIT};
use crate::subscription::{Definition, OPERATOR, Target, Webhook};
use crate::telemetry::SubscriptionMetrics;
use crate::threads::Panicked;

/// How long a delivery waits when the disk is full.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// How long an invocation that has run out of time may take to notice, before it is given up.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

/// How the attempts at a subscription's deliveries are made.
pub(super) struct Attempts {
    pub(super) dispatcher: Dispatcher,
    pub(super) metrics: Arc<SubscriptionMetrics>,
    pub(super) definition: Arc<Definition>,
    pub(super) subscription: Arc<dyn Subscribed>,
    pub(super) cancelled: CancellationToken,
}

/// What an invocation came to, and whose it was.
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    pub(super) effects: Option<(Arc<str>, Effects)>,
    pub(super) digest: Option<Arc<str>>,
    pub(super) took: Duration,
}

impl Ran {
    /// An outcome that nothing ran for.
    pub(super) fn failed(cause: Cause, reason: String) -> Self {
        let outcome = Outcome::Reject(Failure { cause, reason });
        Self { outcome, effects: None, digest: None, took: Duration::ZERO }
    }

    /// What a plugin's handler came to.
    pub(super) fn of(generation: &Generation, handled: Handled, took: Duration) -> Self {
        let Handled { outcome, effects } = handled;
        let digest = (outcome != Outcome::Ack).then(|| generation.digest.as_str().into());
        Self { outcome, effects: Some((Arc::clone(&generation.name), effects)), digest, took }
    }

    fn settlement(self) -> Settlement {
        Settlement { outcome: self.outcome, effects: self.effects, digest: self.digest, jitter: jitter() }
    }
}

/// What a refused settlement leaves.
pub(super) struct Refusal {
    error: CommitError,
    digest: Option<Arc<str>>,
    took: Duration,
}

/// Held by an invocation that runs again after a conflict.
type Again = tokio::sync::OwnedMutexGuard<()>;

impl Attempts {
    /// Makes an attempt at one delivery. Whatever keeps it from being settled gives the claim back, and the
    /// delivery is made again.
    pub(super) async fn run(&self, claim: Claim, places: Places) {
        self.run_from(0, None, claim, places).await;
    }

    /// Goes on with a delivery whose settlement was refused.
    pub(super) async fn recover(&self, mut claim: Claim, places: Places, generation: &Generation, refusal: Refusal) {
        let Refusal { error, digest, took } = refusal;
        match error {
            CommitError::Conflict(key) => {
                let again = self.conflict(&claim, &key, generation).await;
                self.run_from(1, Some(again), claim, places).await;
            }
            error => {
                let failed = match error.cause() {
                    Some(cause) => self.settle_failed(&mut claim, cause, error.to_string(), digest, took).await,
                    None => Err(error),
                };
                if let Err(error) = failed {
                    self.give_back(claim, &error).await;
                }
            }
        }
    }

    async fn run_from(&self, first: u32, mut again: Option<Again>, mut claim: Claim, mut places: Places) {
        for rerun in first.. {
            let Some((generation, ran)) = self.invoke(claim.delivery()).await else { return };
            // Others of a parallel subscription may run while this one waits for the disk.
            if !self.definition.is_serial() {
                places.free_running();
            }
            match self.settle(&mut claim, ran, rerun).await {
                Err(CommitError::Conflict(key)) => {
                    if again.is_none()
                        && let Some(generation) = generation
                    {
                        again = Some(self.conflict(&claim, &key, &generation).await);
                    } else {
                        self.metrics.conflict();
                    }
                }
                Err(error) => return self.give_back(claim, &error).await,
                Ok(()) => return,
            }
        }
    }

    /// Notes a conflict, and waits for the turn to run again.
    async fn conflict(&self, claim: &Claim, key: &str, generation: &Generation) -> Again {
        self.metrics.conflict();
        let Delivery { subscription, .. } = &**claim.delivery();
        tracing::debug!(event = claim.event().id, %subscription, key, "conflict; running again");
        Arc::clone(&generation.room.again).lock_owned().await
    }

    /// Hands over what a delivery came to, from a thread that may block. What is refused is gone on with in a
    /// task.
    pub(super) fn settle_then(self: &Arc<Self>, claim: Claim, places: Places, generation: &Arc<Generation>, ran: Ran) {
        let (attempts, generation) = (Arc::clone(self), Arc::clone(generation));
        let (shown, digest, took) = (ran.outcome.clone(), ran.digest.clone(), ran.took);
        // A shutdown waits for this one as well.
        let token = self.dispatcher.attempts.token();
        let runtime = self.dispatcher.runtime.clone();
        let then = move |claim: Claim, settled| match settled {
            Ok(settled) => {
                attempts.report(claim.delivery(), &shown, settled, took);
                drop((places, token));
            }
            Err(error) => {
                let refusal = Refusal { error, digest, took };
                drop(runtime.spawn(async move {
                    attempts.recover(claim, places, &generation, refusal).await;
                    drop(token);
                }));
            }
        };
        claim.settle_then(ran.settlement(), Box::new(then));
    }

    /// Settles what a delivery came to, and waits for its commit.
    pub(super) async fn settle_alone(&self, mut claim: Claim, places: Places, generation: &Generation, ran: Ran) {
        let (digest, took) = (ran.digest.clone(), ran.took);
        if let Err(error) = self.settle(&mut claim, ran, 0).await {
            self.recover(claim, places, generation, Refusal { error, digest, took }).await;
        }
    }

    /// Why a delivery is not run at all.
    pub(super) fn too_far(&self, delivery: &Delivery) -> Option<Ran> {
        let (hops, limit) = (delivery.event().hops(), self.dispatcher.hop_limit);
        (hops > limit).then(|| {
            let reason = format!(
                "{hops} events lie between this one and the first of its flow, and {limit} may: plugins publish for each other without end, or `hop_limit` is too low"
            );
            Ran::failed(Cause::HopLimit, reason)
        })
    }

    /// Runs the target. None if it is not there any more.
    async fn invoke(&self, delivery: &Arc<Delivery>) -> Option<(Option<Arc<Generation>>, Ran)> {
        if let Some(ran) = self.too_far(delivery) {
            return Some((None, ran));
        }
        match &self.definition.target {
            Target::Plugin(name) => {
                let (generation, admission) = self.admit(name, delivery).await?;
                let ran = self.run_plugin(Arc::clone(&generation), delivery, admission).await;
                Some((Some(generation), ran))
            }
            Target::Webhook(webhook) => Some((None, self.run_webhook(webhook, delivery).await?)),
        }
    }

    /// Waits for places, and takes the generation that is there then.
    pub(super) async fn admit(&self, name: &str, delivery: &Delivery) -> Option<(Arc<Generation>, Admission)> {
        let generation = self.generation(name, delivery)?;
        let admission = generation.room.admit(&self.dispatcher.capacity.places).await;
        Some((self.generation(name, delivery)?, admission))
    }

    pub(super) fn generation(&self, name: &str, delivery: &Delivery) -> Option<Arc<Generation>> {
        let generation = self.dispatcher.registry.snapshot().plugins.get(name).cloned()?;
        (delivery.is_dynamic || generation.declares(&delivery.subscription.name)).then_some(generation)
    }

    /// Runs a plugin's handler. The places are held until its thread is free, also if it is given up before.
    async fn run_plugin(&self, generation: Arc<Generation>, delivery: &Arc<Delivery>, admission: Admission) -> Ran {
        let started = Instant::now();
        let patience = self.patience(&generation);
        let bus = Arc::clone(&self.dispatcher.bus);
        let (delivery, timeout) = (Arc::clone(delivery), self.definition.timeout);
        let code = Arc::clone(&generation);
        let Admission { turn, places } = admission;
        let invocation = self.dispatcher.capacity.threads.run(turn, move || {
            let mut live = None;
            let handled = handle(&*bus, &code, &delivery, timeout, &mut live);
            code.keep(live);
            drop(places);
            handled
        });
        let handled = match tokio::time::timeout(patience, invocation).await {
            Ok(Ok(handled)) => handled,
            Ok(Err(error)) => host_failed(error),
            Err(_) => given_up(),
        };
        Ran::of(&generation, handled, started.elapsed())
    }

    /// How long an invocation is waited for.
    pub(super) fn patience(&self, generation: &Generation) -> Duration {
        self.definition.timeout.min(generation.settings.limits.timeout) + TIMEOUT_GRACE
    }

    /// Sends a delivery to an endpoint, when it has a place. None if nothing is to be sent now.
    async fn run_webhook(&self, webhook: &Webhook, delivery: &Delivery) -> Option<Ran> {
        let webhooks = &self.dispatcher.webhooks;
        let goes_on = || self.sends_to(&webhook.url);
        let mut place = webhooks.endpoints().admit(&webhook.url, goes_on, &self.cancelled).await?;
        let started = Instant::now();
        let owner = &delivery.subscription.owner;
        let grants = if owner == OPERATOR {
            None
        } else {
            Some(self.dispatcher.registry.snapshot().plugins.get(owner)?.settings.webhooks.clone())
        };
        let (grants, timeout) = (grants.as_deref(), self.definition.timeout);
        let failure = |reason| Failure { cause: Cause::Webhook, reason };
        let outcome = match webhooks.deliver(webhook, grants, delivery.event(), timeout, &mut place).await {
            Answer::Taken => Outcome::Ack,
            Answer::Refused(reason) => Outcome::Reject(failure(reason)),
            Answer::Failed(reason) => Outcome::Retry { after: None, failure: failure(reason) },
            Answer::Overloaded(reason, after) => {
                let after = after.unwrap_or_else(|| retry::backoff(&self.definition.retry, delivery.attempt));
                self.hold_back(webhook, delivery, &reason, after).await;
                // It is the endpoint that waits; once it is held back no longer, this event need not wait either.
                Outcome::Retry { after: None, failure: failure(reason) }
            }
            Answer::Gone(reason) => {
                self.retire(delivery, &reason).await;
                return None;
            }
        };
        Some(Ran { outcome, effects: None, digest: None, took: started.elapsed() })
    }

    /// Whether deliveries still go to an endpoint, by these rules, and it is not held back.
    fn sends_to(&self, endpoint: &str) -> bool {
        !self.subscription.is_deleted()
            && Arc::ptr_eq(&self.subscription.definition(), &self.definition)
            && self.subscription.overview().paused.is_none()
            && self.dispatcher.bus.held_back(endpoint).is_none()
    }

    /// Has nothing sent to an endpoint for a while, before anything else can be.
    async fn hold_back(&self, webhook: &Webhook, delivery: &Delivery, reason: &str, after: Duration) {
        let subscription = &delivery.subscription;
        let hold = HeldBack { until: self.dispatcher.clock().now().after(after), reason: reason.to_owned() };
        self.metrics.held_back();
        tracing::warn!(%subscription, until = %hold.until, "nothing is sent to the endpoint for a while: {reason}");
        if let Err(error) = self.dispatcher.bus.hold_back(webhook.url.clone(), hold).await {
            tracing::warn!(%subscription, %error, "that the endpoint wants no requests could not be stored");
        }
    }

    /// Stops the subscription, whose endpoint is gone. The event waits with all others.
    async fn retire(&self, delivery: &Delivery, reason: &str) {
        let subscription = &delivery.subscription;
        self.metrics.gone();
        tracing::error!(
            %subscription,
            "{reason}: nothing more is sent until `sandbus subscriptions resume {subscription}`, or until the subscription gets another URL"
        );
        if let Err(error) = self.dispatcher.bus.retire(subscription.clone()).await {
            tracing::warn!(%subscription, %error, "that the endpoint is gone could not be stored");
            tokio::time::sleep(FULL_PAUSE).await;
        }
    }

    async fn settle(&self, claim: &mut Claim, ran: Ran, rerun: u32) -> Result<(), CommitError> {
        let (shown, digest, took) = (ran.outcome.clone(), ran.digest.clone(), ran.took);
        match claim.settle(ran.settlement()).await {
            Ok(settled) => {
                self.report(claim.delivery(), &shown, settled, took);
                Ok(())
            }
            Err(CommitError::Conflict(_)) if rerun >= RERUN_LIMIT => {
                let reason = "others kept changing what the handler had read".to_owned();
                self.settle_failed(claim, Cause::Conflict, reason, digest, took).await
            }
            // What the handler asked for cannot be done, or cannot be done now.
            Err(error) => match error.cause() {
                Some(cause) => self.settle_failed(claim, cause, error.to_string(), digest, took).await,
                None => Err(error),
            },
        }
    }

    async fn settle_failed(
        &self,
        claim: &mut Claim,
        cause: Cause,
        reason: String,
        digest: Option<Arc<str>>,
        took: Duration,
    ) -> Result<(), CommitError> {
        let failure = Failure { cause, reason };
        let outcome = match cause {
            // It would be the same the next time.
            Cause::Rejected | Cause::Collision => Outcome::Reject(failure),
            _ => Outcome::Retry { after: None, failure },
        };
        let settlement = Settlement { outcome: outcome.clone(), effects: None, digest, jitter: jitter() };
        let settled = claim.settle(settlement).await?;
        self.report(claim.delivery(), &outcome, settled, took);
        Ok(())
    }

    /// The one place where the end of an attempt is logged and counted.
    fn report(&self, delivery: &Delivery, outcome: &Outcome, settled: Settled, took: Duration) {
        let latency = self.metrics.settled(settled, delivery.logged.stored_at, took, delivery.replay.is_some());
        let (event, event_type) = (delivery.event().id.as_str(), delivery.event().event_type.as_str());
        let Delivery { subscription, attempt, replay, .. } = delivery;
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.dispatcher.observer.note(|| Observed::Attempt {
            event: Arc::clone(delivery.event()),
            subscription: subscription.clone(),
            attempt: *attempt,
            end: end(outcome, settled),
            took,
        });
        let (Outcome::Retry { failure, .. } | Outcome::Reject(failure)) = outcome else {
            tracing::debug!(event, event_type, %subscription, attempt, replay, took_us, latency_us, "handled");
            return;
        };
        let (cause, reason) = (failure.cause.as_str(), failure.reason.as_str());
        match settled {
            Settled::Waiting(due) => {
                tracing::warn!(event, event_type, %subscription, attempt, took_us, cause, %due, "attempt failed; trying again: {reason}");
            }
            Settled::Dead | Settled::Handled => {
                tracing::error!(event, event_type, %subscription, attempt, took_us, cause, "dead letter: {reason}");
            }
        }
    }

    async fn give_back(&self, claim: Claim, error: &CommitError) {
        let (event, subscription) = (claim.event().id.as_str(), &claim.delivery().subscription);
        tracing::warn!(event, %subscription, %error, "the outcome could not be stored; the event is delivered again");
        // Claimed again at once, the event would meet the same store.
        if let Some(pause) = error.retry_after() {
            // A shutdown need not wait for the store.
            let _ = self.cancelled.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        drop(claim);
    }
}

fn end(outcome: &Outcome, settled: Settled) -> End {
    match (outcome, settled) {
        (Outcome::Ack, _) => End::Ack,
        (Outcome::Retry { failure, .. } | Outcome::Reject(failure), Settled::Waiting(due)) => {
            End::Again(failure.clone(), due)
        }
        (Outcome::Retry { failure, .. } | Outcome::Reject(failure), _) => End::Dead(failure.clone()),
    }
}

/// Lets a plugin handle a delivery. Blocks for as long as the handler runs.
pub(super) fn handle(
    bus: &dyn Bus,
    generation: &Generation,
    delivery: &Delivery,
    timeout: Duration,
    live: &mut Option<Live>,
) -> Handled {
    let call = Call {
        logged: &delivery.logged,
        subscription: &delivery.subscription.name,
        attempt: delivery.attempt,
        replay: delivery.replay,
        ids: delivery.ids,
    };
    generation.handle_event(&call, timeout, bus.state(&generation.name), live)
}

/// A mistake in the host. Given back, the delivery would run into it again at once, and for ever.
pub(super) fn host_failed(error: Panicked) -> Handled {
    failed(Cause::Trap, format!("the host failed to run it: {error}"))
}

/// It hangs in the host, where the guest's time is not counted. What it comes to is thrown away.
pub(super) fn given_up() -> Handled {
    failed(Cause::Timeout, "it was given up because it ran out of time".to_owned())
}

fn failed(cause: Cause, reason: String) -> Handled {
    Handled::without(Outcome::Retry { after: None, failure: Failure { cause, reason } })
}

/// A number from 0 to 1 that differs from call to call. It need not be hard to guess.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::hash::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
