//! **http-service**: a route that answers JSON and does nothing else, at 64 connections: a plugin with a fresh
//! instance for each request and with reused ones, against `wasmtime serve` 48 with the same answer from a
//! component for `wasi:http` (at its defaults, with the pool's best settings, and reused), and against a
//! native axum handler. All servers run at once, and are loaded in turn.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sandbus_tests::measure::{Goal, Report, Samples, in_turn};
use sandbus_tests::{Setup, eventually, guest};

use crate::load::{Answered, Load, get};
use crate::native::Native;

const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(1);
const VERSION: &str = "48.0.8";
/// Of its command line, all that serves; the rest would double the time of the installation.
const FEATURES: &str = "run,serve,component-model-async,cranelift,parallel-compilation,pooling-allocator";

pub(crate) fn run() {
    let wasmtime = installed();
    let fresh = Setup::new().plugin("bench-service").start_measured();
    let reused = Setup::new()
        .plugin("bench-service")
        .sidecar("bench-service", "[limits]\ncalls_per_instance = 100000\n")
        .start_measured();
    let native = Native::start();
    let directory = tempfile::tempdir().expect("a directory");
    let component = component(directory.path());
    let best = [
        "-Opooling-allocator=y",
        "-Opooling-memory-keep-resident=1048576",
        "-Opooling-table-keep-resident=16384",
        "-Opooling-pagemap-scan=y",
    ];
    let defaults = Serve::start(&wasmtime, &[], &component);
    let tuned = Serve::start(&wasmtime, &best, &component);
    let many = [&best[..], &["--max-instance-reuse-count=128"]].concat();
    let kept = Serve::start(&wasmtime, &many, &component);

    let p99 = std::cell::RefCell::new([const { Vec::new() }; 6]);
    let measure = |index: usize, address: SocketAddr, path: &str| {
        let request = get(path);
        let load = Load {
            address,
            connections: 64,
            requests: Arc::new(move |_| request.clone()),
            per_second: None,
            time: TIME,
        };
        let answered: Answered = load.run();
        assert_eq!(answered.refused, 0, "every request is answered");
        p99.borrow_mut()[index].push(answered.latency_us(0.99));
        answered.per_second()
    };
    let [axum, ours, again, serve, serve_best, serve_reused] = in_turn(
        ROUNDS,
        [
            &mut || measure(0, native.address, "/bench"),
            &mut || measure(1, fresh.address(), "/bench"),
            &mut || measure(2, reused.address(), "/bench"),
            &mut || measure(3, defaults.address, "/"),
            &mut || measure(4, tuned.address, "/"),
            &mut || measure(5, kept.address, "/"),
        ],
    );
    let mut report = Report::new("http-service: requests per second at 64 connections");
    report.figure("native axum", &axum);
    report.figure("Sandbus, fresh", &ours);
    report.figure("Sandbus, reused", &again);
    report.figure("wasmtime serve, defaults, fresh", &serve);
    report.figure("wasmtime serve, best settings, fresh", &serve_best);
    report.figure("wasmtime serve, best settings, reused", &serve_reused);
    report.goal("Sandbus / wasmtime serve, defaults, fresh", &ours.over(&serve), Goal::AtLeast(3.0));
    report.goal("Sandbus / wasmtime serve, best, fresh", &ours.over(&serve_best), Goal::AtLeast(1.0));
    report.figure("Sandbus / wasmtime serve, best, reused", &again.over(&serve_reused));
    report.goal("Sandbus / native, fresh", &ours.over(&axum), Goal::AtLeast(0.6));
    report.goal("Sandbus / native, reused", &again.over(&axum), Goal::AtLeast(0.9));
    println!("{report}");
    // The round that warms up is left out here as well.
    let p99 = p99.into_inner().map(|figures| figures.into_iter().skip(1).collect::<Samples>());
    let mut report = Report::new("http-service: p99, µs");
    let names = [
        "native axum",
        "Sandbus, fresh",
        "Sandbus, reused",
        "wasmtime serve, defaults",
        "wasmtime serve, best",
        "wasmtime serve, reused",
    ];
    for (name, figures) in names.into_iter().zip(&p99) {
        report.figure(name, figures);
    }
    println!("{report}");
}

/// The binary of `wasmtime`, installed if it is not there.
fn installed() -> PathBuf {
    let home = PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/sandbus/bench");
    let root = home.join(format!("wasmtime-{VERSION}"));
    let binary = root.join("bin/wasmtime");
    if !binary.exists() {
        eprintln!("· installing wasmtime {VERSION} (once, some ten minutes)");
        let status = Command::new("cargo")
            .args(["install", "--quiet", "wasmtime-cli", "--locked", "--version", VERSION])
            .args(["--no-default-features", "--features", FEATURES, "--root"])
            .arg(&root)
            .status();
        assert!(status.is_ok_and(|status| status.success()), "wasmtime-cli cannot be installed");
    }
    binary
}

/// The guest for `wasi:http`, as a component.
fn component(directory: &Path) -> PathBuf {
    let encoder = wit_component::ComponentEncoder::default().validate(true).module(&guest("bench-wasi-http"));
    let bytes = encoder.and_then(|mut encoder| encoder.encode()).expect("the guest is a component");
    let path = directory.join("service.wasm");
    std::fs::write(&path, bytes).expect("the disk has room");
    path
}

/// A running `wasmtime serve`.
struct Serve {
    process: Child,
    address: SocketAddr,
}

impl Serve {
    fn start(wasmtime: &Path, options: &[&str], component: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let mut process = Command::new(wasmtime)
            .arg("serve")
            .args(options)
            .args(["--addr", &address.to_string()])
            .arg(component)
            .stderr(Stdio::piped())
            .spawn()
            .expect("wasmtime starts");
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        eventually("wasmtime listens", || TcpStream::connect(address).ok());
        Self { process, address }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
