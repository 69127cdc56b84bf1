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
mod invocation;

use std::sync::Arc;
use std::time::Instant;

use sandbus_host::plugin::Instance;
use sandbus_tests::measure::{Goal, Report, in_turn};

use invocation::{ENGINE, handle, load, registered};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLS: u32 = 5_000;
const ROUNDS: usize = 15;

fn main() {
    let bytes = common::guest("registration-handler");
    let cache = tempfile::tempdir().unwrap();
    let generation = load(&bytes, cache.path());
    let component = wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap();
    let floor = floor::Floor::new(&component, &sandbus_host::plugin::engine_settings(ENGINE));
    let logged = registered();
    let event = Arc::clone(&logged.event);
    let publishes =
        |instance: &mut Option<Instance>| assert_eq!(handle(&generation, &logged, instance).effects.publishes.len(), 1);
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
            &mut || microseconds(&mut || publishes(&mut None)),
            &mut || {
                let mut instance = None;
                microseconds(&mut || publishes(&mut instance))
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
