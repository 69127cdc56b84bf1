//! Tests, lints and benchmarks.

use std::path::Path;

use crate::guests;
use crate::steps::{build_host, cargo, step};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to the test runner, such as the name of a test
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Every test: unit, property and end-to-end.
pub(crate) fn test(arguments: &Arguments) -> anyhow::Result<()> {
    let plugins = guests::build_all()?;
    build_host()?;
    let mut command = vec!["test", "--quiet", "--workspace"];
    command.extend(arguments.rest.iter().map(String::as_str));
    step("running the tests", || cargo(&command, &variables(&plugins)))
}

/// Formatting, lints and documentation, each without a warning.
pub(crate) fn lint() -> anyhow::Result<()> {
    step("checking the formatting", || cargo(&["fmt", "--all", "--check"], &[]))?;
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("checking the lints", || cargo(&clippy, &[]))?;
    let doc = ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"];
    step("checking the documentation", || cargo(&doc, &[("RUSTDOCFLAGS", "-D warnings")]))
}

/// Ratios, measured side by side in one run.
pub(crate) fn bench() -> anyhow::Result<()> {
    let plugins = guests::build_all()?;
    // In the profile of everything else: another one would be another build of wasmtime.
    let bench = ["bench", "--quiet", "--profile", "dev", "-p", "sandbus-host", "--benches"];
    step("measuring", || cargo(&bench, &variables(&plugins)))
}

fn variables(plugins: &Path) -> [(&'static str, &str); 1] {
    [("SANDBUS_TEST_PLUGINS", plugins.to_str().unwrap_or_default())]
}
