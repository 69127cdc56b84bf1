//! The project's tasks: `cargo xtask demo | test | torture | lint | guests | freeze | bench`.
//!
//! A task sets up what it needs, says what takes long, and does again only what has changed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to a person")]

mod demo;
mod guests;
mod layers;
mod sdks;
mod steps;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Sandbus project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run the registration scenario on a real host, over real HTTP
    Demo(demo::Arguments),
    /// Run every test: unit, property and end-to-end, and a short torture
    Test(verify::Arguments),
    /// Break a running host in every way that is known, and print what became of it
    Torture(verify::Arguments),
    /// Check formatting, dependencies between modules, lints and documentation
    Lint,
    /// Build the example plugins and the tests' guests
    Guests,
    /// Keep what this release writes for the tests of later ones: a data directory, components and the contract
    Freeze(verify::Release),
    /// Measure ratios, side by side: all benchmarks, or those that are named
    Bench(verify::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => verify::test(&arguments),
        Task::Torture(arguments) => verify::torture(&arguments),
        Task::Lint => verify::lint(),
        Task::Guests => guests::build_all().map(drop),
        Task::Freeze(release) => verify::freeze(&release),
        Task::Bench(arguments) => verify::bench(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", sandbus_toolchain::causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
