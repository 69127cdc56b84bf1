//! One attempt at one delivery: invoke, settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Dispatcher;
use super::worker::Places;
use crate::bus::{Claim, CommitError, Delivery, Settled, Settlement};
use crate::outcome::{Cause, Effects, Failure, Outcome};
use crate::plugin::{Call, Generation, Handled, RERUN_LIMIT};
use crate::subscription::{Definition, OPERATOR, Target, Webhook};
use crate::telemetry::SubscriptionMetrics;

/// How long a delivery waits when the disk is full.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// How long an invocation that has run out of time may take to notice, before it is given up.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

pub(super) struct Attempt {
    pub(super) dispatcher: Dispatcher,
    pub(super) metrics: Arc<SubscriptionMetrics>,
    pub(super) definition: Arc<Definition>,
}

/// What an invocation came to, and whose it was.
struct Ran {
    outcome: Outcome,
    effects: Option<(String, Effects)>,
    digest: Option<String>,
    took: Duration,
}

impl Ran {
    /// An outcome that nothing ran for.
    fn failed(cause: Cause, reason: String) -> Self {
        let outcome = Outcome::Reject(Failure { cause, reason });
        Self { outcome, effects: None, digest: None, took: Duration::ZERO }
    }
}

impl Attempt {
    /// Makes the attempt. Whatever keeps it from being settled gives the claim back, and the delivery is
    /// made again.
    pub(super) async fn run(self, mut claim: Claim, mut places: Places) {
        let mut again = None;
        for rerun in 0.. {
            let Some((generation, ran)) = self.invoke(claim.delivery()).await else { return };
            // Others of a parallel subscription may run while this one waits for the disk.
            if !self.definition.is_serial() {
                places.free_running();
            }
            match self.settle(&mut claim, ran, rerun).await {
                Err(CommitError::Conflict(key)) => {
                    self.metrics.conflict();
                    let Delivery { subscription, .. } = claim.delivery();
                    tracing::debug!(event = claim.event().id, %subscription, key, "conflict; running again");
                    if again.is_none()
                        && let Some(generation) = generation
                    {
                        again = Some(Arc::clone(&generation.room.again).lock_owned().await);
                    }
                }
                Err(error) => return self.give_back(claim, &error).await,
                Ok(()) => return,
            }
        }
    }

    /// Runs the target. None if it is not there any more.
    async fn invoke(&self, delivery: &Delivery) -> Option<(Option<Arc<Generation>>, Ran)> {
        let (hops, limit) = (delivery.event().hops(), self.dispatcher.hop_limit);
        if hops > limit {
            let reason = format!(
                "{hops} events lie between this one and the first of its flow, and {limit} may: plugins publish for each other without end, or `hop_limit` is too low"
            );
            return Some((None, Ran::failed(Cause::HopLimit, reason)));
        }
        match &self.definition.target {
            Target::Plugin(name) => {
                let generation = self.generation(name, delivery)?;
                // The plugin's own places first: one that fills them keeps no other waiting.
                let own = Arc::clone(&generation.room.places).acquire_owned().await.ok()?;
                let shared = Arc::clone(&self.dispatcher.places).acquire_owned().await.ok()?;
                // The newest, since the waits may have been long.
                let generation = self.generation(name, delivery)?;
                let ran = self.run_plugin(Arc::clone(&generation), delivery, [own, shared]).await;
                Some((Some(generation), ran))
            }
            Target::Webhook(webhook) => Some((None, self.run_webhook(webhook, delivery).await?)),
        }
    }

    fn generation(&self, name: &str, delivery: &Delivery) -> Option<Arc<Generation>> {
        let generation = self.dispatcher.registry.snapshot().plugins.get(name).cloned()?;
        (delivery.is_dynamic || generation.declares(&delivery.subscription.name)).then_some(generation)
    }

    /// Runs a plugin's handler. The places are held until its thread is free, also if it is given up before.
    async fn run_plugin(
        &self,
        generation: Arc<Generation>,
        delivery: &Delivery,
        places: [OwnedSemaphorePermit; 2],
    ) -> Ran {
        let started = Instant::now();
        let state = self.dispatcher.bus.state(&generation.name);
        let delivery = delivery.clone();
        let timeout = self.definition.timeout;
        let patience = timeout.min(generation.settings.limits.timeout) + TIMEOUT_GRACE;
        let name = generation.name.to_string();
        let digest = generation.digest.as_str().to_owned();
        let invocation = tokio::task::spawn_blocking(move || {
            let call = Call {
                event: delivery.event(),
                subscription: &delivery.subscription.name,
                attempt: delivery.attempt,
                replay: delivery.replay,
            };
            let handled = generation.handle_event(&call, timeout, state);
            drop(places);
            handled
        });
        let failed = |cause, reason| {
            let outcome = Outcome::Retry { after: None, failure: Failure { cause, reason } };
            Handled { outcome, effects: Effects::default() }
        };
        let handled = match tokio::time::timeout(patience, invocation).await {
            Ok(Ok(handled)) => handled,
            // A mistake in the host. Given back, the delivery would run into it again at once, and for ever.
            Ok(Err(error)) => failed(Cause::Trap, format!("the host failed to run it: {error}")),
            // It hangs in the host, where the guest's time is not counted. What it comes to is thrown away.
            Err(_) => failed(Cause::Timeout, "it was given up because it ran out of time".to_owned()),
        };
        let Handled { outcome, effects } = handled;
        Ran { outcome, effects: Some((name, effects)), digest: Some(digest), took: started.elapsed() }
    }

    async fn run_webhook(&self, webhook: &Webhook, delivery: &Delivery) -> Option<Ran> {
        let started = Instant::now();
        let owner = &delivery.subscription.owner;
        let grants = if owner == OPERATOR {
            None
        } else {
            Some(self.dispatcher.registry.snapshot().plugins.get(owner)?.settings.webhooks.clone())
        };
        let webhooks = &self.dispatcher.webhooks;
        let outcome = webhooks.deliver(webhook, grants.as_deref(), delivery.event(), self.definition.timeout).await;
        Some(Ran { outcome, effects: None, digest: None, took: started.elapsed() })
    }

    async fn settle(&self, claim: &mut Claim, ran: Ran, rerun: u32) -> Result<(), CommitError> {
        let Ran { outcome, effects, digest, took } = ran;
        let shown = outcome.clone();
        let settlement = Settlement { outcome, effects, digest: digest.clone(), jitter: jitter() };
        match claim.settle(settlement).await {
            Ok(settled) => {
                self.report(claim.delivery(), &shown, settled, took);
                Ok(())
            }
            Err(CommitError::Conflict(_)) if rerun >= RERUN_LIMIT => {
                let reason = "others kept changing what the handler had read".to_owned();
                self.settle_failed(claim, Cause::Conflict, reason, digest, took).await
            }
            // What the handler asked for cannot be done, and will not be the next time either.
            Err(error @ (CommitError::NotANumber(_) | CommitError::TooManySubscriptions(_))) => {
                self.settle_failed(claim, Cause::Rejected, error.to_string(), digest, took).await
            }
            Err(error) => Err(error),
        }
    }

    async fn settle_failed(
        &self,
        claim: &mut Claim,
        cause: Cause,
        reason: String,
        digest: Option<String>,
        took: Duration,
    ) -> Result<(), CommitError> {
        let failure = Failure { cause, reason };
        let outcome = match cause {
            Cause::Rejected => Outcome::Reject(failure),
            _ => Outcome::Retry { after: None, failure },
        };
        let settlement = Settlement { outcome: outcome.clone(), effects: None, digest, jitter: jitter() };
        let settled = claim.settle(settlement).await?;
        self.report(claim.delivery(), &outcome, settled, took);
        Ok(())
    }

    /// The one place where the end of an attempt is logged and counted.
    fn report(&self, delivery: &Delivery, outcome: &Outcome, settled: Settled, took: Duration) {
        let latency = self.metrics.settled(settled, delivery.logged.stored_at, took);
        let (event, event_type) = (delivery.event().id.as_str(), delivery.event().event_type.as_str());
        let Delivery { subscription, attempt, replay, .. } = delivery;
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
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
        if *error == CommitError::DiskFull {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        drop(claim);
    }
}

/// A number from 0 to 1 that differs from call to call. It need not be hard to guess.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::hash::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
