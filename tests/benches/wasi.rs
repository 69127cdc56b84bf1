//! **wasi**: a route that answers JSON and does nothing else, at 64 connections and with a fresh instance for each
//! request: through the contract of Sandbus, and through `wasi:http` of WASI 0.2 and 0.3, against a native axum handler.
//! Then events whose handler publishes an answer, through `wasmcloud:messaging` of WASI 0.2 and 0.3. All servers run at
//! once, and are loaded in turn.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandbus_tests::measure::{Report, Samples, in_turn};
use sandbus_tests::{Host, Setup};

use crate::flow::handled_per_second;
use crate::load::{Answered, Load, get};
use crate::native::Native;

const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(1);

const EVENTS: usize = 6_400;

pub(crate) fn run() {
    requests();
    events();
}

fn events() {
    let listen = |component: &str| {
        let sidecar = "[grants]\npublish = [\"bench.invoice\"]\n[subscriptions.orders]\npattern = \"bench.order\"\n";
        Setup::new().plugin(component).sidecar(component, sidecar).start_measured()
    };
    let (wasi_0_2, wasi_0_3) = (listen("bench-messages"), listen("bench-messages-0-3"));
    let measure = |host: &Host| handled_per_second(host, "bench.order", EVENTS);
    let [earlier, later] = in_turn(ROUNDS, [&mut || measure(&wasi_0_2), &mut || measure(&wasi_0_3)]);
    let mut report = Report::new("wasi: events handled per second, fresh instances");
    report.figure("WASI 0.2", &earlier);
    report.figure("WASI 0.3", &later);
    report.figure("WASI 0.3 / WASI 0.2", &later.over(&earlier));
    println!("{report}");
}

fn requests() {
    let native = Native::start();
    let contract = Setup::new().plugin("bench-service").start_measured();
    let (wasi_0_2, wasi_0_3) = (serve("bench-wasi-http"), serve("bench-wasi-http-0-3"));
    let p99 = RefCell::new([const { Vec::new() }; 4]);
    let measure = |index: usize, address: SocketAddr, path: &str| {
        let request = get(path);
        let requests = Arc::new(move |_| request.clone());
        let load = Load { address, connections: 64, requests, per_second: None, time: TIME };
        let answered: Answered = load.run();
        assert_eq!(answered.refused, 0, "every request is answered");
        p99.borrow_mut()[index].push(answered.latency_us(0.99));
        answered.per_second()
    };
    let [axum, ours, earlier, later] = in_turn(
        ROUNDS,
        [
            &mut || measure(0, native.address, "/bench"),
            &mut || measure(1, contract.address(), "/bench"),
            &mut || measure(2, wasi_0_2.address(), "/bench"),
            &mut || measure(3, wasi_0_3.address(), "/bench"),
        ],
    );
    let names = ["native axum", "the contract", "WASI 0.2", "WASI 0.3"];
    let mut report = Report::new("wasi: requests per second at 64 connections, fresh instances");
    for (name, figures) in names.into_iter().zip([&axum, &ours, &earlier, &later]) {
        report.figure(name, figures);
    }
    report.figure("WASI 0.2 / the contract", &earlier.over(&ours));
    report.figure("WASI 0.3 / WASI 0.2", &later.over(&earlier));
    println!("{report}");
    // The round that warms up is left out here as well.
    let p99 = p99.into_inner().map(|figures| figures.into_iter().skip(1).collect::<Samples>());
    let mut report = Report::new("wasi: p99, µs");
    for (name, figures) in names.into_iter().zip(&p99) {
        report.figure(name, figures);
    }
    println!("{report}");
}

/// A host with a component for `wasi:http`.
fn serve(component: &str) -> Host {
    Setup::new().plugin(component).sidecar(component, "routes = [\"GET /bench\"]\n").start_measured()
}
