//! One invocation by the host, without a bus: the state is empty, and the effects are thrown away.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sandbus_host::clock::Timestamp;
use sandbus_host::event::{Data, Event, IdSeed, LoggedEvent, Position};
use sandbus_host::outcome::{Listing, NextNumber, Outcome, StateError, StateView, Version};
use sandbus_host::plugin::{
    Defaults, EngineConfig, Environment, EventInvocation, EventResult, Generation, Instance, Limits, Loader, Sidecar,
};

/// The settings of the engine.
pub(crate) const ENGINE: EngineConfig = EngineConfig {
    concurrency: 64,
    memory_bytes: 512 << 20,
    source_lines: false,
    wasi_0_3: true,
    labelled_imports: true,
};

/// Loads a component, as the host does with a file in its folder.
pub(crate) fn load(bytes: &[u8], cache: &Path) -> Generation {
    let count = |number| NonZeroU32::new(number).unwrap();
    let defaults = Defaults {
        limits: Limits::default(),
        subscription_concurrency: count(16),
        plugin_concurrency: count(32),
        max_memory_bytes: ENGINE.memory_bytes,
    };
    let loader = Loader::new(ENGINE, cache.to_owned(), defaults, Environment::default()).unwrap();
    loader.load(bytes, &Sidecar::default()).unwrap()
}

/// What the handlers take.
pub(crate) fn registered() -> LoggedEvent {
    let event = Event {
        id: "0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b".to_owned(),
        source: "/bench".to_owned(),
        event_type: "user.registered".to_owned(),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(Data::json(*br#"{"user_id":"1","name":"Ada","email":"ada@example.com"}"#)),
        ..Event::default()
    };
    LoggedEvent { position: Position(1), stored_at: Timestamp(1), event: Arc::new(event) }
}

/// Handles an event, in a fresh instance unless one is left.
pub(crate) fn handle(generation: &Generation, logged: &LoggedEvent, instance: &mut Option<Instance>) -> EventResult {
    let subscription = &generation.descriptor.subscriptions[0].name;
    let ids = IdSeed::of_canary(logged);
    let invocation = EventInvocation { logged, subscription, attempt: 1, replay: false, ids, trace: None };
    let handled = generation.handle_event(&invocation, Duration::from_secs(10), Box::new(Empty), instance);
    assert_eq!(handled.outcome, Outcome::Ack);
    handled
}

/// A state without anything in it.
struct Empty;

impl StateView for Empty {
    fn get(&mut self, _: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        Ok((None, Version(0)))
    }

    fn keys(&mut self, _: Option<&str>, _: usize) -> Result<(Vec<String>, Listing), StateError> {
        Ok((Vec::new(), Listing::default()))
    }

    fn draw(&mut self, _: &str) -> NextNumber {
        Box::pin(std::future::ready(Ok(1)))
    }

    fn unreserved(&mut self, _: &str) -> Result<u64, StateError> {
        Ok(1)
    }
}
