//! The path of every attempt: admit → invoke → decide → settle → report.
//!
//! Three drivers take these steps: serial subscriptions and webhooks ([`Worker`](super::worker)), slices
//! ([`Slice`](super::slice)), and scenarios. Only a slice does not wait for its commits: it decides and settles on
//! the guest's thread. If its settlement is refused, the attempt continues here with [`AttemptRunner::resume`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::permits::FeedPermits;
use super::trace::AttemptSpan;
use crate::bus::{AttemptRecord, Claim, CommitError, Delivery, SettledStatus, Settlement};
use crate::outcome::{Cause, EffectNames, Effects, Failure, Outcome};
use crate::plugin::{Generation, RERUN_LIMIT};
use crate::retry::{self, Verdict};
use crate::subscription::Definition;
use crate::usage::Usage;

/// How long the dispatcher waits before it gives back a claim whose commit failed permanently. The process ends soon,
/// and another attempt before that would fail, too.
const GIVE_BACK_PAUSE: Duration = Duration::from_secs(1);

/// Makes attempts at the deliveries of a subscription.
pub(crate) struct AttemptRunner {
    /// The subscription's definition, for its retry policy and its concurrency.
    pub(crate) definition: Arc<Definition>,
    /// The maximum depth of an event in its cause tree.
    pub(crate) hop_limit: u32,
    /// Draws the jitter of a retry's delay, from 0 to 1.
    pub(crate) jitter: fn() -> f64,
    /// Whether failed deliveries are held until `Subscriptions::retry_now`, instead of following the retry policy.
    pub(crate) holds_failed_deliveries: bool,
    /// Receives the reports on attempts.
    pub(crate) reporter: Arc<dyn AttemptReporter>,
    /// Cancelled when the host stops.
    pub(crate) cancelled: CancellationToken,
}

/// Admits and invokes the handler of a subscription's deliveries.
pub(crate) trait DeliveryHandler: Sync {
    /// Invokes the handler once it is admitted. None if the delivery cannot be made now: it is given back.
    fn invoke(&self, delivery: &Arc<Delivery>) -> impl Future<Output = Option<InvocationResult>> + Send;
}

/// Receives the reports on attempts. A worker's reporter passes them to the ledger, the metrics, the log, the traces
/// and `sandbus dev`. A scenario has a reporter of its own.
pub(crate) trait AttemptReporter: Send + Sync {
    /// Whether the report needs the event types and state keys in the attempt's effects.
    fn needs_names(&self, _record: &AttemptRecord) -> bool {
        false
    }
    /// An attempt was committed. The names are those in the effects, if they are needed.
    fn settled(&self, record: &AttemptRecord, names: Option<EffectNames>, status: SettledStatus, span: AttemptSpan);
    /// The handler runs again, because the state that it read under a key has changed.
    fn conflict(&self, delivery: &Delivery, key: &str);
    /// An attempt could not be committed. The event is delivered again.
    fn given_back(&self, delivery: &Delivery, error: &CommitError);
    /// The claim was lost, and its outcome is discarded: the subscription or replay was deleted, or another host took
    /// over.
    fn lost(&self, delivery: &Delivery);
}

/// The result of an invocation.
#[derive(Debug)]
pub(crate) struct InvocationResult {
    pub(crate) outcome: Outcome,
    pub(crate) effects: Effects,
    /// The plugin's generation that ran, if a plugin did.
    pub(crate) generation: Option<Arc<Generation>>,
    /// The run time of the handler.
    pub(crate) took: Duration,
    /// What the handler used.
    pub(crate) usage: Usage,
    /// The span of the attempt.
    pub(crate) span: AttemptSpan,
}

impl InvocationResult {
    /// The result of an attempt for which no plugin ran.
    pub(super) fn without_plugin(outcome: Outcome, took: Duration) -> Self {
        let (effects, usage, span) = Default::default();
        Self { outcome, effects, generation: None, took, usage, span }
    }
}

/// An attempt whose settlement is submitted to the bus, with what is needed after the commit.
pub(super) struct SubmittedAttempt {
    record: AttemptRecord,
    /// The names in its effects, if its report needs them.
    names: Option<EffectNames>,
    generation: Option<Arc<Generation>>,
    span: AttemptSpan,
}

/// The reruns of one attempt after conflicts. A plugin's reruns take place one at a time.
#[derive(Default)]
struct Reruns {
    count: u32,
    turn: Option<OwnedMutexGuard<()>>,
}

impl AttemptRunner {
    /// Makes one attempt at a delivery. After a conflict, the handler runs again as part of the same attempt. If no
    /// outcome can be committed, the claim is dropped, which gives the delivery back.
    pub(crate) async fn run(&self, claim: Claim, permits: FeedPermits, handler: &impl DeliveryHandler) {
        self.run_from(claim, permits, handler, Reruns::default(), None).await;
    }

    /// Settles an invocation that the caller has made. If the settlement is refused, it continues like [`Self::run`].
    pub(super) async fn settle(
        &self,
        claim: Claim,
        permits: FeedPermits,
        handler: &impl DeliveryHandler,
        invocation: InvocationResult,
    ) {
        self.run_from(claim, permits, handler, Reruns::default(), Some(invocation)).await;
    }

    /// Continues with an attempt whose settlement was refused.
    pub(super) async fn resume(
        &self,
        claim: Claim,
        permits: FeedPermits,
        handler: &impl DeliveryHandler,
        attempt: SubmittedAttempt,
        error: CommitError,
    ) {
        let mut reruns = Reruns::default();
        if let Some(claim) = self.recover(claim, attempt, error, &mut reruns).await {
            self.run_from(claim, permits, handler, reruns, None).await;
        }
    }

    async fn run_from(
        &self,
        mut claim: Claim,
        mut permits: FeedPermits,
        handler: &impl DeliveryHandler,
        mut reruns: Reruns,
        mut completed: Option<InvocationResult>,
    ) {
        loop {
            let invocation = match completed.take() {
                Some(invocation) => invocation,
                None => match self.invoke(&claim, handler).await {
                    Some(invocation) => invocation,
                    None => return,
                },
            };
            if !self.definition.is_serial() {
                permits.release_running();
            }
            let (settlement, attempt) = self.decide(claim.delivery(), invocation);
            let error = match claim.settle(settlement).await {
                Ok(status) => return self.report(attempt, status),
                Err(error) => error,
            };
            match self.recover(claim, attempt, error, &mut reruns).await {
                Some(still_held) => claim = still_held,
                None => return,
            }
        }
    }

    /// Invokes the handler and waits for it. None if the delivery is given back, or if its claim is lost. The bus would
    /// refuse the outcome of a lost claim.
    async fn invoke(&self, claim: &Claim, handler: &impl DeliveryHandler) -> Option<InvocationResult> {
        if let Some(rejection) = self.check_hops(claim.delivery()) {
            return Some(rejection);
        }
        tokio::select! {
            biased;
            invocation = handler.invoke(claim.delivery()) => invocation,
            () = claim.lost() => {
                self.reporter.lost(claim.delivery());
                None
            }
        }
    }

    /// Rejects an event that is too deep in its cause tree, because plugins publish to each other in an endless loop.
    pub(super) fn check_hops(&self, delivery: &Delivery) -> Option<InvocationResult> {
        let (hops, limit) = (delivery.event().hops(), self.hop_limit);
        (hops > limit).then(|| {
            let reason = format!(
                "the event is {hops} levels deep in its cause tree, and the limit is {limit} (`hop_limit`): plugins \
                 publish to each other in an endless loop, or the limit is too low"
            );
            let outcome = Outcome::Reject(Failure { cause: Cause::HopLimit, reason });
            InvocationResult::without_plugin(outcome, Duration::ZERO)
        })
    }

    /// Decides the verdict on an invocation. Returns the settlement to commit, and the attempt for its report.
    pub(super) fn decide(
        &self,
        delivery: &Arc<Delivery>,
        invocation: InvocationResult,
    ) -> (Settlement, SubmittedAttempt) {
        let InvocationResult { outcome, effects, generation, took, usage, span } = invocation;
        let verdict = self.verdict(delivery, outcome);
        let digest = generation.as_ref().map(|generation| generation.digest.shared());
        let record = AttemptRecord { delivery: Arc::clone(delivery), verdict, digest, took, usage };
        let names = self.reporter.needs_names(&record).then(|| EffectNames::of(&effects));
        let effects = generation.as_ref().map(|generation| (Arc::clone(&generation.name), effects));
        (Settlement { record: record.clone(), effects }, SubmittedAttempt { record, names, generation, span })
    }

    fn verdict(&self, delivery: &Delivery, outcome: Outcome) -> Verdict {
        if self.holds_failed_deliveries {
            return retry::hold(outcome);
        }
        retry::decide(&self.definition.retry, delivery.attempt, outcome, (self.jitter)())
    }

    pub(super) fn report(&self, attempt: SubmittedAttempt, status: SettledStatus) {
        self.reporter.settled(&attempt.record, attempt.names, status, attempt.span);
    }

    /// Handles a refused settlement. Returns the claim if its handler must run again.
    async fn recover(
        &self,
        mut claim: Claim,
        attempt: SubmittedAttempt,
        error: CommitError,
        reruns: &mut Reruns,
    ) -> Option<Claim> {
        if let CommitError::Conflict(key) = &error
            && reruns.count < RERUN_LIMIT
        {
            self.reporter.conflict(claim.delivery(), key);
            reruns.wait_for_turn(attempt.generation.as_deref()).await;
            return Some(claim);
        }
        if error == CommitError::NotClaimed {
            self.reporter.lost(claim.delivery());
            return None;
        }
        let Some(outcome) = outcome_of(&error) else {
            self.give_back(claim, &error).await;
            return None;
        };
        let record = AttemptRecord { verdict: self.verdict(claim.delivery(), outcome), ..attempt.record };
        match claim.settle(Settlement { record: record.clone(), effects: None }).await {
            Ok(status) => {
                // The record has no names, because the effects were refused.
                let names = self.reporter.needs_names(&record).then(EffectNames::default);
                self.reporter.settled(&record, names, status, attempt.span);
            }
            Err(error) => self.give_back(claim, &error).await,
        }
        None
    }

    async fn give_back(&self, claim: Claim, error: &CommitError) {
        self.reporter.given_back(claim.delivery(), error);
        // The store would refuse another attempt that follows at once.
        let pause = error.retry_after().unwrap_or(GIVE_BACK_PAUSE);
        // A shutdown ends the pause.
        let _ = self.cancelled.run_until_cancelled(tokio::time::sleep(pause)).await;
        drop(claim);
    }
}

impl Reruns {
    async fn wait_for_turn(&mut self, generation: Option<&Generation>) {
        self.count += 1;
        if self.turn.is_none()
            && let Some(generation) = generation
        {
            self.turn = Some(Arc::clone(&generation.limiter.rerun_lock).lock_owned().await);
        }
    }
}

/// The outcome of an attempt whose effects could not be committed. None if the attempt itself did not fail: its event
/// is delivered again.
fn outcome_of(error: &CommitError) -> Option<Outcome> {
    let (cause, reason) = match error {
        CommitError::Conflict(_) => {
            (Cause::Conflict, "other invocations kept changing the state that the handler had read".to_owned())
        }
        error => (error.cause()?, error.to_string()),
    };
    let failure = Failure { cause, reason };
    Some(match cause {
        // Another attempt would fail in the same way.
        Cause::Rejected | Cause::Collision => Outcome::Reject(failure),
        _ => Outcome::Retry { after: None, failure },
    })
}

/// A random number from 0 to 1. It is not cryptographically secure.
pub(super) fn random_jitter() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::hash::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
