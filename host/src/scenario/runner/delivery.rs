//! Deliveries of a scenario. They take the host's attempt path with a handler that runs immediately.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{Runner, run_on_thread};
use crate::bus::{AttemptRecord, Claim, CommitError, Delivery, DurableBus, PluginState as _, SettledStatus};
use crate::dispatcher::attempt::{AttemptReporter, AttemptRunner, DeliveryHandler, InvocationResult};
use crate::dispatcher::permits::FeedPermits;
use crate::dispatcher::plugin_handler::invoke_plugin;
use crate::dispatcher::trace::AttemptSpan;
use crate::otlp::Tracer;
use crate::outcome::EffectNames;
use crate::plugin::Generation;
use crate::retry::Verdict;
use crate::scenario::sequence_numbers::DrawRecorder;
use crate::scenario::{AttemptSummary, ScenarioError, internal_error};
use crate::subscription::Definition;

/// The largest number of hops in a cause tree.
const HOP_LIMIT: u32 = 64;

/// Invokes a plugin of the scenario, and captures its log lines.
struct ScenarioHandler<'a> {
    bus: &'a DurableBus,
    draws: &'a DrawRecorder,
    generation: &'a Arc<Generation>,
    definition: Arc<Definition>,
    lines: Mutex<Vec<String>>,
}

impl DeliveryHandler for ScenarioHandler<'_> {
    async fn invoke(&self, delivery: &Arc<Delivery>) -> Option<InvocationResult> {
        let (timeout, plugin) = (self.definition.timeout, &*self.generation.name);
        let (event, replay) = (delivery.event(), delivery.kind.is_replay());
        let subject = format!("{} {} {} {replay}", delivery.subscription, event.source, event.id);
        let state = self.draws.record(&subject, plugin, self.bus.state(plugin));
        let tracer = Tracer::default();
        let (invocation, lines) =
            run_on_thread(|| invoke_plugin(state, self.generation, delivery, timeout, &mut None, &tracer));
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        Some(invocation)
    }
}

/// Collects the reports of the attempts at a delivery.
#[derive(Default)]
struct Reports(Mutex<Vec<Result<AttemptRecord, CommitError>>>);

impl Reports {
    fn add(&self, report: Result<AttemptRecord, CommitError>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }

    fn take(&self) -> Vec<Result<AttemptRecord, CommitError>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AttemptReporter for Reports {
    fn settled(&self, record: &AttemptRecord, _: Option<EffectNames>, _: SettledStatus, _: AttemptSpan) {
        self.add(Ok(record.clone()));
    }

    /// Does nothing: no other handler runs that could cause a conflict.
    fn conflict(&self, _: &Delivery, _: &str) {}

    fn given_back(&self, _: &Delivery, error: &CommitError) {
        self.add(Err(error.clone()));
    }

    fn lost(&self, _: &Delivery) {
        self.add(Err(CommitError::NotClaimed));
    }
}

impl Runner {
    pub(super) async fn deliver(
        &mut self,
        claim: Claim,
        generation: &Arc<Generation>,
        definition: Arc<Definition>,
    ) -> Result<(), ScenarioError> {
        let reports = Arc::new(Reports::default());
        let cancelled = CancellationToken::new();
        // A claim that cannot be settled is given back without a pause: the time is virtual.
        cancelled.cancel();
        let path = AttemptRunner {
            definition: Arc::clone(&definition),
            hop_limit: HOP_LIMIT,
            holds_failed_deliveries: false,
            // Without jitter, the delays are exactly those of the policy.
            jitter: || 1.0,
            reporter: Arc::clone(&reports) as Arc<dyn AttemptReporter>,
            cancelled,
        };
        let handler =
            ScenarioHandler { bus: &self.bus, draws: &self.draws, generation, definition, lines: Mutex::default() };
        let answered = self.outbound.answered();
        path.run(claim, FeedPermits::default(), &handler).await;
        self.take_back(answered);
        let lines = handler.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.record_invocation(&generation.name, &lines);
        for report in reports.take() {
            let attempted = self.summarize(&report.map_err(internal_error)?);
            self.record_attempt(&generation.name, attempted);
        }
        Ok(())
    }

    fn summarize(&self, record: &AttemptRecord) -> AttemptSummary {
        let delivery = &record.delivery;
        let outcome = match &record.verdict {
            Verdict::Ack => "ack",
            Verdict::RetryAfter { .. } | Verdict::DeadLetter { exhausted: true, .. } => "retry",
            Verdict::DeadLetter { exhausted: false, .. } => "reject",
        };
        let failure = record.verdict.failure();
        AttemptSummary {
            subscription: delivery.subscription.to_string(),
            event: delivery.event().id.clone(),
            event_type: delivery.event().event_type.clone(),
            attempt: delivery.attempt,
            at: self.after_beginning(self.clock.now()),
            outcome,
            cause: failure.map(|failure| failure.cause.as_str()),
            reason: failure.map(|failure| failure.reason.clone()),
        }
    }
}
