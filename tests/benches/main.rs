//! Benchmarks of the real binary, over real HTTP with real components: `cargo xtask bench [NAME]`. The
//! `README.md` in this folder says what each one measures and how, and has the last results.

#![allow(
    missing_docs,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::doc_markdown,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and fails by panicking"
)]

mod cold;
mod developing;
mod durable_publish;
mod flow;
mod http_service;
mod latency;
mod load;
mod native;
mod neighbours;
mod peers;
mod reloading;
mod restate;
mod scale;
mod variants;
mod wasi;

/// A benchmark: its name, and what prints its tables.
type Benchmark = (&'static str, fn());

const BENCHMARKS: [Benchmark; 11] = [
    ("durable-publish", durable_publish::run),
    ("http-service", http_service::run),
    ("wasi", wasi::run),
    ("latency", latency::run),
    ("nats", peers::run),
    ("restate", restate::run),
    ("scale", scale::run),
    ("neighbours", neighbours::run),
    ("cold", cold::run),
    ("developing", developing::run),
    ("reloading", reloading::run),
];

fn main() {
    if std::env::args().any(|argument| argument == native::ARGUMENT) {
        return native::serve();
    }
    // Cargo adds `--bench` of its own accord.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (name, run) in BENCHMARKS {
        if wanted.is_empty() || wanted.iter().any(|other| other == name) {
            println!("## {name}\n");
            run();
        }
    }
}
