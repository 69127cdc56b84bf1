//! Builds components from packages of `PyPI`, with `componentize-py`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::entry::{Entry, Program, Source};
use super::{Directories, path_text, program};
use crate::steps::run;

/// Builds the example or the program of an entry.
pub(super) fn build(directories: &Directories, entry: &Entry) -> anyhow::Result<()> {
    let (package, version) = (&entry.package, &entry.version);
    let sources = fetch(&directories.work, package, version)?;
    match &entry.source {
        Source::Example { example, world, .. } => {
            let tools = environment(&directories.work, &[format!("{package}=={version}")])?;
            let world = world.as_deref().context("the entry lacks its world")?;
            let project = sources.join("examples").join(example);
            componentize(&tools, &project, &["-d", "../../wit", "-w", world], &directories.component(entry))
        }
        Source::Program(program) => {
            let tools = environment(&directories.work, &requirements(entry, program))?;
            let project = directories.project(entry);
            fs::create_dir_all(&project)?;
            fs::write(project.join("app.py"), program::text_of(&sources, program)?)?;
            componentize(&tools, &project, &["-w", program.world()?], &directories.component(entry))
        }
    }
}

/// The packages that a program needs: its own, and those that its documentation names.
fn requirements(entry: &Entry, program: &Program) -> Vec<String> {
    let others = program.dependencies.iter().map(|(name, version)| format!("{name}=={version}"));
    std::iter::once(format!("{}=={}", entry.package, entry.version)).chain(others).collect()
}

/// Builds the component of the module `app` in a directory.
fn componentize(tools: &Path, project: &Path, selection: &[&str], component: &Path) -> anyhow::Result<()> {
    let mut build = Command::new(tools.join("bin/componentize-py"));
    // It looks for the interfaces of SDKs in the virtual environment that is active.
    build.current_dir(project).env("VIRTUAL_ENV", tools).args(selection).args(["componentize", "app", "-o"]);
    run(build.arg(component))
}

/// A virtual environment with packages.
fn environment(directory: &Path, requirements: &[String]) -> anyhow::Result<PathBuf> {
    let environment = directory.join(format!("python-{}", requirements.join("-").replace("==", "-")));
    let stamp = environment.join("complete");
    if !stamp.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", PIP_IS_NEW]).args(requirements))?;
        fs::write(stamp, "")?;
    }
    Ok(environment)
}

/// Downloads the source archive of a package, and unpacks it. Returns the directory.
fn fetch(directory: &Path, package: &str, version: &str) -> anyhow::Result<PathBuf> {
    let sources = directory.join(format!("{package}-{version}-sources"));
    if !sources.exists() {
        let archives = directory.join("archives");
        // Only this package comes as source: pip builds it to read its metadata, with tools that are built already.
        let mut download = Command::new("python3");
        download.args(["-m", "pip", "download", "--quiet", PIP_IS_NEW, "--no-deps", "--no-binary", package]);
        run(download.args(["--dest", path_text(&archives)?]).arg(format!("{package}=={version}")))?;
        let partial = directory.join("unpacking");
        drop(fs::remove_dir_all(&partial));
        fs::create_dir_all(&partial)?;
        let archive = archives.join(format!("{}-{version}.tar.gz", package.replace('-', "_")));
        run(Command::new("tar").args(["--strip-components=1", "--directory"]).arg(&partial).arg("-xzf").arg(archive))?;
        fs::rename(&partial, &sources)?;
    }
    Ok(sources)
}

/// Keeps pip from asking for its own newest version.
const PIP_IS_NEW: &str = "--disable-pip-version-check";
