//! **neighbours**: how long a quiet plugin's client waits, a hundred times a second, alone and next to a plugin
//! that spins, one that eats memory and one that is flooded with events. The client posts to a route, which
//! publishes an event, and is answered when the same plugin's handler has replied to it: an ingress, two
//! invocations and two commits.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sandbus_tests::measure::{Goal, Report, in_turn};
use sandbus_tests::{Host, Setup, pause_for};
use serde_json::json;

use crate::flow::order;
use crate::load::{Load, post};

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(4);

pub(crate) fn run() {
    let start = || Setup::new().plugin("asker").plugin("hostile").plugin("bench-handler").start_measured();
    // One host for each: what a neighbour has left undone is not the next one's.
    let [quiet, spinning, eating, flooded] = [start(), start(), start(), start()];
    let [alone, spin, eat, flood] = in_turn(
        ROUNDS,
        [
            &mut || p99(&quiet),
            &mut || next_to(&spinning, &|host| deeds(host, "spin", 8)),
            &mut || next_to(&eating, &|host| deeds(host, "eat", 64)),
            &mut || next_to(&flooded, &flood),
        ],
    );
    let mut report = Report::new("neighbours: p99 of a quiet plugin's clients, µs");
    for (name, figures) in [
        ("alone", &alone),
        ("next to one that spins", &spin),
        ("next to one that eats memory", &eat),
        ("next to one that is flooded", &flood),
    ] {
        report.figure(name, figures);
    }
    for (name, figures) in [("spinning / alone", &spin), ("eating / alone", &eat), ("flooded / alone", &flood)] {
        report.goal(name, &figures.over(&alone), Goal::AtMost(2.0));
    }
    println!("{report}");
}

fn p99(host: &Host) -> f64 {
    let request = post("/ask", "application/json", json!({ "question": "anybody there?" }).to_string().as_bytes());
    let requests = Arc::new(move |_| request.clone());
    let answered =
        Load { address: host.address(), connections: 16, requests, per_second: Some(100.0), time: TIME }.run();
    assert_eq!(answered.refused, 0, "a quiet plugin's clients are answered");
    answered.latency_us(0.99)
}

/// The same while a neighbour is given work, again and again.
fn next_to(host: &Host, give_work: &(dyn Fn(&Host) + Sync)) -> f64 {
    let stop = AtomicBool::new(false);
    let figure = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                give_work(host);
            }
        });
        let figure = p99(host);
        stop.store(true, Ordering::Relaxed);
        figure
    });
    // The next one is measured with nothing left over, in the host or on its way to the disk.
    host.wait_until_idle();
    let synced = Command::new("sync").status();
    assert!(synced.is_ok_and(|status| status.success()), "the disk takes what is left");
    figure
}

/// Orders for the hostile plugin, so many that it always has some, and no more: what waits is less than twice as many.
fn deeds(host: &Host, deed: &str, count: usize) {
    let run = fastrand::u64(..);
    for number in 0..count {
        let answer = host.publish("hostile.order", &format!("{deed}-{run:x}-{number}"), json!({ "deed": deed }));
        assert_eq!(answer.status, 202, "the order is taken");
    }
    let waits = || host.subscription("hostile/obey").and_then(|it| it["backlog"].as_u64());
    while waits().is_some_and(|backlog| backlog >= count as u64) {
        pause_for(Duration::from_millis(100));
    }
}

/// A thousand events in one request: more than a handler can keep up with. All but their ids is made once, so that the
/// host has the cores.
fn flood(host: &Host) {
    const RUN: &str = "this-run";
    static EVENTS: LazyLock<String> = LazyLock::new(|| {
        let events: Vec<_> = (0..1_000).map(|number| order("bench.order", &format!("{RUN}-{number}"))).collect();
        format!("[{}]", events.join(","))
    });
    let events = EVENTS.replace(RUN, &format!("{:x}", fastrand::u64(..)));
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let answer = host.send("POST", &host.url("/events"), &headers, events.as_bytes());
    assert!(matches!(answer.status, 202 | 503), "the flood is taken, or told to come back later");
}
