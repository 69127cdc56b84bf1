//! **scale**: what an event costs, from published to handled, as a host grows: at 1 to 1,000 loaded plugins; at
//! 1 to 10,000 subscriptions of which one takes it; next to a backlog of 0 to 10 million events, and out of that
//! backlog; and with payloads of 100 bytes to 1 MB. What is compared runs at once and is measured in turn.
//! Plugins are one component under many names. Their memory is looked at after a restart, with their code in
//! the cache, and without the code's own size.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbus_tests::measure::{Goal, Report, Samples, in_turn};
use sandbus_tests::{Host, Setup, pause_for};
use serde_json::json;

use crate::flow::{Publisher, batch, handled_per_second};
use crate::load::{Load, post_with};
use crate::variants;

const ROUNDS: usize = 5;
/// How many events go all the way in a round.
const EVENTS: usize = 8_192;
/// What "flat" means: an event costs at most so much more.
const FLAT: Goal = Goal::AtMost(1.2);
const MIB: f64 = 1_048_576.0;

pub(crate) fn run() {
    plugins();
    subscriptions();
    backlogs();
    payloads();
}

/// Puts the costs of an event side by side, each against the first.
fn compare(report: &mut Report, names: &[String], per_second: &[Samples]) {
    let costs: Vec<_> = per_second.iter().map(|samples| samples.map(|rate| 1e6 / rate)).collect();
    for (name, cost) in names.iter().zip(&costs) {
        report.figure(&format!("{name}, µs an event"), cost);
    }
    for (name, cost) in names.iter().zip(&costs).skip(1) {
        report.goal(&format!("{name} / {}", names[0]), &cost.over(&costs[0]), FLAT);
    }
}

fn plugins() {
    let counts = [1, 10, 100, 1_000];
    let hosts = counts.map(|count| {
        let setup = Setup::new();
        variants::put(&setup.path().join("plugins"), count);
        setup.start_measured().restart_measured()
    });
    let resident = hosts.each_ref().map(|host| host.resident_bytes() as f64);
    let [a, b, c, d] = &hosts;
    let handled = |host: &Host| handled_per_second(host, "bench.00000", EVENTS);
    let per_second = in_turn(ROUNDS, [&mut || handled(a), &mut || handled(b), &mut || handled(c), &mut || handled(d)]);
    let mut report = Report::new("scale: loaded plugins, one of which handles the events");
    let names = counts.map(|count| format!("{count} plugins"));
    compare(&mut report, &names, &per_second);
    let idle = (counts[3] - counts[0]) as f64;
    let code = (code_bytes(d) - code_bytes(a)) as f64 / idle;
    let each = (resident[3] - resident[0]) / idle;
    report.figure("compiled code of a plugin, MiB", &Samples::from_iter([code / MIB]));
    report.goal(
        "memory of an idle plugin beyond its code, MiB",
        &Samples::from_iter([((each - code) / MIB).max(0.0)]),
        Goal::AtMost(1.0),
    );
    println!("{report}");
}

/// The size of the compiled code in a host's cache.
fn code_bytes(host: &Host) -> u64 {
    let files = std::fs::read_dir(host.path().join("data/cache")).expect("the host has a cache");
    let files = files.map(|file| file.expect("it can be read"));
    files.filter(|file| file.path().extension().is_some_and(|it| it == "code")).map(|file| size(&file)).sum()
}

fn size(file: &std::fs::DirEntry) -> u64 {
    file.metadata().expect("it is there").len()
}

fn subscriptions() {
    let counts = [1, 100, 10_000];
    let hosts = counts.map(|count| {
        let host = Setup::new().plugin("bench-handler").start_measured();
        for number in 1..count {
            let wanted = json!({
                "name": format!("other-{number}"),
                "pattern": format!("other.{number}.>"),
                "target": { "webhook": { "url": "http://127.0.0.1:9/" } },
            });
            let answer = host.admin_post("/subscriptions", wanted);
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
        host
    });
    let [a, b, c] = &hosts;
    let handled = |host: &Host| handled_per_second(host, "bench.order", EVENTS);
    let per_second = in_turn(ROUNDS, [&mut || handled(a), &mut || handled(b), &mut || handled(c)]);
    let mut report = Report::new("scale: subscriptions, one of which takes the events");
    compare(&mut report, &counts.map(|count| format!("{count} subscriptions")), &per_second);
    println!("{report}");
}

/// The subscription that has the backlog.
const BEHIND: &str = "/subscriptions/bench-acker/take";

fn backlogs() {
    let counts = [0, 100_000, 10_000_000];
    let hosts = counts.map(|count| {
        let host = Setup::new().plugin("bench-handler").plugin("bench-acker").start_measured();
        assert_eq!(host.operate("POST", &format!("{BEHIND}/pause")).status, 204);
        fill(&host, count);
        host
    });
    let [a, b, c] = &hosts;
    let handled = |host: &Host| handled_per_second(host, "bench.order", EVENTS);
    let per_second = in_turn(ROUNDS, [&mut || handled(a), &mut || handled(b), &mut || handled(c)]);
    let mut report = Report::new("scale: events handled next to the backlog of another subscription");
    compare(&mut report, &counts.map(|count| format!("a backlog of {count}")), &per_second);
    println!("{report}");

    let per_second = in_turn(ROUNDS, [&mut || caught_up_per_second(b), &mut || caught_up_per_second(c)]);
    let mut report = Report::new("scale: events handled out of a backlog, which nothing else disturbs");
    compare(&mut report, &[counts[1], counts[2]].map(|count| format!("a backlog of {count}")), &per_second);
    println!("{report}");
}

/// Publishes so many events for the subscription that is behind.
fn fill(host: &Host, count: usize) {
    const SIZE: usize = 1_000;
    const CLIENTS: usize = 4;
    let run = fastrand::u64(..);
    let next = AtomicUsize::new(0);
    let client = || {
        let mut publisher = Publisher::new(host);
        loop {
            let request = next.fetch_add(1, Ordering::Relaxed);
            if request >= count / SIZE {
                return;
            }
            let event = |index: usize| taken(&format!("{run:x}-{request}-{index}"));
            publisher.send(&batch(&(0..SIZE).map(event).collect::<Vec<_>>()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(client);
        }
    });
}

/// An event that `bench-acker` takes, with a hundred bytes of data.
fn taken(id: &str) -> String {
    let data = "x".repeat(98);
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/bench","type":"bench.taken","datacontenttype":"application/json","data":"{data}"}}"#
    )
}

/// Lets the subscription that is behind catch up for a moment: in all rounds together with less than it has to do.
fn caught_up_per_second(host: &Host) -> f64 {
    let backlog = || {
        let all = host.admin("/subscriptions");
        let mut all = all["subscriptions"].as_array().into_iter().flatten();
        let behind = all.find(|subscription| subscription["id"] == "bench-acker/take").cloned();
        behind.and_then(|subscription| subscription["backlog"].as_f64()).expect("it has a backlog")
    };
    let before = backlog();
    assert_eq!(host.operate("POST", &format!("{BEHIND}/resume")).status, 204);
    let started = Instant::now();
    pause_for(Duration::from_millis(100));
    assert_eq!(host.operate("POST", &format!("{BEHIND}/pause")).status, 204);
    let took = started.elapsed();
    let handled = before - backlog();
    assert!(handled > 0.0, "it has caught up a little");
    handled / took.as_secs_f64()
}

fn payloads() {
    let host = Setup::new().plugin("bench-acker").start_measured();
    let sizes = [(100, "100 bytes"), (10_000, "10 kB"), (1_000_000, "1 MB")];
    let handled = |bytes| move |host: &Host| payload_per_second(host, bytes);
    let [small, middle, large] = sizes.map(|(bytes, _)| handled(bytes));
    let per_second = in_turn(ROUNDS, [&mut || small(&host), &mut || middle(&host), &mut || large(&host)]);
    let mut report = Report::new("scale: payloads, published one by one at 16 connections, until handled");
    for ((bytes, name), rate) in sizes.iter().zip(&per_second) {
        report.figure(&format!("{name}, events/s"), rate);
        report.figure(&format!("{name}, MB/s"), &rate.map(|rate| rate * f64::from(*bytes) / 1e6));
    }
    println!("{report}");
}

fn payload_per_second(host: &Host, bytes: i32) -> f64 {
    let run = fastrand::u64(..);
    let body = vec![b'x'; usize::try_from(bytes).expect("it is positive")];
    let requests = std::sync::Arc::new(move |number: u64| {
        let id = format!("{run:x}-{number}");
        let attributes =
            [("ce-specversion", "1.0"), ("ce-id", id.as_str()), ("ce-source", "/bench"), ("ce-type", "bench.taken")];
        post_with("/events", "application/octet-stream", &attributes, &body)
    });
    let started = Instant::now();
    let address: SocketAddr = host.address();
    let load = Load { address, connections: 16, requests, per_second: None, time: Duration::from_secs(1) };
    let answered = load.run();
    assert_eq!(answered.refused, 0, "every event is taken");
    host.wait_until_idle();
    answered.succeeded as f64 / started.elapsed().as_secs_f64()
}
