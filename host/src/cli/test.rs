//! `sandbus test`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandbus_toolchain::{Artifact, BuildReport, Package, Project, Source, Toolchain};
use serde_json::{Value, json};

use super::output::{self, Output};
use crate::dev;
use crate::scenario::{Report, Script, check};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A plugin's .wasm file, a directory of such files, or a plugin's sources, which are built first
    #[arg(default_value = ".")]
    path: PathBuf,
    /// A file of scenarios, or a directory of such files [default: `tests` beside the plugin]
    #[arg(long, value_name = "PATH")]
    scenarios: Option<PathBuf>,
    /// Only scenarios whose names contain this
    #[arg(long, value_name = "NAME", default_value = "")]
    filter: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where a plugin's sources begin.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "package.json", "pyproject.toml"];

/// A plugin, and where its scenarios are.
#[derive(Debug)]
struct Subject {
    /// What a file of scenarios calls it.
    name: String,
    wasm: PathBuf,
    scenarios: PathBuf,
}

/// What came of a file.
#[derive(Debug)]
struct Outcome {
    file: PathBuf,
    reports: Vec<Report>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let output = Output { json: arguments.json };
    // Compiling and playing block.
    let outcomes = tokio::task::spawn_blocking(move || play(&arguments)).await??;
    let all = || outcomes.iter().flat_map(|outcome| &outcome.reports);
    let failed = all().filter(|report| !report.is_ok()).count();
    let passed = all().count() - failed;
    let answer = json!({
        "passed": passed,
        "failed": failed,
        "scenarios": outcomes.iter().flat_map(as_json).collect::<Vec<_>>(),
    });
    output.print(&answer, |_| {
        let files: String = outcomes.iter().map(as_text).collect();
        format!("{files}{passed} passed, {failed} failed")
    });
    match (passed, failed) {
        (0, 0) => bail!("there is no scenario to play; write one into tests/*.toml beside the plugin"),
        (_, 0) => Ok(()),
        _ => bail!("{failed} of {} scenarios came out otherwise than expected", passed + failed),
    }
}

fn play(arguments: &Arguments) -> anyhow::Result<Vec<Outcome>> {
    let mut subjects = subjects(&arguments.path)?;
    if let Some(scenarios) = &arguments.scenarios {
        subjects.iter_mut().for_each(|subject| subject.scenarios.clone_from(scenarios));
    }
    let alone = subjects.len() == 1;
    let mut outcomes = Vec::new();
    let mut unplayed = BTreeMap::new();
    for subject in &subjects {
        for file in files(&subject.scenarios)? {
            let script = Script::read(&file)?;
            if !is_for(&script, &subject.name, alone, &file)? {
                unplayed.entry(file).or_insert(script.plugin);
                continue;
            }
            let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
            let reports = script.named(&arguments.filter).map(|scenario| check(scenario, &subject.wasm, &folder));
            outcomes.push(Outcome { reports: reports.collect(), file });
        }
    }
    unplayed.retain(|file, _| !outcomes.iter().any(|outcome| outcome.file == *file));
    // Beside a single file there may be those of others.
    if let Some((file, Some(plugin))) = unplayed.pop_first().filter(|_| !arguments.path.is_file()) {
        let names: Vec<_> = subjects.iter().map(|subject| subject.name.as_str()).collect();
        bail!("{} is for plugin `{plugin}`, and there are only {}", file.display(), names.join(", "));
    }
    Ok(outcomes)
}

/// Whether a file's scenarios are for a plugin.
fn is_for(script: &Script, name: &str, alone: bool, file: &Path) -> anyhow::Result<bool> {
    match &script.plugin {
        Some(plugin) => Ok(name == plugin),
        None if alone => Ok(true),
        None => bail!("{} does not say which plugin it is for; begin it with plugin = \"NAME\"", file.display()),
    }
}

/// The plugins at a path.
fn subjects(path: &Path) -> anyhow::Result<Vec<Subject>> {
    let beside = |wasm: PathBuf| {
        let name = wasm.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Subject { name, scenarios: parent(&wasm).join("tests"), wasm }
    };
    if path.is_file() {
        return Ok(vec![beside(path.to_owned())]);
    }
    // Where there are sources, a component that lies beside them may be an old one.
    let has_sources = MANIFESTS.iter().any(|manifest| path.join(manifest).is_file());
    let found = with_extension(path, &["wasm"])?;
    if !found.is_empty() && !has_sources {
        return Ok(found.into_iter().map(beside).collect());
    }
    build(path)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Builds the plugins whose sources are at a path.
fn build(path: &Path) -> anyhow::Result<Vec<Subject>> {
    let packages = sandbus_toolchain::packages(path).with_context(|| format!("{}", path.display()))?;
    let projects = Project::scripts(path)?;
    if packages.is_empty() && projects.is_empty() {
        bail!("{} has no plugin: no .wasm file, and no sources that `sandbus build` takes", path.display());
    }
    let crates = build_crates(path, &packages)?;
    let scripts = projects.iter().map(build_script).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(crates.into_iter().chain(scripts.into_iter().flatten()).collect())
}

/// Plugins in Rust, which are built together.
fn build_crates(path: &Path, packages: &[Package]) -> anyhow::Result<Vec<Subject>> {
    let Some(first) = packages.first() else { return Ok(Vec::new()) };
    let home = sandbus_toolchain::target_directory(path)?;
    let folder = home.join("sandbus-test");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let toolchain = Toolchain::ensure(Source::from_env()?, &mut say)?;
    // What `sandbus dev` has built is not built again.
    let target = dev::build_directory(&home);
    let target = target.to_string_lossy();
    let mut arguments = vec!["--target-dir", &target];
    arguments.extend(sandbus_toolchain::QUICK);
    arguments.extend(packages.iter().flat_map(|package| ["-p", package.name.as_str()]));
    let built = sandbus_toolchain::build(&toolchain, &first.directory, &arguments, telemetry::colours())?;
    let mut subjects = Vec::new();
    for artifact in &made(built)? {
        artifact.place(&folder)?;
        let name = artifact.name.replace('_', "-");
        let package = packages.iter().find(|package| package.name.replace('_', "-") == name);
        let Some(package) = package else {
            bail!("`{name}` is the library of no package of that name; leave its name out of [lib]");
        };
        let wasm = folder.join(format!("{name}.wasm"));
        subjects.push(Subject { name, wasm, scenarios: package.directory.join("tests") });
    }
    Ok(subjects)
}

/// A plugin in another language.
fn build_script(project: &Project) -> anyhow::Result<Vec<Subject>> {
    let artifacts = made(project.build(telemetry::colours(), &mut say)?)?;
    let scenarios = project.directory.join("tests");
    let subject =
        |artifact: Artifact| Subject { name: project.name.clone(), wasm: artifact.path, scenarios: scenarios.clone() };
    Ok(artifacts.into_iter().map(subject).collect())
}

/// What a build made, if it did.
fn made(report: BuildReport) -> anyhow::Result<Vec<Artifact>> {
    report.messages.iter().for_each(|message| output::compiler_message(message));
    if report.succeeded { Ok(report.artifacts) } else { bail!("the build failed") }
}

fn say(text: &str) {
    output::progress(text);
}

/// The files of scenarios at a path.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_dir() {
        with_extension(path, &["toml", "json"])
    } else {
        Ok(path.is_file().then(|| path.to_owned()).into_iter().collect())
    }
}

/// The files in a directory that end so, by their names.
fn with_extension(directory: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("{} cannot be read", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", directory.display()))?.path();
        let ends_so = path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one));
        if ends_so && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn as_json(outcome: &Outcome) -> Vec<Value> {
    let report = |report: &Report| {
        json!({
            "file": outcome.file.display().to_string(),
            "name": report.name,
            "ok": report.is_ok(),
            "took_ms": u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            "failures": report.failures,
        })
    };
    outcome.reports.iter().map(report).collect()
}

fn as_text(outcome: &Outcome) -> String {
    let mut text = format!("{}\n", outcome.file.display());
    for report in &outcome.reports {
        let verdict = if report.is_ok() { "ok    " } else { "FAILED" };
        text.push_str(&format!("  {verdict} {} ({} ms)\n", report.name, report.took.as_millis()));
        report.failures.iter().for_each(|failure| text.push_str(&format!("         {failure}\n")));
    }
    text
}
