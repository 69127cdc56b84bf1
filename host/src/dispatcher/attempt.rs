//! One attempt at one delivery: invoke, settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Dispatcher;
use super::worker::Places;
use crate::bus::{Claim, CommitError, Settled};
use crate::outcome::{Cause, Effects, Failure, Outcome};
use crate::plugin::{Generation, Handled};
use crate::subscription::{Definition, Target};
use crate::telemetry::SubscriptionMetrics;

/// How often a delivery runs again because others changed what it had read, before that counts as a
/// failed attempt.
const RERUN_LIMIT: u32 = 32;
/// How long a delivery waits when the disk is full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

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

impl Attempt {
    /// Makes the attempt. Whatever keeps it from being settled gives the claim back, and the delivery is
    /// made again.
    pub(super) async fn run(self, mut claim: Claim, mut places: Places) {
        let mut again = None;
        for rerun in 0.. {
            let Some((generation, ran)) = self.invoke(&claim).await else { return };
            // Others of a parallel subscription may run while this one waits for the disk.
            if !self.definition.is_serial() {
                places.free_running();
            }
            match self.settle(&mut claim, ran, rerun).await {
                Err(CommitError::Conflict(key)) => {
                    self.metrics.conflict();
                    tracing::debug!(event = claim.event().id, subscription = %claim.subscription(), key, "conflict; running again");
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
    async fn invoke(&self, claim: &Claim) -> Option<(Option<Arc<Generation>>, Ran)> {
        match &self.definition.target {
            Target::Plugin(name) => {
                let generation = self.generation(name, claim)?;
                // The plugin's own places first: one that fills them keeps no other waiting.
                let _own = generation.room.places.acquire().await.ok()?;
                let _shared = self.dispatcher.places.acquire().await.ok()?;
                // The newest, since the waits may have been long.
                let generation = self.generation(name, claim)?;
                let ran = self.run_plugin(Arc::clone(&generation), claim).await;
                Some((Some(generation), ran))
            }
            Target::Webhook(url) => Some((None, self.run_webhook(url, claim).await?)),
        }
    }

    fn generation(&self, name: &str, claim: &Claim) -> Option<Arc<Generation>> {
        let generation = self.dispatcher.registry.snapshot().plugins.get(name).cloned()?;
        (claim.is_dynamic() || generation.declares(&claim.subscription().name)).then_some(generation)
    }

    async fn run_plugin(&self, generation: Arc<Generation>, claim: &Claim) -> Ran {
        let started = Instant::now();
        let state = self.dispatcher.bus.state(&generation.name);
        let (event, attempt) = (Arc::clone(claim.event()), claim.attempt());
        let subscription = claim.subscription().name.clone();
        let definition = Arc::clone(&self.definition);
        let name = generation.name.to_string();
        let digest = generation.digest.as_str().to_owned();
        let invocation = move || generation.handle_event(&event, &subscription, attempt, &definition, state);
        let handled = tokio::task::spawn_blocking(invocation).await.unwrap_or_else(|error| {
            // A mistake in the host. Given back, the delivery would run into it again at once, and for ever.
            let failure = Failure { cause: Cause::Trap, reason: format!("the host failed to run it: {error}") };
            Handled { outcome: Outcome::Retry { after: None, failure }, effects: Effects::default() }
        });
        let Handled { outcome, effects } = handled;
        Ran { outcome, effects: Some((name, effects)), digest: Some(digest), took: started.elapsed() }
    }

    async fn run_webhook(&self, url: &str, claim: &Claim) -> Option<Ran> {
        let started = Instant::now();
        let snapshot = self.dispatcher.registry.snapshot();
        let owner = snapshot.plugins.get(&claim.subscription().owner)?;
        let grants = &owner.settings.webhooks;
        let outcome = self.dispatcher.webhooks.deliver(url, grants, claim.event(), self.definition.timeout).await;
        Some(Ran { outcome, effects: None, digest: None, took: started.elapsed() })
    }

    async fn settle(&self, claim: &mut Claim, ran: Ran, rerun: u32) -> Result<(), CommitError> {
        let Ran { outcome, effects, digest, took } = ran;
        let shown = outcome.clone();
        match claim.settle(outcome, effects, digest.clone(), jitter()).await {
            Ok(settled) => {
                self.report(claim, &shown, settled, took);
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
        let settled = claim.settle(outcome.clone(), None, digest, jitter()).await?;
        self.report(claim, &outcome, settled, took);
        Ok(())
    }

    /// The one place where the end of an attempt is logged and counted.
    fn report(&self, claim: &Claim, outcome: &Outcome, settled: Settled, took: Duration) {
        let latency = self.metrics.settled(settled, claim.stored_at(), took);
        let (event, event_type) = (claim.event().id.as_str(), claim.event().event_type.as_str());
        let (subscription, attempt) = (claim.subscription(), claim.attempt());
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let (Outcome::Retry { failure, .. } | Outcome::Reject(failure)) = outcome else {
            tracing::debug!(event, event_type, %subscription, attempt, took_us, latency_us, "handled");
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
        let (event, subscription) = (claim.event().id.as_str(), claim.subscription());
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
