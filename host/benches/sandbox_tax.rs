//! What the sandbox costs: events through publish → durable → handle → ack, in a component with a fresh
//! instance for each event, for a batch of them, and reused, against the same host with a native function in
//! place of the component. All read the same JSON and publish one event.
//!
//! The same events with an attempt ledger show what recording costs: with the default policy, and of all attempts. With
//! traces, they show what tracing costs: one in a hundred traces is exported to a collector on this machine, or all.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures and fails by panicking"
)]

mod common;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use sandbus_host::bus::{self, SharedBus, open_embedded};
use sandbus_host::clock::Clock;
use sandbus_host::dispatcher::{Dispatcher, Webhooks};
use sandbus_host::event::{Data, Event};
use sandbus_host::ledger::{Ledger, LedgerConfig, Recording};
use sandbus_host::otlp::{Otlp, OtlpConfig};
use sandbus_host::outbound;
use sandbus_host::outcome::{Cause, Failure, Outcome, Publish};
use sandbus_host::plugin::{Defaults, EngineConfig, Environment, Generation, Limits, Loader, Registry, Sidecar};
use sandbus_host::threads::Capacity;
use sandbus_tests::measure::{Goal, Report, in_turn};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const EVENTS: usize = 19_200;
const BATCH: usize = 64;
const ROUNDS: usize = 9;
const CONCURRENCY: usize = 64;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let fresh = Arc::new(load(cache.path(), ""));
    let batched = Arc::new(load(cache.path(), "[subscriptions.invoice]\ndeliveries_per_instance = 64\n"));
    let reused = Arc::new(load(cache.path(), "[limits]\ncalls_per_instance = 1000000\n"));
    let native = Arc::new(fresh.with_native_handler(invoice));
    let collector = runtime.block_on(collector());
    let measure = |generation: &Arc<Generation>, observed: Observed| {
        runtime.block_on(events_per_second(Arc::clone(generation), observed, &collector))
    };
    let [native, fresh, batched, reused, sampled, recorded, traced, all_traced] = in_turn(
        ROUNDS,
        [
            &mut || measure(&native, Observed::Not),
            &mut || measure(&fresh, Observed::Not),
            &mut || measure(&batched, Observed::Not),
            &mut || measure(&reused, Observed::Not),
            &mut || measure(&fresh, Observed::Recorded(Recording::Sampled)),
            &mut || measure(&fresh, Observed::Recorded(Recording::All)),
            &mut || measure(&fresh, Observed::Traced("0.01")),
            &mut || measure(&fresh, Observed::Traced("1")),
        ],
    );
    let title = format!("sandbox-tax: {EVENTS} events of some 500 bytes, published, handled, acked, {ROUNDS} rounds");
    let mut report = Report::new(title);
    report.figure("native function, events/s", &native);
    report.figure("fresh instance for each event, events/s", &fresh);
    report.figure("fresh instance for 64 events, events/s", &batched);
    report.figure("reused instance, events/s", &reused);
    report.figure("fresh, ledger with the default policy, events/s", &sampled);
    report.figure("fresh, ledger of all attempts, events/s", &recorded);
    report.figure("fresh, 1 % of the traces exported, events/s", &traced);
    report.figure("fresh, all traces exported, events/s", &all_traced);
    report.goal("fresh / native", &fresh.over(&native), Goal::AtLeast(0.75));
    report.goal("batch / native", &batched.over(&native), Goal::AtLeast(0.95));
    report.goal("reused / native", &reused.over(&native), Goal::AtLeast(0.95));
    report.goal("default ledger / none", &sampled.over(&fresh), Goal::AtLeast(0.95));
    report.figure("ledger of all attempts / none", &recorded.over(&fresh));
    report.goal("1 % of the traces / none", &traced.over(&fresh), Goal::AtLeast(0.95));
    report.figure("all traces / none", &all_traced.over(&fresh));
    println!("{report}");
}

fn load(cache: &std::path::Path, sidecar: &str) -> Generation {
    let count = |number| NonZeroU32::new(number).unwrap();
    let defaults = Defaults {
        limits: Limits::default(),
        subscription_concurrency: count(16),
        plugin_concurrency: count(32),
        max_memory_bytes: 512 << 20,
    };
    let engine = EngineConfig {
        concurrency: CONCURRENCY,
        memory_bytes: 512 << 20,
        source_lines: false,
        wasi_0_3: true,
        labelled_imports: true,
    };
    let loader = Loader::new(engine, cache.to_owned(), defaults, Environment::default()).unwrap();
    loader.load(&common::guest("bench-handler"), &Sidecar::parse(sidecar).unwrap()).unwrap()
}

/// What the component does, in native code.
fn invoice(event: &Event, publish: &mut dyn FnMut(&str, Vec<u8>)) -> Outcome {
    let Ok(order) = serde_json::from_slice::<Order>(event.data.as_deref().unwrap_or_default()) else {
        return Outcome::Reject(Failure { cause: Cause::Rejected, reason: "no order".to_owned() });
    };
    let cents = order.lines.iter().map(|line| u64::from(line.count) * line.cents).sum::<u64>();
    let invoice = json!({ "order": order.id, "customer": order.customer, "cents": cents });
    publish("bench.invoice", serde_json::to_vec(&invoice).unwrap());
    Outcome::Ack
}

#[derive(serde::Deserialize)]
struct Order {
    id: String,
    customer: String,
    #[allow(dead_code, reason = "it is read as the component reads it")]
    note: String,
    lines: Vec<Line>,
}

#[derive(serde::Deserialize)]
struct Line {
    #[allow(dead_code, reason = "it is read as the component reads it")]
    article: String,
    count: u32,
    cents: u64,
}

fn order(number: usize) -> Value {
    let line = |article: &str| json!({ "article": article, "count": 3, "cents": 1999 });
    json!({
        "id": format!("order-{number}"),
        "customer": "customer-1234567",
        "note": "please leave it with the neighbours if nobody is there".repeat(3),
        "lines": [line("a kettle of steel"), line("a teapot of clay"), line("a cup of porcelain"), line("a spoon")],
    })
}

/// What observes the attempts of a round.
#[derive(Clone, Copy)]
enum Observed {
    Not,
    /// A ledger.
    Recorded(Recording),
    /// A collector gets this ratio of the traces.
    Traced(&'static str),
}

/// Starts a collector that accepts everything, and returns its URL.
async fn collector() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accept = |body: axum::body::Bytes| async move { drop(body) };
    let router = axum::Router::new().route("/v1/traces", axum::routing::post(accept));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Traces a ratio of the traces.
fn otlp(ratio: &str, collector: &str) -> Otlp {
    let find = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(collector.to_owned()),
        "OTEL_METRICS_EXPORTER" | "OTEL_LOGS_EXPORTER" => Some("none".to_owned()),
        "OTEL_TRACES_SAMPLER" => Some("parentbased_traceidratio".to_owned()),
        "OTEL_TRACES_SAMPLER_ARG" => Some(ratio.to_owned()),
        _ => None,
    };
    Otlp::new(OtlpConfig::read(&find).unwrap().unwrap(), Clock::System).unwrap()
}

async fn events_per_second(generation: Arc<Generation>, observed: Observed, collector: &str) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let bus = open_embedded(directory.path(), Clock::System, bus::Settings::default()).unwrap();
    let bus: SharedBus = Arc::new(bus);
    let registry = Registry::default();
    bus.declare(&generation.name, generation.settings.declared.clone()).await.unwrap();
    registry.put(generation);
    let capacity = Capacity::new(CONCURRENCY).unwrap();
    let (client, origin) = (
        outbound::Client::new(outbound::Listeners::default(), &outbound::OutboundConfig::default()).unwrap(),
        HeaderValue::from_static("bench"),
    );
    let webhooks = Webhooks::new(client, origin, Clock::System);
    let ledger = match observed {
        Observed::Recorded(record) => {
            let config = LedgerConfig { record, ..LedgerConfig::default() };
            Some(Ledger::open(directory.path(), &config, Clock::System, Box::new(|_, _| None)).unwrap())
        }
        Observed::Not | Observed::Traced(_) => None,
    };
    let recorder = ledger.as_ref().map(Ledger::recorder).unwrap_or_default();
    let otlp = match observed {
        Observed::Traced(ratio) => otlp(ratio, collector),
        Observed::Not | Observed::Recorded(_) => Otlp::default(),
    };
    let exporter = otlp.start();
    let dispatcher = Dispatcher::new(bus.clone(), registry, capacity, webhooks, 64).recorded_by(recorder);
    let dispatcher = dispatcher.traced_by(otlp.tracer());
    let stop = CancellationToken::new();
    let running = tokio::spawn(dispatcher.run(stop.clone()));

    let started = Instant::now();
    for first in (0..EVENTS).step_by(BATCH) {
        let events = (first..first + BATCH).map(|number| Publish {
            event: Event {
                id: number.to_string(),
                source: "/bench".to_owned(),
                event_type: "bench.order".to_owned(),
                datacontenttype: Some("application/json".to_owned()),
                data: Some(Data::json(order(number).to_string())),
                ..Event::default()
            },
            due: None,
        });
        bus.publish(events.collect()).await.unwrap();
    }
    let feed = bus.catalogue().borrow().feeds[0].feed;
    let subscription = bus.feed(feed).unwrap();
    while subscription.overview().backlog > 0 {
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    let elapsed = started.elapsed();
    stop.cancel();
    running.await.unwrap();
    assert_eq!(bus.head().0, 2 * EVENTS as u64, "each event has published one");
    bus.close().await;
    if let Some(exporter) = exporter {
        exporter.finish(Duration::from_secs(5)).await;
    }
    EVENTS as f64 / elapsed.as_secs_f64()
}
