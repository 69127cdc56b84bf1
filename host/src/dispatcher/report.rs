//! Reports attempts to the ledger, metrics, observers and the log.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::AttemptReporter;
use super::trace::{self, AttemptSpan};
use crate::bus::{AttemptRecord, CommitError, Delivery, FeedId, SettledStatus};
use crate::clock::Clock;
use crate::duration::micros;
use crate::ledger::{Recorder, SubjectStatistics};
use crate::observer::{Observation, Observer};
use crate::otlp::Tracer;
use crate::outcome::EffectNames;
use crate::retry::Verdict;
use crate::span_context::SpanContext;
use crate::telemetry::{SettledAttempt, SubscriptionMetrics};

/// Reports a subscription's attempts.
pub(super) struct Reporter {
    pub(super) metrics: Arc<SubscriptionMetrics>,
    pub(super) recorder: Recorder,
    /// The subscription's statistics in the ledger.
    pub(super) statistics: Option<Arc<SubjectStatistics>>,
    pub(super) observer: Observer,
    pub(super) tracer: Tracer,
    pub(super) clock: Clock,
}

impl AttemptReporter for Reporter {
    fn needs_names(&self, record: &AttemptRecord) -> bool {
        // After a redrive, a success is recorded as well: without it, the dead letter would look dropped.
        let is_failure = record.verdict != Verdict::Ack || record.delivery.redriven_at.is_some();
        self.recorder.wants(is_failure, record.took)
    }

    fn settled(&self, record: &AttemptRecord, names: Option<EffectNames>, status: SettledStatus, span: AttemptSpan) {
        let delivery = &record.delivery;
        let latency = self.clock.now().since(delivery.logged.stored_at);
        let span = span.of_ended(&self.tracer, record);
        let (context, is_replay) = (span.as_ref().map(|span| span.context), delivery.kind.is_replay());
        self.metrics.settled(&SettledAttempt { status, latency, took: record.took, is_replay, span: context });
        self.recorder.record_attempt(self.statistics.as_deref(), record, names, status);
        self.observer.record(|| Observation::Attempt { record: record.without_recorded_responses(), status });
        log(record, status, latency, context);
        if let Some(span) = span {
            trace::end(&self.tracer, *span, record, status, latency);
        }
    }

    fn conflict(&self, delivery: &Delivery, key: &str) {
        self.metrics.conflict();
        let Delivery { subscription, .. } = delivery;
        tracing::debug!(event = delivery.event().id, %subscription, key, "conflict; running again");
    }

    fn given_back(&self, delivery: &Delivery, error: &CommitError) {
        let (event, subscription) = (delivery.event().id.as_str(), &delivery.subscription);
        tracing::warn!(event, %subscription, %error, "could not commit the outcome; the event is delivered again");
    }

    fn lost(&self, delivery: &Delivery) {
        let (event, subscription) = (delivery.event().id.as_str(), &delivery.subscription);
        tracing::info!(
            event,
            %subscription,
            "discarded the outcome of an attempt, because the subscription or replay was deleted or another host took over"
        );
    }
}

fn log(record: &AttemptRecord, status: SettledStatus, latency: Duration, span: Option<SpanContext>) {
    let delivery = &record.delivery;
    let (event, event_type) = (delivery.event().id.as_str(), delivery.event().event_type.as_str());
    let Delivery { subscription, attempt, kind, .. } = &**delivery;
    let replay = kind.replay().map(FeedId::number);
    let (took_us, latency_us) = (micros(record.took), micros(latency));
    let trace_id = span.map(|span| tracing::field::display(span.trace));
    let span_id = span.map(|span| tracing::field::display(span.span));
    let Some(failure) = record.verdict.failure() else {
        tracing::debug!(event, event_type, %subscription, attempt, replay, took_us, latency_us, trace_id, span_id, "handled");
        return;
    };
    let (cause, reason) = (failure.cause.as_str(), failure.reason.as_str());
    match status {
        SettledStatus::Waiting(due) => {
            tracing::warn!(event, event_type, %subscription, attempt, took_us, cause, %due, trace_id, span_id, "attempt failed, retrying: {reason}");
        }
        // A verdict with a failure is never settled as handled.
        SettledStatus::Dead | SettledStatus::Handled => {
            tracing::error!(event, event_type, %subscription, attempt, took_us, cause, trace_id, span_id, "dead letter: {reason}");
        }
    }
}
