//! What an event costs in each language: a fresh instance of a plugin that counts events and logs each, and one call
//! of it, by the host without a bus. In languages that have an SDK the plugin is what `sandbus new` begins, in the
//! others the documentation's example. Beside the time stand the component's size, and its compilation's time.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark prints its figures and fails by panicking"
)]

mod invocation;

use std::time::{Duration, Instant};

use sandbus_host::plugin::Generation;
use sandbus_tests::languages::Language;
use sandbus_tests::measure::{Report, in_turn};

use invocation::{handle, load, registered};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
/// How long one language's turn takes.
const TURN: Duration = Duration::from_millis(250);

fn main() {
    let plugins = Language::ALL.map(Loaded::new);
    let logged = &registered();
    let mut turns = plugins.each_ref().map(|plugin| {
        let calls = (TURN.as_secs_f64() / plugin.first.as_secs_f64()).clamp(1.0, 5_000.0) as u32;
        move || {
            let started = Instant::now();
            for _ in 0..calls {
                handle(&plugin.generation, logged, &mut None);
            }
            started.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
        }
    });
    let samples = in_turn(ROUNDS, turns.each_mut().map(|turn| turn as &mut dyn FnMut() -> f64));

    println!("**languages: the component**\n\n| Language | KiB | compiled in, s |\n|---|---:|---:|");
    for plugin in &plugins {
        println!("| {:?} | {} | {:.2} |", plugin.language, plugin.bytes.div_ceil(1024), plugin.compiled.as_secs_f64());
    }
    let mut report = Report::new(format!("languages: fresh instance and call, {ROUNDS} rounds"));
    for (plugin, times) in plugins.iter().zip(&samples) {
        report.figure(&format!("{:?}, µs", plugin.language), times);
    }
    for (plugin, times) in plugins.iter().zip(&samples) {
        report.figure(&format!("{:?} / Rust", plugin.language), &times.over(&samples[0]));
    }
    println!("\n{report}");
}

/// A language's plugin, ready to be called.
struct Loaded {
    language: Language,
    bytes: usize,
    generation: Generation,
    compiled: Duration,
    /// How long a call took, once there had been one.
    first: Duration,
}

impl Loaded {
    fn new(language: Language) -> Self {
        let bytes = language.counter();
        let cache = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let generation = load(&bytes, cache.path());
        let compiled = started.elapsed();
        let logged = registered();
        handle(&generation, &logged, &mut None);
        let started = Instant::now();
        handle(&generation, &logged, &mut None);
        Self { language, bytes: bytes.len(), generation, compiled, first: started.elapsed() }
    }
}
