//! Tortures the real binary: kills it, cuts its power, fills and breaks its disk, sets its clock and damages
//! its files, under load; gives it bad handlers and receivers, loops, swaps, crowds and backlogs; and counts
//! what is lost, done twice or done out of order.
//!
//! ```console
//! cargo xtask torture --short
//! ```
//!
//! Progress goes to stderr, one table to stdout. The exit code says whether everything held.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a person")]

mod audit;
mod backlog;
mod client_record;
mod clock;
mod damage;
mod disk;
mod event_loop;
mod exclusive;
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

/// One kind of fault, and how the host is put through it.
struct Scenario {
    /// What `--only` takes.
    name: &'static str,
    /// What it does, for `--list`.
    what: &'static str,
    run: fn(&RunOptions) -> anyhow::Result<FaultReport>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "kills", what: "kill -9 under load, during swaps and during the first start", run: kills::run },
    Scenario { name: "power-cuts", what: "disks as a power cut could leave them, at any moment", run: power::cuts },
    Scenario {
        name: "power-cuts-without-sync",
        what: "the same for a bus whose syncs do nothing: its losses must be found",
        run: power::cuts_without_sync,
    },
    Scenario { name: "disk-full", what: "no space for a while: refused, nothing lost, no restart", run: disk::full },
    Scenario { name: "failing-fsync", what: "fsync fails: nothing is acknowledged any more", run: disk::failing_fsync },
    Scenario { name: "read-only", what: "writes fail: nothing is acknowledged any more", run: disk::read_only },
    Scenario { name: "clock", what: "the wall clock jumps an hour forward and back", run: clock::run },
    Scenario { name: "two-processes", what: "a second host on the same data is refused", run: exclusive::run },
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
    Scenario { name: "event-loop", what: "plugins that publish for each other without end", run: event_loop::run },
    Scenario {
        name: "handlers",
        what: "handlers that trap, hang, eat memory and flood, beside one at work",
        run: handlers::run,
    },
    Scenario { name: "webhooks", what: "receivers that hang, reset, fail, redirect and never end", run: webhooks::run },
    Scenario { name: "swaps", what: "a plugin swapped, broken and removed under load", run: swaps::run },
    Scenario { name: "redrive", what: "kill -9 while dead letters are redriven", run: redrive::run },
    Scenario { name: "ordered-load", what: "kill -9 while keyed events are retried and rejected", run: ordering::run },
    Scenario { name: "many-subscriptions", what: "a crowd of subscriptions to one type", run: fan_out::run },
    Scenario { name: "backlog", what: "a long backlog of one subscription beside a quick one", run: backlog::run },
];

/// Puts the host through faults, and counts what it loses.
#[derive(Debug, Parser)]
#[command(name = "torture")]
struct Arguments {
    /// A little of everything
    #[arg(long)]
    short: bool,
    /// How many kills and how many power cuts [default: 1000, and 40 with --short]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Only this fault; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the faults
    #[arg(long)]
    list: bool,
    /// The seed of a run that is to be repeated [default: another one each time]
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

/// Runs what was asked for and prints the table. Returns whether everything held.
fn torture(arguments: &Arguments) -> anyhow::Result<bool> {
    let unknown = arguments.only.iter().find(|name| SCENARIOS.iter().all(|scenario| scenario.name != **name));
    if let Some(unknown) = unknown {
        anyhow::bail!("there is no fault `{unknown}`; --list shows them");
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let options = RunOptions::new(arguments.short, arguments.rounds, seed)?;
    let chosen = SCENARIOS
        .iter()
        .filter(|scenario| arguments.only.is_empty() || arguments.only.iter().any(|name| name == scenario.name));
    let reports: Vec<_> = chosen.map(|scenario| run(scenario, &options)).collect();
    print!("{}", report::table(&reports));
    Ok(reports.iter().all(FaultReport::held))
}

fn run(scenario: &Scenario, options: &RunOptions) -> FaultReport {
    let started = Instant::now();
    eprintln!("{}: {}", scenario.name, scenario.what);
    let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(options)));
    let mut report = match result {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => FaultReport::default().problem(format!("did not come to its end: {error:#}")),
        // The panic's message has been printed when it happened.
        Err(_) => FaultReport::default().problem("panicked".to_owned()),
    };
    report.fault = scenario.name;
    report.check(report.counts.is_none_or(|counts| counts.acknowledged > 0), || {
        "nothing was acknowledged, and so nothing was tested".to_owned()
    });
    eprintln!("{}: {} after {:.1} s", scenario.name, report.verdict(), started.elapsed().as_secs_f64());
    report
}
