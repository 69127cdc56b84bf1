//! Tests, lints and benchmarks.

use std::path::Path;

use anyhow::bail;

use crate::steps::{build_host, cargo, run_program, step, target, variables};
use crate::{corpus, dashboard, debian, guests, layers, sdks};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of a test or benchmark, or options of the torture: --short, --rounds N, --only NAME, --list
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs all tests, some published components, and a short torture.
pub(crate) fn test(arguments: &Arguments) -> anyhow::Result<()> {
    let sdks = sdks::install()?;
    debian::ensure_postgres()?;
    let plugins = guests::build_all_and_host()?;
    let mut command = vec!["test", "--quiet", "--workspace"];
    command.extend(arguments.rest.iter().map(String::as_str));
    let [guests] = variables(&plugins);
    let installed = ("SANDBUS_TEST_SDKS", sdks.to_str().unwrap_or_default());
    // The standard library of Go, compiled for components, is kept with everything else that is built.
    let compiled = target().join("go-build");
    let compiled = ("GOCACHE", compiled.to_str().unwrap_or_default());
    step("running the tests", || cargo(&command, &[guests, installed, compiled]))?;
    // A named test runs alone.
    if !arguments.rest.is_empty() {
        return Ok(());
    }
    dashboard::test(&plugins)?;
    corpus::check_short()?;
    run_torture(&plugins, &["--short".to_owned()])
}

/// Runs the torture, at full length unless `--short` is given.
pub(crate) fn torture(arguments: &Arguments) -> anyhow::Result<()> {
    let plugins = guests::build_all_and_host()?;
    run_torture(&plugins, &arguments.rest)
}

fn run_torture(plugins: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let has_survived = run_program("torturing the host", "torture", plugins, arguments)?;
    if has_survived { Ok(()) } else { bail!("the host did not survive a fault; see the table above") }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// The released version, such as 0.2.0
    version: String,
}

/// Writes `tests/frozen/VERSION`, which must not exist yet.
pub(crate) fn freeze(release: &Release) -> anyhow::Result<()> {
    let plugins = guests::build_all_and_host()?;
    let is_frozen = run_program("freezing the release", "freeze", &plugins, std::slice::from_ref(&release.version))?;
    if is_frozen { Ok(()) } else { bail!("the release was not frozen; see the message above") }
}

/// Takes the pictures of the dashboard that the documentation uses.
pub(crate) fn screenshots() -> anyhow::Result<()> {
    dashboard::take_screenshots(&guests::build_all_and_host()?)
}

/// Writes `docs/openapi.json`, as the host serves it.
pub(crate) fn openapi() -> anyhow::Result<()> {
    build_host()?;
    let test = ["test", "--quiet", "--workspace", "--test", "openapi", "the_document_in_docs"];
    step("writing docs/openapi.json", || cargo(&test, &[("SANDBUS_BLESS", "1")]))
}

/// Checks formatting, dependencies, lints and documentation, without a warning.
pub(crate) fn lint() -> anyhow::Result<()> {
    step("checking the formatting", || cargo(&["fmt", "--all", "--check"], &[]))?;
    step("checking the dependencies between modules", layers::check)?;
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("checking the lints", || cargo(&clippy, &[]))?;
    let doc = ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"];
    step("checking the documentation", || cargo(&doc, &[("RUSTDOCFLAGS", "-D warnings")]))
}

/// Benchmarks that use the host as a library. The others, in `tests/benches`, run its binary.
const LIBRARY_BENCHMARKS: [(&str, &str); 4] =
    [("sandbox-tax", "sandbox_tax"), ("invoke", "invoke"), ("languages", "languages"), ("swap", "swap")];

/// Runs all benchmarks, or the named ones.
pub(crate) fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let plugins = guests::build_all()?;
    dashboard::build()?;
    let names = &arguments.rest;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|other| other == name);
    // With the profile of releases.
    step("building the host", || cargo(&["build", "--quiet", "--release", "--workspace", "--bins"], &[]))?;
    for (_, target) in LIBRARY_BENCHMARKS.into_iter().filter(|(name, _)| wanted(name)) {
        step("measuring", || cargo(&["bench", "--quiet", "--workspace", "--bench", target], &variables(&plugins)))?;
    }
    let others =
        names.iter().map(String::as_str).filter(|name| LIBRARY_BENCHMARKS.iter().all(|(library, _)| library != name));
    let others: Vec<_> = others.collect();
    if names.is_empty() || !others.is_empty() {
        let bench = ["bench", "--quiet", "--workspace", "--bench", "bench", "--"];
        step("measuring", || cargo(&[&bench[..], &others].concat(), &variables(&plugins)))?;
    }
    Ok(())
}
