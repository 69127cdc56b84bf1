//! Builds components from crates, with the guest compiler.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use sandbus_toolchain::{Toolchain, ToolchainSource};
use serde_json::Value;

use super::entry::{Entry, Program, Source};
use super::{Directories, path_text, program};
use crate::steps::{run, say};

/// Builds the example or the program of an entry.
pub(super) fn build(directories: &Directories, entry: &Entry) -> anyhow::Result<()> {
    let package = fetch(&directories.work, &entry.package, &entry.version)?;
    match &entry.source {
        Source::Example { example, features, .. } => {
            let arguments = ["--example", example, "--features", &features.join(",")];
            compile(directories, entry, &package, &arguments)
        }
        Source::Program(program) => {
            let project = directories.project(entry);
            write_project(entry, program, &package, &project)?;
            compile(directories, entry, &project, &[])
        }
    }
}

/// Compiles a crate, and stores its component.
fn compile(directories: &Directories, entry: &Entry, project: &Path, selection: &[&str]) -> anyhow::Result<()> {
    let toolchain = Toolchain::ensure(ToolchainSource::from_env()?, &mut |text| say(text))?;
    let built = directories.work.join("target");
    let arguments = [&["--release", "--target-dir", path_text(&built)?], selection].concat();
    let report = sandbus_toolchain::build(&toolchain, project, &arguments, false)?;
    let artifact = report.artifacts.first().filter(|_| report.succeeded);
    let artifact = artifact.with_context(|| format!("it does not compile:\n{}", report.messages.concat()))?;
    fs::copy(&artifact.path, directories.component(entry))?;
    Ok(())
}

/// Writes a crate around a program. The manifest is all that is ours.
fn write_project(entry: &Entry, program: &Program, package: &Path, project: &Path) -> anyhow::Result<()> {
    let mut manifest = format!(
        "[package]\nname = \"{}\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n[dependencies]\n",
        entry.name
    );
    let features = program.features.as_ref();
    let features = features.map(|features| format!(", default-features = false, features = {features:?}"));
    let features = features.unwrap_or_default();
    writeln!(manifest, "{} = {{ version = \"={}\"{features} }}", entry.package, entry.version)?;
    for (name, version) in &program.dependencies {
        writeln!(manifest, "{name} = \"={version}\"")?;
    }
    fs::create_dir_all(project.join("src"))?;
    fs::write(project.join("Cargo.toml"), manifest)?;
    fs::write(project.join("src/lib.rs"), program::text_of(package, program)?)?;
    Ok(())
}

/// Copies the sources of a crate from cargo's registry, which are read-only there. Returns the directory of the copy.
fn fetch(directory: &Path, package: &str, version: &str) -> anyhow::Result<PathBuf> {
    let copy = directory.join(format!("{package}-{version}"));
    if copy.exists() {
        return Ok(copy);
    }
    let sources = sources_of(&directory.join("fetch"), package, version)?;
    run(Command::new("cp").arg("-r").arg(sources).arg(&copy))?;
    // The lock file of the release may name versions that have been withdrawn since.
    drop(fs::remove_file(copy.join("Cargo.lock")));
    // Without this, cargo takes the copy for a part of this workspace.
    let manifest = copy.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    if !text.contains("\n[workspace]\n") {
        fs::write(&manifest, format!("{text}\n[workspace]\n"))?;
    }
    Ok(copy)
}

/// Downloads a crate, and returns where cargo has unpacked it.
fn sources_of(project: &Path, package: &str, version: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(project)?;
    fs::write(project.join("lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n[dependencies]\n{package} = \"={version}\"\n"
    );
    fs::write(project.join("Cargo.toml"), manifest)?;
    let output = Command::new("cargo").current_dir(project).args(["metadata", "--format-version", "1"]).output()?;
    if !output.status.success() {
        bail!("{package} {version} cannot be fetched:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let found = packages.find(|found| found["name"] == package && found["version"] == version);
    let manifest = found.and_then(|found| found["manifest_path"].as_str());
    let sources = manifest.and_then(|path| Path::new(path).parent());
    sources.map(Path::to_owned).with_context(|| format!("cargo does not say where {package} {version} is"))
}
