//! **latency**: from the moment an event is to be published to the moment its publisher hears that it was
//! handled, at 10, 50 and 90 per cent of the highest rate, and above it. The publisher asks for the reply that
//! the handler publishes, and so two commits lie between: the event's own, and its handling's. The rate is
//! kept whatever the answers do, and a late request pays for its lateness. The load runs on the same cores.

use std::sync::Arc;
use std::time::Duration;

use sandbus_tests::Setup;
use sandbus_tests::measure::{Goal, Report, Samples};

use crate::flow::order;
use crate::load::{Answered, Load, Requests, post};

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);
/// Clients that hold a constant rate are never so many that they wait for each other.
const CLIENTS: usize = 512;

pub(crate) fn run() {
    let host = Setup::new().plugin("bench-handler").start_measured();
    let load = |connections, per_second| {
        Load { address: host.address(), connections, requests: orders(), per_second, time: TIME }.run()
    };
    load(64, None);
    let mut highest = Samples::default();
    let mut shares = [(0.1, Vec::new()), (0.5, Vec::new()), (0.9, Vec::new()), (1.5, Vec::new())];
    let mut memory = Vec::new();
    for _ in 0..ROUNDS {
        let most = load(128, None).per_second();
        highest.push(most);
        for (share, answered) in &mut shares {
            answered.push(load(CLIENTS, Some(most * *share)));
        }
        memory.push(host.resident_bytes() as f64 / f64::from(1 << 20));
    }

    let of =
        |answered: &[Answered], figure: &dyn Fn(&Answered) -> f64| answered.iter().map(figure).collect::<Samples>();
    let mut report = Report::new("latency: publish to handled, µs, by the share of the highest rate");
    report.figure("highest rate, events/s", &highest);
    for (share, answered) in &shares {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let name = format!("{name} at {:.0} %", share * 100.0);
            report.figure(&name, &of(answered, &|one| one.latency_us(quantile)));
        }
    }
    let (_, overloaded) = &shares[3];
    report.goal(
        "handled at 150 % / highest rate",
        &of(overloaded, &Answered::per_second).over(&highest),
        Goal::AtLeast(0.9),
    );
    report.figure("refused at 150 %", &of(overloaded, &|one| one.refused as f64));
    report.figure("memory of the host after the rounds, MiB", &memory.into_iter().collect());
    println!("{report}");
}

/// Orders of some 500 bytes, whose publishers wait for the invoice.
pub(crate) fn orders() -> Requests {
    let run = fastrand::u64(..);
    Arc::new(move |number| {
        post(
            "/events?reply=bench.invoice",
            "application/cloudevents+json",
            order("bench.order", &format!("{run:x}-{number}")).as_bytes(),
        )
    })
}
