//! Tortures the real binary under load. It kills the host, cuts its power, fills and breaks its disk, sets its clock
//! and damages its files. It also runs bad handlers and webhook receivers, endless loops, swaps, many subscriptions
//! and long backlogs. It counts what is lost, done twice or done out of order.
//!
//! ```console
//! cargo xtask torture --short
//! ```
//!
//! Progress goes to stderr, and a table to stdout. The exit code tells whether all checks passed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints for people")]

mod audit;
mod backlog;
mod client_record;
mod clock;
mod damage;
mod disk;
mod event_loop;
mod exclusive;
mod failover;
mod fan_out;
mod handlers;
mod host;
mod kills;
mod load;
mod ordering;
mod power;
mod receiver;
mod recording;
mod redrive;
mod report;
mod run_options;
mod shim;
mod swaps;
mod webhooks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use report::FaultReport;
use run_options::RunOptions;

/// One kind of fault, and the function that injects it.
struct Scenario {
    /// The name for `--only`.
    name: &'static str,
    /// The description for `--list`.
    what: &'static str,
    run: fn(&RunOptions) -> anyhow::Result<FaultReport>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "kills", what: "kill -9 under load, during swaps and during the first start", run: kills::run },
    Scenario { name: "power-cuts", what: "disks as a power cut could leave them, at any moment", run: power::cuts },
    Scenario {
        name: "power-cuts-without-sync",
        what: "the same with syncs that do nothing: the losses must be detected",
        run: power::cuts_without_sync,
    },
    Scenario { name: "disk-full", what: "no space for a while: refused, nothing lost, no restart", run: disk::full },
    Scenario { name: "failing-fsync", what: "fsync fails: nothing is acknowledged any more", run: disk::failing_fsync },
    Scenario { name: "read-only", what: "writes fail: nothing is acknowledged any more", run: disk::read_only },
    Scenario { name: "clock", what: "the wall clock jumps an hour forward and back", run: clock::run },
    Scenario { name: "two-processes", what: "a second host on the same data is refused", run: exclusive::run },
    Scenario {
        name: "failover",
        what: "kill -9 of the active host of a database: its standby takes over",
        run: failover::run,
    },
    Scenario {
        name: "truncated-file",
        what: "a store's file is cut short while the host is down",
        run: damage::truncated,
    },
    Scenario {
        name: "flipped-bit",
        what: "a bit of a store's file flips while the host is down",
        run: damage::flipped,
    },
    Scenario {
        name: "event-loop",
        what: "plugins that publish to each other in an endless loop",
        run: event_loop::run,
    },
    Scenario {
        name: "handlers",
        what: "handlers that trap, hang, use too much memory and flood, next to a healthy one",
        run: handlers::run,
    },
    Scenario {
        name: "webhooks",
        what: "webhook receivers that hang, reset, fail, redirect and send endless bodies",
        run: webhooks::run,
    },
    Scenario { name: "swaps", what: "a plugin swapped, broken and removed under load", run: swaps::run },
    Scenario { name: "redrive", what: "kill -9 while dead letters are redriven", run: redrive::run },
    Scenario { name: "ordered-load", what: "kill -9 while keyed events are retried and rejected", run: ordering::run },
    Scenario { name: "many-subscriptions", what: "many subscriptions to one type", run: fan_out::run },
    Scenario { name: "backlog", what: "a long backlog of one subscription next to a fast one", run: backlog::run },
];

/// Inject faults into the host, and count what it loses
#[derive(Debug, Parser)]
#[command(name = "torture")]
struct Arguments {
    /// Run a short version of each fault
    #[arg(long)]
    short: bool,
    /// Number of kills, and of power cuts [default: 1000, or 40 with --short]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Run only this fault (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the faults
    #[arg(long)]
    list: bool,
    /// Seed, to repeat a run [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for Scenario { name, what, .. } in SCENARIOS {
            println!("{name:<24} {what}");
        }
        return ExitCode::SUCCESS;
    }
    match torture(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the selected scenarios and prints the table. Returns whether all checks passed.
fn torture(arguments: &Arguments) -> anyhow::Result<bool> {
    let unknown = arguments.only.iter().find(|name| SCENARIOS.iter().all(|scenario| scenario.name != **name));
    if let Some(unknown) = unknown {
        anyhow::bail!("there is no fault `{unknown}`; --list shows all faults");
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let options = RunOptions::new(arguments.short, arguments.rounds, seed)?;
    let chosen = SCENARIOS
        .iter()
        .filter(|scenario| arguments.only.is_empty() || arguments.only.iter().any(|name| name == scenario.name));
    let reports: Vec<_> = chosen.map(|scenario| run(scenario, &options)).collect();
    print!("{}", report::table(&reports));
    Ok(reports.iter().all(FaultReport::passed))
}

fn run(scenario: &Scenario, options: &RunOptions) -> FaultReport {
    let started = Instant::now();
    eprintln!("{}: {}", scenario.name, scenario.what);
    let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(options)));
    let mut report = match result {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => FaultReport::default().problem(format!("did not finish: {error:#}")),
        // The panic's message was printed when it happened.
        Err(_) => FaultReport::default().problem("panicked".to_owned()),
    };
    report.fault = scenario.name;
    report.check(report.counts.is_none_or(|counts| counts.acknowledged > 0), || {
        "nothing was acknowledged, so nothing was tested".to_owned()
    });
    eprintln!("{}: {} after {:.1} s", scenario.name, report.verdict(), started.elapsed().as_secs_f64());
    report
}
