//! Builds guests: the example plugins, and the guests of the tests.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use sandbus_toolchain::{Artifact, BuildReport, Discovery, Language, Project, Toolchain, ToolchainSource};

use crate::dashboard;
use crate::steps::{build_host, root, say, step, target};

/// The package of the test guests.
const TEST_GUESTS: &str = "sandbus-test-guests";

/// Builds all guests, and returns the folder with all of them. Some of the test guests are broken on purpose, so the
/// example plugins are also copied to `target/plugins`, for running a host with them.
pub(crate) fn build_all() -> anyhow::Result<PathBuf> {
    let toolchain =
        Toolchain::ensure(ToolchainSource::from_env()?, &mut |text| say(&format!("guest compiler: {text}")))?;
    let (examples, all) = (target().join("plugins"), target().join("test-guests"));
    step("building the guests", || {
        let plugins = build(&toolchain, &plugin_arguments()?)?;
        let guests = build(&toolchain, &["-p".into(), TEST_GUESTS.into(), "--examples".into()])?;
        std::fs::create_dir_all(&examples)?;
        std::fs::create_dir_all(&all)?;
        let plugins = [plugins, build_scripts()?].concat();
        plugins.iter().try_for_each(|artifact| artifact.install(&examples).map(drop))?;
        Ok(plugins.iter().chain(&guests).try_for_each(|artifact| artifact.install(&all).map(drop))?)
    })?;
    Ok(all)
}

/// Builds the dashboard, then all guests and the host in parallel, because neither build keeps all cores busy.
pub(crate) fn build_all_and_host() -> anyhow::Result<PathBuf> {
    dashboard::build()?;
    std::thread::scope(|scope| {
        let guests = scope.spawn(build_all);
        build_host()?;
        guests.join().map_err(|_| anyhow!("the build of the guests ended with a panic"))?
    })
}

/// Every project under `plugins/`.
fn projects() -> anyhow::Result<Vec<Project>> {
    let found = Discovery::of(&root().join("plugins"))?;
    match found.broken.first() {
        Some(broken) => bail!("{broken}"),
        None => Ok(found.projects),
    }
}

/// Every crate under `plugins/`.
fn plugin_arguments() -> anyhow::Result<Vec<String>> {
    let crates = projects()?.into_iter().filter(|project| project.language == Language::Rust);
    Ok(crates.flat_map(|project| ["-p".to_owned(), project.name]).collect())
}

fn build(toolchain: &Toolchain, what: &[String]) -> anyhow::Result<Vec<Artifact>> {
    let directory = target().join("guests");
    let directory = directory.to_string_lossy();
    let mut arguments = vec!["--profile", "guest", "--target-dir", &directory];
    arguments.extend(what.iter().map(String::as_str));
    artifacts(sandbus_toolchain::build(toolchain, &root(), &arguments, true)?)
}

/// Builds the examples in other languages, and installs their tools if necessary.
fn build_scripts() -> anyhow::Result<Vec<Artifact>> {
    let projects = projects()?;
    let scripts = projects.iter().filter(|project| project.language != Language::Rust);
    let built = scripts.map(|project| artifacts(project.build(true, &mut say)?));
    Ok(built.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// The artifacts of a build.
fn artifacts(report: BuildReport) -> anyhow::Result<Vec<Artifact>> {
    for message in &report.messages {
        eprint!("{message}");
    }
    if !report.succeeded {
        bail!("the guests do not compile");
    }
    Ok(report.artifacts)
}
