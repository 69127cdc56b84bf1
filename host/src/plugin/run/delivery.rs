//! A delivery: what an event handler is called with, and what comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::generation::{Code, Generation, NativeHandler};
use super::linked::Live;
use super::pairs;
use crate::clock::Timestamp;
use crate::event::{Event, IdSeed, Logged};
use crate::outcome::{Cause, Effects, Failure, Outcome, StateView};
use crate::plugin::bindings::sandbus::plugin::types as wire;
use crate::plugin::invocation::environment::World;
use crate::plugin::invocation::log::Occasion;
use crate::plugin::invocation::{Invocation, Run};
use crate::printable;
use crate::threads::Pace;

/// What an event handler is called with.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The event, as it is logged.
    pub logged: &'a Logged,
    /// The subscription's name.
    pub subscription: &'a str,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether the subscription was to handle the event before.
    pub replay: bool,
    /// Where the ids of events come from that it publishes.
    pub ids: IdSeed,
}

/// What comes out of handling a delivery.
#[derive(Debug)]
pub struct Handled {
    /// The outcome.
    pub outcome: Outcome,
    /// What is committed with an ack.
    pub effects: Effects,
}

impl Handled {
    /// An outcome without effects.
    #[must_use]
    pub fn without(outcome: Outcome) -> Self {
        Self { outcome, effects: Effects::default() }
    }
}

/// What came out of handling a delivery of the past.
#[derive(Debug)]
pub struct Rehearsed {
    /// The outcome and the effects, of which nothing is committed.
    pub handled: Handled,
    /// How long it took.
    pub took: Duration,
    /// The most linear memory that it had; none if it ended badly.
    pub memory_bytes: Option<usize>,
}

impl Generation {
    /// Handles a delivery: in the instance that is given, if there is one, or in a fresh one. Leaves an instance
    /// that may go on. Blocks for as long as the handler runs.
    #[must_use]
    pub fn handle_event(
        &self,
        call: &Call<'_>,
        timeout: Duration,
        state: Box<dyn StateView>,
        live: &mut Option<Live>,
    ) -> Handled {
        if live.is_none() {
            *live = self.idle.take();
        }
        let handled = self.handle_event_in(&self.world, call, timeout, state, live, Some(&self.room.pace));
        self.health.note(handled.outcome != Outcome::Ack);
        handled
    }

    /// Handles a delivery of the past, in a fresh instance and in a world that is the same each time: at the time
    /// that is given, with chance drawn from the event, and with nobody to talk to. Nothing comes of it but what
    /// is returned, and it does not count among the plugin's invocations. Blocks for as long as the handler runs.
    #[must_use]
    pub fn rehearse(&self, call: &Call<'_>, timeout: Duration, state: Box<dyn StateView>, now: Timestamp) -> Rehearsed {
        let world = World::rehearsed(now, &call.logged.event);
        let (started, mut live) = (Instant::now(), None);
        let handled = self.handle_event_in(&world, call, timeout, state, &mut live, None);
        Rehearsed { handled, took: started.elapsed(), memory_bytes: live.map(|live| live.memory_bytes()) }
    }

    fn handle_event_in(
        &self,
        world: &World,
        call: &Call<'_>,
        timeout: Duration,
        state: Box<dyn StateView>,
        live: &mut Option<Live>,
        pace: Option<&Pace>,
    ) -> Handled {
        let Call { logged, subscription, attempt, replay, ids } = *call;
        let event = &logged.event;
        let occasion = Occasion::Delivery { event: Arc::clone(event), subscription: subscription.to_owned(), attempt };
        let run = self.run(world, state, ids, event.inherited(), occasion);
        let prepared = match &self.code {
            Code::Component(prepared) if prepared.handles_events() => prepared,
            Code::Component(_) => {
                let reason = format!("plugin `{}` exports no event handler", self.name);
                return Handled::without(Outcome::Reject(Failure { cause: Cause::NoHandler, reason }));
            }
            Code::Native(handler) => return run_native(*handler, event, run),
        };
        let timeout = timeout.min(self.settings.limits.timeout);
        let result = self.call(prepared, run, timeout, live, pace, |live| {
            if let Some(receiver) = prepared.receiver() {
                let failure = |reason| wire::Failure::Retry(wire::Retry { delay_ms: None, reason });
                return Ok(live.receive(receiver, event)?.map_err(|reason| outcome_of(failure(reason), None)));
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
            let (events, store) = live.events(prepared)?;
            let handled = events.call_handle(&mut *store, delivery)?;
            Ok(handled.map_err(|failure| outcome_of(failure, store.data().reported)))
        });
        match result {
            (Ok(Ok(())), (effects, _)) => Handled { outcome: Outcome::Ack, effects },
            (Ok(Err(outcome)), _) => Handled::without(outcome),
            (Err(failure), _) => Handled::without(Outcome::Retry { after: None, failure }),
        }
    }
}

fn run_native(handler: NativeHandler, event: &Event, run: Run) -> Handled {
    let mut invocation = Invocation::new(0);
    invocation.begin(run);
    let outcome = handler(event, &mut |event_type, json| invocation.publish_json(event_type, json));
    let (effects, _) = invocation.end();
    if outcome == Outcome::Ack { Handled { outcome, effects } } else { Handled::without(outcome) }
}

/// The outcome that a failure is. A retry may have been reported as another kind of failure before.
fn outcome_of(failure: wire::Failure, reported: Option<Cause>) -> Outcome {
    let visible = |reason: &str| printable::block(reason).chars().take(2_000).collect();
    match failure {
        wire::Failure::Retry(wire::Retry { delay_ms, reason }) => Outcome::Retry {
            after: delay_ms.map(Duration::from_millis),
            failure: Failure { cause: reported.unwrap_or(Cause::Retry), reason: visible(&reason) },
        },
        wire::Failure::Reject(reason) => Outcome::Reject(Failure { cause: Cause::Rejected, reason: visible(&reason) }),
    }
}
