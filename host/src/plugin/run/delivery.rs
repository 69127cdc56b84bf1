//! Calls event handlers with deliveries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call_failure::out_of_memory;
use super::generation::{Code, Generation, NativeHandler};
use super::linked::Instance;
use super::pairs;
use crate::clock::{Timestamp, check_delay};
use crate::event::{Event, IdSeed, LoggedEvent};
use crate::outcome::{Cause, Effects, Failure, Outcome, StateView};
use crate::plugin::bindings::sandbus::plugin::types as wire;
use crate::plugin::invocation::environment::Environment;
use crate::plugin::invocation::log::Trigger;
use crate::plugin::invocation::{InstanceData, Invocation};
use crate::printable;
use crate::span_context::SpanContext;
use crate::threads::LatencyTracker;
use crate::usage::Usage;

/// An invocation of an event handler.
#[derive(Clone, Copy, Debug)]
pub struct EventInvocation<'a> {
    /// The event and its position in the log.
    pub logged: &'a LoggedEvent,
    /// The subscription's name.
    pub subscription: &'a str,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Whether the delivery belongs to a replay.
    pub replay: bool,
    /// The seed for the ids of published events.
    pub ids: IdSeed,
    /// The place of the attempt in a trace, if it is traced.
    pub trace: Option<SpanContext>,
}

/// The result of an invocation of an event handler.
#[derive(Debug)]
pub struct EventResult {
    /// The outcome.
    pub outcome: Outcome,
    /// The effects, which are committed with an ack.
    pub effects: Effects,
    /// What the handler used.
    pub usage: Usage,
}

impl EventResult {
    /// An outcome without effects.
    #[must_use]
    pub fn without_effects(outcome: Outcome) -> Self {
        Self { outcome, effects: Effects::default(), usage: Usage::default() }
    }
}

/// The result of an invocation of an event handler in a canary.
#[derive(Debug)]
pub struct CanaryResult {
    /// The outcome, and the effects, which are not committed.
    pub handled: EventResult,
    /// The duration of the invocation.
    pub took: Duration,
    /// The peak of linear memory; `None` if the invocation failed.
    pub memory_bytes: Option<usize>,
}

impl Generation {
    /// Handles a delivery in the given instance, in an idle one, or in a new one. After a successful call, `instance`
    /// keeps it for another call. Blocks while the handler runs.
    #[must_use]
    pub fn handle_event(
        &self,
        event_invocation: &EventInvocation<'_>,
        timeout: Duration,
        state: Box<dyn StateView>,
        instance: &mut Option<Instance>,
    ) -> EventResult {
        if instance.is_none() {
            *instance = self.idle.take();
        }
        let handled = self.handle_event_in(
            &self.environment,
            event_invocation,
            timeout,
            state,
            instance,
            Some(&self.limiter.latency),
        );
        self.health.note(handled.outcome != Outcome::Ack);
        handled
    }

    /// Handles a delivery for a canary, in a new instance and in a reproducible environment: the clock stands at `now`,
    /// random numbers are derived from the event, and requests are refused. There are no side effects, and the call
    /// does not count among the plugin's invocations. Blocks while the handler runs.
    #[must_use]
    pub fn handle_for_canary(
        &self,
        event_invocation: &EventInvocation<'_>,
        timeout: Duration,
        state: Box<dyn StateView>,
        now: Timestamp,
    ) -> CanaryResult {
        let environment = Environment::for_canary(now, &event_invocation.logged.event);
        let (started, mut instance) = (Instant::now(), None);
        let handled = self.handle_event_in(&environment, event_invocation, timeout, state, &mut instance, None);
        CanaryResult {
            handled,
            took: started.elapsed(),
            memory_bytes: instance.map(|instance| instance.memory_bytes()),
        }
    }

    fn handle_event_in(
        &self,
        environment: &Environment,
        event_invocation: &EventInvocation<'_>,
        timeout: Duration,
        state: Box<dyn StateView>,
        instance: &mut Option<Instance>,
        latency: Option<&LatencyTracker>,
    ) -> EventResult {
        let EventInvocation { logged, subscription, attempt, replay, ids, trace } = *event_invocation;
        let event = &logged.event;
        let trigger = Trigger::Delivery { event: Arc::clone(event), subscription: subscription.to_owned(), attempt };
        let mut inherited = event.inherited();
        // If the trace is not sampled, published events do not carry it. The same trace id is derived for them again,
        // so they are not sampled either.
        trace.filter(|trace| trace.is_sampled).iter().for_each(|trace| trace.put_into(&mut inherited));
        let invocation = self.new_invocation(environment, state, ids, inherited, trigger, trace);
        let linked = match &self.code {
            Code::Component(linked) if linked.handles_events() => linked,
            Code::Component(_) => {
                let reason = format!("plugin `{}` exports no event handler", self.name);
                return EventResult::without_effects(Outcome::Reject(Failure { cause: Cause::NoHandler, reason }));
            }
            Code::Native(handler) => return call_native(*handler, event, invocation),
        };
        let timeout = timeout.min(self.settings.limits.timeout);
        let result = self.call(linked, invocation, timeout, instance, latency, |instance| {
            if let Some(handler) = linked.message_handler() {
                return Ok(instance.receive(handler, event)?.map_err(|failure| outcome_of(failure, None)));
            }
            let extensions = pairs(&event.extensions);
            let delivery = wire::Delivery {
                event: wire::Event {
                    id: &event.id,
                    source: &event.source,
                    type_: &event.event_type,
                    subject: event.subject.as_deref(),
                    time: event.time.as_deref(),
                    datacontenttype: event.media_type(),
                    dataschema: event.dataschema.as_deref(),
                    extensions: &extensions,
                    data: event.data.as_deref(),
                },
                subscription,
                attempt,
                replay,
            };
            let handled = instance.handle_event(linked, delivery)?;
            Ok(handled.map_err(|failure| outcome_of(failure, instance.store.data().reported)))
        });
        let (outcome, effects) = match result.returned {
            Ok(Ok(())) => (Outcome::Ack, result.effects),
            Ok(Err(outcome)) => (self.masked(outcome), Effects::default()),
            Err(failure) => (Outcome::Retry { after: None, failure }, Effects::default()),
        };
        EventResult { outcome, effects, usage: result.usage }
    }
}

impl Generation {
    /// An outcome without the secrets of the configuration.
    fn masked(&self, mut outcome: Outcome) -> Outcome {
        match &mut outcome {
            Outcome::Ack => {}
            Outcome::Reject(failure) | Outcome::Retry { failure, .. } => self.settings.mask.apply(&mut failure.reason),
        }
        outcome
    }
}

fn call_native(handler: NativeHandler, event: &Event, invocation: Invocation) -> EventResult {
    let mut instance = InstanceData::new(0);
    instance.begin(invocation);
    let outcome = handler(event, &mut |event_type, json| instance.publish_json(event_type, json));
    let (effects, _) = instance.end();
    match outcome {
        Outcome::Ack => EventResult { outcome, effects, usage: Usage::default() },
        _ => EventResult::without_effects(outcome),
    }
}

/// Converts a failure into an outcome. The handler may have reported the cause of a retry in a log line
/// before it returned.
fn outcome_of(failure: wire::Failure, reported: Option<Cause>) -> Outcome {
    let visible = |reason: &str| printable::block(reason).chars().take(2_000).collect();
    match failure {
        wire::Failure::Retry(wire::Retry { delay_ms, reason }) => {
            let delay = delay_ms.map(Duration::from_millis).map(check_delay).transpose();
            // The handler has ended, so an invalid delay cannot be reported to it. The policy's delay applies.
            let reason = match delay {
                Ok(_) => reason,
                Err(error) => format!("{reason} (its delay is ignored: {error})"),
            };
            let cause = reported.unwrap_or(Cause::Retry);
            let reason = if cause == Cause::OutOfMemory { out_of_memory(&reason).reason } else { reason };
            Outcome::Retry { after: delay.unwrap_or_default(), failure: Failure { cause, reason: visible(&reason) } }
        }
        wire::Failure::Reject(reason) => Outcome::Reject(Failure { cause: Cause::Rejected, reason: visible(&reason) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MAX_DELAY;

    #[test]
    fn a_retry_is_delayed_by_at_most_a_hundred_years() {
        let most = u64::try_from(MAX_DELAY.as_millis()).unwrap();
        for (delay_ms, expected, words) in [
            (None, None, "busy"),
            (Some(0), Some(Duration::ZERO), "busy"),
            (Some(most), Some(MAX_DELAY), "busy"),
            (Some(most + 1), None, "busy (its delay is ignored: the longest delay is a hundred years (100y))"),
            (Some(u64::MAX), None, "busy (its delay is ignored: the longest delay is a hundred years (100y))"),
        ] {
            let failure = wire::Failure::Retry(wire::Retry { delay_ms, reason: "busy".to_owned() });
            let Outcome::Retry { after, failure } = outcome_of(failure, None) else { panic!("{delay_ms:?}") };
            assert_eq!((after, failure.reason.as_str()), (expected, words), "{delay_ms:?}");
        }
    }
}
