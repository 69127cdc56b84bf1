//! Runs the steps of a task: announced, timed, and reported when they fail.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

/// The workspace's directory.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Prints a line of progress.
pub(crate) fn say(text: &str) {
    eprintln!("· {text}");
}

/// Runs a step that may take a while.
pub(crate) fn step<T>(what: &str, run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    say(what);
    let started = Instant::now();
    let result = run().with_context(|| format!("{what}: failed"))?;
    let seconds = started.elapsed().as_secs_f32();
    if seconds >= 1.0 {
        say(&format!("{what}: {seconds:.0} s"));
    }
    Ok(result)
}

/// What `npm` installs the packages of a lock file with.
pub(crate) const NPM_CI: [&str; 4] = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];

/// Runs a program, and shows its errors only if it fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} cannot be started; is it installed?"))?;
    if !output.status.success() {
        bail!("{program} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Builds the host together with the tests. Cargo selects features of dependencies by what is built together, so
/// separate builds would build wasmtime twice.
pub(crate) fn build_host() -> anyhow::Result<()> {
    step("building the host", || cargo(&["build", "--quiet", "--workspace", "--bins", "--tests"], &[]))
}

/// Runs cargo in the workspace and shows its output.
pub(crate) fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .current_dir(root())
        .args(arguments)
        .envs(variables.iter().copied())
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("`cargo {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Runs a program of the workspace that is built with the host. Returns whether it succeeded.
pub(crate) fn run_program(what: &str, name: &str, plugins: &Path, arguments: &[String]) -> anyhow::Result<bool> {
    let binary = target().join("debug").join(name);
    step(what, || {
        let status = Command::new(&binary).args(arguments).envs(variables(plugins)).status();
        Ok(status.with_context(|| format!("{} cannot be started", binary.display()))?.success())
    })
}

/// The variables that tell tests where the guests are.
pub(crate) fn variables(plugins: &Path) -> [(&'static str, &str); 1] {
    [("SANDBUS_TEST_PLUGINS", plugins.to_str().unwrap_or_default())]
}
