//! **durable-publish**: how long a lone HTTP publisher waits, acknowledged events per second at 16 and 256 of them, and
//! with 64 events in a request, against two limits measured in turn with it: the disk (an append of the same bytes with
//! one fdatasync for each group of as many events as there are publishers) and HTTP (a bare axum handler that takes the
//! same request and keeps nothing). The load runs on the same cores.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbus_tests::measure::{Goal, Report, in_turn};
use sandbus_tests::{Host, Setup};

use crate::load::{Load, Requests, post};
use crate::native::Native;

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(1);

pub(crate) fn run() {
    let host = Setup::new().start_measured();
    let native = Native::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = OpenOptions::new().append(true).create(true).open(directory.path().join("log")).expect("a file");
    let load = |address, connections, requests: &Requests| {
        let requests = Arc::clone(requests);
        Load { address, connections, requests, per_second: None, time: TIME }.run()
    };

    let one = events(1);
    lone(&file, &native, &host);
    for publishers in [16, 256] {
        let [disk, http, ours] = in_turn(
            ROUNDS,
            [
                &mut || appended_per_second(&file, publishers),
                &mut || load(native.address, publishers, &one).per_second(),
                &mut || load(host.address(), publishers, &one).per_second(),
            ],
        );
        let mut report = Report::new(format!("durable-publish: {publishers} publishers of single events"));
        report.figure("disk, events/s", &disk);
        report.figure("bare axum, requests/s", &http);
        report.figure("Sandbus, events/s", &ours);
        match publishers {
            256 => report.goal("Sandbus / disk", &ours.over(&disk), Goal::AtLeast(0.7)),
            _ => report.figure("Sandbus / disk", &ours.over(&disk)),
        }
        report.figure("Sandbus / bare axum", &ours.over(&http));
        println!("{report}");
    }

    let (publishers, size) = (16, 64);
    let many = events(size);
    let [disk, ours] = in_turn(
        ROUNDS,
        [&mut || appended_per_second(&file, publishers * size), &mut || {
            load(host.address(), publishers, &many).per_second() * size as f64
        }],
    );
    let mut report = Report::new(format!("durable-publish: {publishers} publishers of {size} events in a request"));
    report.figure("disk, events/s", &disk);
    report.figure("Sandbus, events/s", &ours);
    report.figure("Sandbus / disk", &ours.over(&disk));
    println!("{report}");
}

/// What one publisher waits for, also against a handler that does no more than it must: it appends the request's body
/// to a file and syncs that. To wake up after the disk's time is dearer than after a moment, and so this is more than
/// the sum of a sync and an answer.
fn lone(file: &File, native: &Native, host: &Host) {
    // One after the other: what one takes is the inverse of how many there are in a second.
    let waits = |address, path| {
        let requests = events_to(path, 1);
        let load = Load { address, connections: 1, requests, per_second: None, time: TIME };
        1e6 / load.run().per_second()
    };
    let [disk, http, both, ours] = in_turn(
        ROUNDS,
        [
            &mut || 1e6 / appended_per_second(file, 1),
            &mut || waits(native.address, "/events"),
            &mut || waits(native.address, "/kept-events"),
            &mut || waits(host.address(), "/events"),
        ],
    );
    let mut report = Report::new("durable-publish: a lone publisher of single events");
    report.figure("fdatasync, µs", &disk);
    report.figure("bare axum, µs", &http);
    report.figure("axum that appends and syncs, µs", &both);
    report.figure("Sandbus, µs", &ours);
    report.goal("Sandbus / (fdatasync + bare axum)", &ours.over(&disk.plus(&http)), Goal::AtMost(1.5));
    report.figure("Sandbus / axum that appends and syncs", &ours.over(&both));
    println!("{report}");
}

/// Requests of so many events each, of some 500 bytes.
pub(crate) fn events(size: usize) -> Requests {
    events_to("/events", size)
}

fn events_to(path: &'static str, size: usize) -> Requests {
    let run = fastrand::u64(..);
    Arc::new(move |number| {
        let event = |index: usize| event(&format!("{run:x}-{number}-{index}"));
        if size == 1 {
            post(path, "application/cloudevents+json", event(0).as_bytes())
        } else {
            let events: Vec<_> = (0..size).map(event).collect();
            post(path, "application/cloudevents-batch+json", format!("[{}]", events.join(",")).as_bytes())
        }
    })
}

fn event(id: &str) -> String {
    let text = "please leave it with the neighbours if nobody is there, ".repeat(6);
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/bench","type":"bench.published","datacontenttype":"application/json","data":{{"customer":"customer-1234567","note":"{text}"}}}}"#
    )
}

/// Events per second through a file, so many to one fdatasync.
fn appended_per_second(mut file: &File, group: usize) -> f64 {
    let bytes = event("0123456789abcdef-123456-0").repeat(group);
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < TIME {
        file.write_all(bytes.as_bytes()).expect("the disk has room");
        file.sync_data().expect("the disk works");
        count += group;
    }
    count as f64 / started.elapsed().as_secs_f64()
}
