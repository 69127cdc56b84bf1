//! A bus that breaks a promise fails the suite.

use std::any::Any;
use std::thread;

use sandbus_bus_conformance::{Fault, FaultyFixture};
use sandbus_host::bus::conformance::Case;

/// Runs a case. An error has its message.
fn run(name: &'static str, fixture: FaultyFixture) -> Result<(), String> {
    let case = Case::find(name).unwrap_or_else(|| panic!("there is no case `{name}`"));
    let running = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(case.run(&fixture));
    });
    running.join().map_err(|panic| found(&*panic))
}

fn found(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

/// Each fault is detected by the case for its promise, and the same case passes with the wrapper alone.
#[test]
fn every_broken_promise_is_noticed() {
    /// The number of faults that are tested at a time.
    const LANES: usize = 4;
    let missed: Vec<String> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let faults = Fault::ALL.iter().copied().skip(lane).step_by(LANES);
                scope.spawn(move || faults.filter_map(missed).collect::<Vec<_>>())
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });
    assert!(missed.is_empty(), "{missed:#?}");
}

#[expect(clippy::print_stdout, reason = "with `--nocapture` it shows the message of the suite for each fault")]
fn missed(fault: Fault) -> Option<String> {
    let case = fault.caught_by();
    if let Err(found) = run(case, FaultyFixture(None)) {
        return Some(format!("{case} fails without a fault: {found}"));
    }
    match run(case, FaultyFixture(Some(fault))) {
        Ok(()) => Some(format!("{case} does not detect {fault:?}")),
        Err(found) => {
            println!("{fault:?}: {case}: {}", found.lines().next().unwrap_or_default());
            None
        }
    }
}
