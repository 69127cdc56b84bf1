//! The project's tasks. `cargo xtask --help` lists them.
//!
//! Each task sets up what it needs, reports slow steps, and repeats only what has changed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tasks print for people")]

mod corpus;
mod dashboard;
mod debian;
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
    /// Run all tests, some published components, and a short torture
    Test(verify::Arguments),
    /// Inject faults into a running host, and print what it survived
    Torture(verify::Arguments),
    /// Build components that others have published, and run them on the host
    Corpus(corpus::Arguments),
    /// Check formatting, module dependencies, lints and documentation
    Lint,
    /// Build the example plugins and the test guests
    Guests,
    /// Build the dashboard, which the next build of the host embeds
    Dashboard,
    /// Take the pictures of the dashboard for the documentation
    Screenshots,
    /// Write docs/openapi.json, the description of the admin API
    Openapi,
    /// Store this release's data directory, components and contract for the tests of later releases
    Freeze(verify::Release),
    /// Run all benchmarks, or the named ones
    Bench(verify::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => verify::test(&arguments),
        Task::Torture(arguments) => verify::torture(&arguments),
        Task::Corpus(arguments) => corpus::run_all(&arguments),
        Task::Lint => verify::lint(),
        Task::Guests => guests::build_all().map(drop),
        Task::Dashboard => dashboard::build(),
        Task::Screenshots => verify::screenshots(),
        Task::Openapi => verify::openapi(),
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
