//! `sandbus test`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandbus_toolchain::{Artifact, BuildUnit, Goal, Project, UnitResult};
use serde::Serialize;

use super::output::Output;
use super::response::Response;
use crate::console;
use crate::plugin::{Sidecar, read_sidecar};
use crate::printable;
use crate::projects::{self, display_path, join_names};
use crate::scenario::{PluginUnderTest, ScenarioFile, ScenarioReport, check};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A .wasm file, a directory of .wasm files, or a plugin project, which is built first
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Play this scenario file, or those in this directory [default: `tests` next to the plugin]
    #[arg(long, value_name = "PATH")]
    scenarios: Option<PathBuf>,
    /// Play only scenarios whose names contain this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A plugin and the location of its scenarios.
#[derive(Debug)]
struct Candidate {
    /// Its name in scenario files.
    name: String,
    wasm: PathBuf,
    /// The path of its sidecar, which may not exist.
    sidecar: PathBuf,
    scenarios: PathBuf,
    /// Its project. Scenario files below it are for this plugin.
    directory: Option<PathBuf>,
}

/// The results of a scenario file.
#[derive(Debug)]
struct FileResult {
    file: PathBuf,
    reports: Vec<ScenarioReport>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (output, filter) = (Output { json: arguments.json }, arguments.filter.clone());
    // Compiling and running block.
    let results = tokio::task::spawn_blocking(move || run_scenarios(&arguments)).await??;
    let all = || results.iter().flat_map(|result| &result.reports);
    let failed = all().filter(|report| !report.is_ok()).count();
    let passed = all().count() - failed;
    let response = TestSummary { passed, failed, scenarios: results.iter().flat_map(to_views).collect() };
    output.print(&Response::local(response)?, |_| {
        let files: String = results.iter().map(format_result).collect();
        format!("{files}{passed} passed, {failed} failed")
    });
    match (passed, failed) {
        (0, 0) if !filter.is_empty() => bail!("no scenario name contains `{filter}`"),
        (0, 0) => bail!("there are no scenarios; write them to tests/*.toml next to the plugin"),
        (_, 0) => Ok(()),
        _ => bail!("{failed} of {} scenarios failed", passed + failed),
    }
}

fn run_scenarios(arguments: &Arguments) -> anyhow::Result<Vec<FileResult>> {
    let mut candidates = find_candidates(&arguments.path)?;
    if let Some(scenarios) = &arguments.scenarios {
        if !scenarios.exists() {
            bail!("{} does not exist; give a scenario file, or a directory of scenario files", scenarios.display());
        }
        candidates.iter_mut().for_each(|candidate| candidate.scenarios.clone_from(scenarios));
    }
    let mut results = Vec::new();
    let mut unmatched = BTreeMap::new();
    for candidate in &candidates {
        let subject = PluginUnderTest { wasm: &candidate.wasm, sidecar: load_sidecar(&candidate.sidecar)? };
        for file in scenario_files(&candidate.scenarios)? {
            let scenario_file = ScenarioFile::read(&file)?;
            if !applies_to(&scenario_file, candidate, &candidates, &file)? {
                unmatched.entry(file).or_insert(scenario_file.plugin);
                continue;
            }
            let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
            let reports =
                scenario_file.scenarios_matching(&arguments.filter).map(|scenario| check(scenario, &subject, &folder));
            results.push(FileResult { reports: reports.collect(), file });
        }
    }
    unmatched.retain(|file, _| !results.iter().any(|result| result.file == *file));
    // The directory of a single file may contain scenarios of other plugins.
    if let Some((file, Some(plugin))) = unmatched.pop_first().filter(|_| !arguments.path.is_file()) {
        let names = join_names(candidates.iter().map(|candidate| candidate.name.as_str()));
        bail!("{} is for the plugin `{plugin}`, but the tested plugins are {names}", file.display());
    }
    Ok(results)
}

/// Whether a scenario file is for a plugin: the plugin that it names, else the plugin whose project contains it, else
/// the only plugin.
fn applies_to(
    scenario_file: &ScenarioFile,
    candidate: &Candidate,
    all: &[Candidate],
    file: &Path,
) -> anyhow::Result<bool> {
    if let Some(plugin) = &scenario_file.plugin {
        return Ok(*plugin == candidate.name);
    }
    if all.len() == 1 {
        return Ok(true);
    }
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let directories =
        all.iter().filter_map(|one| one.directory.as_deref().filter(|directory| file.starts_with(directory)));
    match directories.max_by_key(|directory| directory.components().count()) {
        Some(nearest) => Ok(candidate.directory.as_deref() == Some(nearest)),
        None => bail!("{} does not name its plugin; begin it with plugin = \"NAME\"", file.display()),
    }
}

/// Parses a sidecar, if it exists.
fn load_sidecar(path: &Path) -> anyhow::Result<Sidecar> {
    match read_sidecar(path) {
        Ok(text) => Sidecar::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Sidecar::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The plugins at a path.
fn find_candidates(path: &Path) -> anyhow::Result<Vec<Candidate>> {
    let beside = |wasm: PathBuf| {
        let name = wasm.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (sidecar, scenarios) = (wasm.with_extension("toml"), parent_directory(&wasm).join("tests"));
        Candidate { name, sidecar, scenarios, wasm, directory: None }
    };
    if path.extension().is_some_and(|extension| extension == "wasm") && !path.is_dir() && path.exists() {
        return Ok(vec![beside(path.to_owned())]);
    }
    // A component next to sources may be outdated.
    if path.is_dir() && !has_manifest(path) {
        let found = files_with_extension(path, &["wasm"])?;
        if !found.is_empty() {
            console::print_status(&format!(
                "testing the components in {}; projects below it are not built",
                path.display()
            ));
            return Ok(found.into_iter().map(beside).collect());
        }
    }
    build(path)
}

fn has_manifest(directory: &Path) -> bool {
    sandbus_toolchain::MANIFESTS.iter().any(|manifest| directory.join(manifest).is_file())
}

fn parent_directory(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Builds the plugin projects at a path.
fn build(path: &Path) -> anyhow::Result<Vec<Candidate>> {
    let found = projects::find(path)?;
    console::print_status(&format!("building {}", join_names(found.names())));
    let (mut candidates, mut failed) = (Vec::new(), Vec::new());
    let units = BuildUnit::of(&found.projects);
    let mut built = Vec::new();
    sandbus_toolchain::build_all(&units, Goal::Quick, telemetry::colours(), &mut console::print_status, &mut |unit| {
        projects::print_messages(&unit);
        built.push(unit);
    });
    built.sort_by_key(|unit| unit.index);
    for UnitResult { index, report, .. } in built {
        let (unit, report) = (&units[index], report.unwrap_or_default());
        failed.extend(unit.failed(&report).map(|project| project.name.clone()));
        for artifact in &report.artifacts {
            let project = unit.projects.iter().find(|project| project.name == artifact.name);
            candidates.extend(project.map(|project| candidate(project, artifact)));
        }
    }
    match (failed.is_empty(), found.broken.is_empty()) {
        (true, true) => Ok(candidates),
        (true, false) => bail!("no scenario was run: some projects in {} cannot be read", display_path(path)),
        _ => bail!("no scenario was run: the build of {} failed", failed.join(", ")),
    }
}

fn candidate(project: &Project, artifact: &Artifact) -> Candidate {
    console::print_hints(project, artifact);
    let (sidecar, scenarios) = (project.sidecar(), project.directory.join("tests"));
    Candidate {
        name: project.stem(),
        wasm: artifact.path.clone(),
        sidecar,
        scenarios,
        directory: Some(project.directory.clone()),
    }
}

/// Files of other tools in test directories.
const NOT_SCENARIOS: [&str; 5] = ["Cargo.toml", "package.json", "package-lock.json", "pyproject.toml", "tsconfig.json"];

/// The scenario files at a path.
fn scenario_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_dir() {
        let files = files_with_extension(path, &["toml", "json"])?;
        // A test directory may be a project itself.
        Ok(files.into_iter().filter(|file| !NOT_SCENARIOS.iter().any(|other| file.ends_with(other))).collect())
    } else {
        Ok(path.is_file().then(|| path.to_owned()).into_iter().collect())
    }
}

/// The files in a directory with one of the extensions, sorted.
fn files_with_extension(directory: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", directory.display()))?.path();
        let ends_so = path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one));
        if ends_so && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The results of all scenarios as `--json` prints them.
#[derive(Debug, Serialize)]
struct TestSummary<'a> {
    passed: usize,
    failed: usize,
    scenarios: Vec<ScenarioView<'a>>,
}

/// The result of a scenario.
#[derive(Debug, Serialize)]
struct ScenarioView<'a> {
    file: String,
    name: &'a str,
    ok: bool,
    took_ms: u64,
    /// The expectations that were not met.
    failures: &'a [String],
}

fn to_views(result: &FileResult) -> impl Iterator<Item = ScenarioView<'_>> {
    result.reports.iter().map(|report| ScenarioView {
        file: result.file.display().to_string(),
        name: &report.name,
        ok: report.is_ok(),
        took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        failures: &report.failures,
    })
}

fn format_result(result: &FileResult) -> String {
    let mut text = format!("{}\n", result.file.display());
    for report in &result.reports {
        let verdict = if report.is_ok() { "ok    " } else { "FAILED" };
        text.push_str(&format!("  {verdict} {} ({} ms)\n", printable::line(&report.name), report.took.as_millis()));
        for failure in &report.failures {
            // The text may quote the plugin.
            text.push_str(&format!("         {}\n", printable::block(failure).replace('\n', "\n           ")));
        }
    }
    text
}
