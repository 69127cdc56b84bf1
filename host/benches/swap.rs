//! From saving a handler's `.wasm` to the first event handled by it, in a running host: with code that must be
//! compiled, and with code that is in the cache; compared with the time of compiling alone.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and fails by panicking"
)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use sandbus_host::bus::Bus;
use sandbus_host::config::{Config, Overrides};
use sandbus_host::event::Event;
use sandbus_host::host::Host;
use sandbus_host::observer::Observer;
use sandbus_host::otlp::Otlp;
use sandbus_host::outcome::Publish;
use sandbus_host::plugin::{Digest, EngineConfig, Environment, Loader, Registry, Sidecar};
use sandbus_tests::measure::{Goal, Report, Samples};
use tokio_util::sync::CancellationToken;

const ROUNDS: u8 = 15;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let home = tempfile::tempdir().unwrap();
    let any_port = "127.0.0.1:0".parse().ok();
    let config = Config::load(&Overrides {
        plugins: Some(home.path().join("plugins")),
        data: Some(home.path().join("data")),
        listen: any_port,
        admin_listen: any_port,
        ..Overrides::default()
    })
    .unwrap();
    let defaults = config.sandbox.plugin_defaults();
    let engine = EngineConfig {
        concurrency: 4,
        memory_bytes: 512 << 20,
        source_lines: false,
        wasi_0_3: true,
        labelled_imports: true,
    };
    let loader = Loader::new(engine, home.path().join("other-cache"), defaults, Environment::default()).unwrap();

    let stop = CancellationToken::new();
    let host = Host::start(config, Observer::default(), Otlp::default(), &stop).await.unwrap().unwrap();
    let (bus, registry) = (host.bus(), host.registry());
    let running = tokio::spawn(host.run(stop.clone()));
    let file = home.path().join("plugins/poison.wasm");

    let [mut compiles, mut fresh, mut cached, mut over] = [const { Vec::new() }; 4];
    for round in 0..ROUNDS {
        let bytes = version(round);
        let started = Instant::now();
        loader.load(&bytes, &Sidecar::default()).unwrap();
        let compile = started.elapsed();
        let swap = save_to_first_event(&file, &bytes, &*bus, &registry).await;
        compiles.push(milliseconds(compile));
        fresh.push(milliseconds(swap));
        over.push(milliseconds(swap.saturating_sub(compile)));
    }
    for round in 0..ROUNDS {
        cached.push(milliseconds(save_to_first_event(&file, &version(round), &*bus, &registry).await));
    }
    stop.cancel();
    running.await.unwrap().unwrap();

    let samples = |figures: Vec<f64>| figures.into_iter().collect::<Samples>();
    let title = format!("swap: a 60 kB handler saved, to the first event handled by it, {ROUNDS} rounds, ms");
    let mut report = Report::new(title);
    report.figure("new code", &samples(fresh));
    report.figure("compiling alone", &samples(compiles));
    report.goal("new code, beyond compiling", &samples(over), Goal::AtMost(50.0));
    report.goal("code in the cache", &samples(cached), Goal::AtMost(50.0));
    println!("{report}");
}

/// The handler with another custom section at its end: the same code, another digest.
fn version(round: u8) -> Vec<u8> {
    let mut bytes = common::guest("poison-fixed");
    bytes.extend([0, 3, 1, b'v', round]);
    bytes
}

async fn save_to_first_event(file: &Path, bytes: &[u8], bus: &dyn Bus, registry: &Registry) -> Duration {
    let digest = Digest::of(bytes);
    let partial = file.with_extension("partial");
    let started = Instant::now();
    std::fs::write(&partial, bytes).unwrap();
    std::fs::rename(&partial, file).unwrap();
    let mut changes = registry.changes();
    let loaded = |plugins: &std::sync::Arc<sandbus_host::plugin::RegistrySnapshot>| {
        plugins.plugins.get("poison").is_some_and(|generation| generation.digest == digest)
    };
    changes.wait_for(loaded).await.unwrap();
    let event = Event {
        id: uuid::Uuid::now_v7().to_string(),
        source: "/bench".to_owned(),
        event_type: "poison.pill".to_owned(),
        ..Event::default()
    };
    bus.publish(vec![Publish { event, due: None }]).await.unwrap();
    let catalogue = std::sync::Arc::clone(&bus.catalogue().borrow());
    let has_backlog = |feed| bus.feed(feed).is_some_and(|feed| feed.overview().backlog > 0);
    while catalogue.feeds.iter().any(|entry| has_backlog(entry.feed)) {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    started.elapsed()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
