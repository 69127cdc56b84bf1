//! What the host adds to one invocation: a fresh instance of the registration handler and one call of it,
//! against wasmtime's own floor, which is the same component instantiated and called in a bare loop, by an
//! engine with the same settings, with imports that do nothing. The host's side has what an invocation has
//! beyond that: ids, effects that are kept aside, state that is read, a log line. There is no bus: the state
//! is empty, and the effects are thrown away.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures and fails by panicking"
)]

mod common;
mod floor;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbus_host::clock::Timestamp;
use sandbus_host::event::{Event, Logged, Position};
use sandbus_host::outcome::{Listing, Outcome, StateError, StateView, Version};
use sandbus_host::plugin::{Call, Defaults, EngineConfig, Generation, Limits, Loader, Sidecar, World};
use sandbus_tests::measure::{Goal, Report, in_turn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLS: u32 = 5_000;
const ROUNDS: usize = 15;
const ENGINE: EngineConfig = EngineConfig { concurrency: 64, memory_bytes: 512 << 20, source_lines: false };

fn main() {
    let bytes = common::guest("registration-handler");
    let cache = tempfile::tempdir().unwrap();
    let generation = load(&bytes, cache.path());
    let component = wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap();
    let floor = floor::Floor::new(&component, &sandbus_host::plugin::engine_settings(ENGINE));
    let event = Arc::new(registered());
    let logged = Logged { position: Position(1), stored_at: Timestamp(1), event: Arc::clone(&event) };
    let microseconds = |call: &mut dyn FnMut()| {
        let started = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        started.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    };
    let [bare, host, reused] = in_turn(
        ROUNDS,
        [
            &mut || microseconds(&mut || floor.call(&event)),
            &mut || microseconds(&mut || handle(&generation, &logged, &mut None)),
            &mut || {
                let mut live = None;
                microseconds(&mut || handle(&generation, &logged, &mut live))
            },
        ],
    );
    let mut report = Report::new(format!("invoke: the registration handler, {CALLS} calls, {ROUNDS} rounds"));
    report.figure("bare wasmtime, fresh instance and call, µs", &bare);
    report.figure("the host, fresh instance and call, µs", &host);
    report.figure("the host, call of a reused instance, µs", &reused);
    report.goal("host / bare, fresh", &host.over(&bare), Goal::AtMost(1.3));
    println!("{report}");
}

fn load(bytes: &[u8], cache: &std::path::Path) -> Generation {
    let count = |number| NonZeroU32::new(number).unwrap();
    let defaults = Defaults {
        limits: Limits::default(),
        subscription_concurrency: count(16),
        plugin_concurrency: count(32),
        memory_ceiling_bytes: ENGINE.memory_bytes,
    };
    let loader = Loader::new(ENGINE, cache.to_owned(), defaults, World::default()).unwrap();
    loader.load(bytes, &Sidecar::default()).unwrap()
}

fn registered() -> Event {
    Event {
        id: "0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b".to_owned(),
        source: "/bench".to_owned(),
        event_type: "user.registered".to_owned(),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(br#"{"user_id":"1","name":"Ada","email":"ada@example.com"}"#.to_vec()),
        ..Event::default()
    }
}

fn handle(generation: &Generation, logged: &Logged, live: &mut Option<sandbus_host::plugin::Live>) {
    let call = Call { logged, subscription: "user_registered", attempt: 1, replay: None };
    let handled = generation.handle_event(&call, Duration::from_secs(10), Box::new(Empty), live);
    assert_eq!(handled.outcome, Outcome::Ack);
    assert_eq!(handled.effects.publishes.len(), 1);
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
}
