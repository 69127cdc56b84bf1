//! **cold**: from starting the process to being ready, with 100 plugins whose compiled code is in the cache.
//! The plugins are one component under a hundred names.

use std::time::Instant;

use sandbus_tests::measure::{Goal, Report, Samples};
use sandbus_tests::{Launch, eventually, send};

use crate::variants;

const ROUNDS: usize = 15;
const PLUGINS: usize = 100;

pub(crate) fn run() {
    let directory = tempfile::tempdir().expect("a directory");
    variants::put(&directory.path().join("plugins"), PLUGINS);
    let mut started = Samples::default();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let process = Launch::serve(directory.path()).spawn().wait().unwrap_or_else(|log| panic!("{log}"));
        let ready = format!("http://{}/readyz", process.admin);
        eventually("the host is ready", || send_ok(&ready));
        if round > 0 {
            started.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    let mut report = Report::new(format!("cold: start with {PLUGINS} plugins in the cache, {ROUNDS} rounds, ms"));
    report.goal("process started to ready", &started, Goal::AtMost(300.0));
    println!("{report}");
}

fn send_ok(url: &str) -> Option<()> {
    send(&sandbus_tests::agent(), "GET", url, &[], &[]).ok().filter(|answer| answer.status == 200).map(drop)
}
