//! The spans of attempts.
//!
//! The id of an attempt's span is derived from the event, the subscription and the attempt, so that every host and
//! every restart gives it the same one.

use std::time::Duration;

use crate::bus::{AttemptRecord, Delivery, DeliveryKind, FeedId, SettledStatus};
use crate::clock::UnixNanos;
use crate::event::published_at;
use crate::otlp::{Attributes, Beginning, Ending, LINK_AFTER, OpenSpan, Role, TracedOperation, Tracer};
use crate::span_context::{SpanContext, SpanId, TraceId};

/// The span of an attempt.
#[derive(Debug, Default)]
pub(crate) enum AttemptSpan {
    /// Nothing has decided whether the attempt is sampled, because no handler ran, or because it hangs.
    #[default]
    Undecided,
    /// The attempt is not sampled.
    Unsampled,
    /// The attempt is sampled.
    Sampled(Box<OpenSpan>),
}

impl From<Option<TracedOperation>> for AttemptSpan {
    fn from(operation: Option<TracedOperation>) -> Self {
        operation.and_then(|operation| operation.span).map_or(Self::Unsampled, Self::Sampled)
    }
}

impl AttemptSpan {
    /// The span of an attempt that has ended, if it is sampled.
    pub(super) fn of_ended(self, tracer: &Tracer, record: &AttemptRecord) -> Option<Box<OpenSpan>> {
        match self {
            Self::Sampled(span) => Some(span),
            Self::Unsampled => None,
            Self::Undecided => {
                let took = u64::try_from(record.took.as_nanos()).unwrap_or(u64::MAX);
                let started = UnixNanos(tracer.now().0.saturating_sub(took));
                begin_at(tracer, &record.delivery, started)?.span
            }
        }
    }
}

/// Begins an attempt. None if nothing is traced.
pub(crate) fn begin(tracer: &Tracer, delivery: &Delivery) -> Option<TracedOperation> {
    if tracer.is_on() { begin_at(tracer, delivery, tracer.now()) } else { None }
}

fn begin_at(tracer: &Tracer, delivery: &Delivery, started: UnixNanos) -> Option<TracedOperation> {
    let event = delivery.event();
    let parent = SpanContext::of(event);
    let trace = parent.map_or_else(|| TraceId::of_cause_tree(event), |parent| parent.trace);
    let mut operation = tracer.begin(&Beginning { parent, trace, started }, || span_id(delivery, delivery.attempt))?;
    if let Some(span) = &mut operation.span
        && started.timestamp().since(published_at(event).unwrap_or(delivery.logged.stored_at)) > LINK_AFTER
    {
        // If the event has no trace context, the spans of later attempts link to the first attempt.
        let first = || SpanContext { trace, span: span_id(delivery, 1), is_sampled: true };
        span.link = parent.or_else(|| (delivery.attempt > 1).then(first));
        span.parent = None;
        span.context.trace = TraceId::derived("delayed", &[span.context.span.bytes()]);
        operation.context = span.context;
    }
    Some(operation)
}

/// The id of an attempt's span.
fn span_id(delivery: &Delivery, attempt: u32) -> SpanId {
    let Delivery { subscription, kind, redriven_at, .. } = delivery;
    let event = delivery.event();
    // A redrive starts to count attempts again.
    let redriven = redriven_at.map_or(0, |at| at.0).to_le_bytes();
    let kind = match kind {
        DeliveryKind::Regular => 0,
        DeliveryKind::Replay(feed) => FeedId::number(*feed),
        DeliveryKind::RedrivenReplay(_) => -1,
    };
    let parts = [
        event.source.as_bytes(),
        event.id.as_bytes(),
        subscription.owner.as_bytes(),
        subscription.name.as_bytes(),
        &attempt.to_le_bytes(),
        &kind.to_le_bytes(),
        &redriven,
    ];
    SpanId::derived("attempt", &parts)
}

/// Ends the span of an attempt. `latency` is the time since the event was stored.
pub(super) fn end(tracer: &Tracer, span: OpenSpan, record: &AttemptRecord, status: SettledStatus, latency: Duration) {
    let AttemptRecord { delivery, verdict, digest, usage, .. } = record;
    let (event, failure) = (delivery.event(), verdict.failure());
    let subscription = delivery.subscription.to_string();
    let mut attributes = Attributes::default();
    attributes.text("messaging.system", "sandbus");
    attributes.text("messaging.operation.type", "process");
    attributes.text("messaging.operation.name", "process");
    attributes.text("messaging.destination.name", &event.event_type);
    attributes.text("messaging.destination.subscription.name", &subscription);
    attributes.text("messaging.message.id", &event.id);
    attributes.text("cloudevents.event_id", &event.id);
    attributes.text("cloudevents.event_source", &event.source);
    attributes.text("cloudevents.event_type", &event.event_type);
    attributes.text("cloudevents.event_spec_version", "1.0");
    attributes.optional("cloudevents.event_subject", event.subject.as_deref());
    attributes.number("sandbus.attempt", delivery.attempt.into());
    attributes.text("sandbus.outcome", outcome(status));
    attributes.seconds("sandbus.latency", latency);
    attributes.seconds("sandbus.queued", usage.queued);
    if let Some(digest) = digest {
        attributes.text("sandbus.plugin.digest", digest);
        attributes.seconds("sandbus.cpu_time", usage.cpu_time);
        attributes.number("sandbus.memory", usage.memory_bytes);
    }
    if delivery.kind.is_replay() {
        attributes.flag("sandbus.replay", true);
    }
    attributes.optional("error.type", failure.map(|failure| failure.cause.as_str()));
    let name = format!("process {}", event.event_type);
    let failure = failure.map(|failure| failure.reason.as_str());
    tracer.end(span, Ending { name, role: Role::Consumer, attributes, failure });
}

fn outcome(status: SettledStatus) -> &'static str {
    match status {
        SettledStatus::Handled => "handled",
        SettledStatus::Waiting(_) => "retry",
        SettledStatus::Dead => "dead",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::event::{Event, IdSeed, LoggedEvent, Position, mark_published};
    use crate::otlp::{Otlp, OtlpConfig};
    use crate::subscription::SubscriptionId;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const STORED: u64 = 1_000_000;

    fn tracer(ratio: &str, now: u64) -> Tracer {
        let variables = [
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", ratio),
        ];
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let config = OtlpConfig::read(&find).unwrap().unwrap();
        Otlp::new(config, Clock::manual(Timestamp(now))).unwrap().tracer()
    }

    fn delivery(traceparent: Option<&str>, attempt: u32) -> Delivery {
        let extensions = traceparent.map(|value| ("traceparent".to_owned(), value.to_owned())).into_iter().collect();
        let event = Event { id: "e1".into(), source: "/a".into(), extensions, ..Event::default() };
        Delivery {
            logged: LoggedEvent { position: Position(1), stored_at: Timestamp(STORED), event: Arc::new(event) },
            subscription: SubscriptionId { owner: "mailer".into(), name: "welcome".into() },
            is_dynamic: false,
            attempt,
            kind: DeliveryKind::Regular,
            redriven_at: None,
            ids: IdSeed::unique(),
        }
    }

    fn span(tracer: &Tracer, delivery: &Delivery) -> OpenSpan {
        *begin(tracer, delivery).unwrap().span.unwrap()
    }

    #[test]
    fn a_span_id_is_derived_and_different_for_each_attempt() {
        let id = |delivery: &Delivery| span(&tracer("1", STORED), delivery).context.span;
        let first = delivery(Some(PARENT), 1);
        assert_eq!(id(&first), id(&delivery(Some(PARENT), 1)));
        let mut others = [2, 1, 1, 1].map(|attempt| delivery(Some(PARENT), attempt));
        others[1].subscription.name = "other".into();
        others[2].kind = DeliveryKind::Replay(FeedId::new(7));
        others[3].redriven_at = Some(Timestamp(5));
        let mut ids: Vec<_> = others.iter().map(|delivery| id(delivery).to_string()).collect();
        ids.push(id(&first).to_string());
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5, "{ids:?}");
    }

    #[test]
    fn an_attempt_is_a_child_unless_the_event_waited_for_long() {
        let minute = 60_000;
        let parent = SpanContext::parse(PARENT).unwrap();
        let prompt = span(&tracer("1", STORED + minute), &delivery(Some(PARENT), 2));
        assert_eq!((prompt.context.trace, prompt.parent, prompt.link), (parent.trace, Some(parent.span), None));
        let late = tracer("1", STORED + minute + 1);
        let delayed = span(&late, &delivery(Some(PARENT), 2));
        assert_eq!((delayed.parent, delayed.link), (None, Some(parent)));
        assert_ne!(delayed.context.trace, parent.trace);
        assert_eq!(delayed.context.span, prompt.context.span);

        // Without a parent, the first attempt is the cause.
        let root = span(&tracer("1", STORED), &delivery(None, 1));
        assert_eq!((root.parent, root.link), (None, None));
        let retried = span(&late, &delivery(None, 3));
        assert_eq!(retried.link, Some(root.context));

        // A delayed event waited before it was stored.
        let mut delayed = delivery(Some(PARENT), 1);
        let mut event = Event::clone(delayed.event());
        mark_published(&mut event.extensions, Timestamp(STORED - minute - 1));
        delayed.logged.event = Arc::new(event);
        assert_eq!(span(&tracer("1", STORED), &delayed).link, Some(parent));
    }

    #[test]
    fn the_parent_and_then_the_ratio_decide_and_an_unsampled_attempt_has_no_span() {
        let unsampled = PARENT.replace("-01", "-00");
        for (ratio, parent, expected) in
            [("0", Some(PARENT), true), ("1", Some(&*unsampled), false), ("0", None, false), ("1", None, true)]
        {
            let operation = begin(&tracer(ratio, STORED), &delivery(parent, 1)).unwrap();
            assert_eq!(
                (operation.span.is_some(), operation.context.is_sampled),
                (expected, expected),
                "{ratio} {parent:?}"
            );
        }
        assert_eq!(begin(&Tracer::default(), &delivery(Some(PARENT), 1)), None);
    }
}
