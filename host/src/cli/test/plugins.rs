//! Finds the plugins to test, and builds their projects.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandbus_toolchain::{Artifact, BuildProfile, BuildUnit, Project, sidecar_text};

use crate::console;
use crate::plugin::Sidecar;
use crate::projects::{self, SourcePaths, display_path, join_names};
use crate::scenario::{Preloader, ScenarioError, files_with_extension, project_scenarios};
use crate::telemetry;

/// A plugin and the location of its scenarios.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Its name in scenario files.
    pub(super) name: String,
    pub(super) wasm: PathBuf,
    /// The path of its sidecar, which may not exist.
    pub(super) sidecar: PathBuf,
    /// The scenario files, and the directories with such files. They may not exist.
    pub(super) scenarios: Vec<PathBuf>,
    /// Its script, if it has no project of its own.
    pub(super) script: Option<PathBuf>,
    /// Its project. Scenario files below it are for this plugin.
    pub(super) directory: Option<PathBuf>,
    /// Where its sources are.
    pub(super) sources: SourcePaths,
}

/// Projects that do not build.
#[derive(Debug, thiserror::Error)]
#[error("no scenario was run: the build of {} failed", failed.join(", "))]
pub(super) struct BuildError {
    /// Their names.
    pub(super) failed: Vec<String>,
    /// What the compilers reported.
    pub(super) messages: Vec<String>,
}

impl Candidate {
    fn of_component(wasm: PathBuf) -> Self {
        let name = wasm.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (sidecar, scenarios) = (wasm.with_extension("toml"), vec![parent_directory(&wasm).join("tests")]);
        Self { name, sidecar, scenarios, wasm, script: None, directory: None, sources: SourcePaths::default() }
    }

    /// Parses the sidecar with its overlay for development, if they exist.
    pub(super) fn load_sidecar(&self) -> anyhow::Result<Sidecar> {
        let path = &self.sidecar;
        let Some(bytes) = sidecar_text(path, BuildProfile::Quick)? else { return Ok(Sidecar::default()) };
        let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
        Sidecar::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
    }
}

/// Adds the plugin at a path to the candidates, unless it is one already. Returns its index.
pub(super) fn add_candidate(path: &Path, candidates: &mut Vec<Candidate>) -> anyhow::Result<usize> {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let wanted = canonical(path);
    let is_wanted = |one: &Candidate| {
        one.directory.as_deref().is_some_and(|directory| canonical(directory) == wanted)
            || canonical(&one.wasm) == wanted
            || one.script.as_deref() == Some(&wanted)
    };
    if let Some(index) = candidates.iter().position(is_wanted) {
        return Ok(index);
    }
    if !path.exists() {
        bail!("{} does not exist", path.display());
    }
    let found = find_candidates(path, false)?;
    match <[Candidate; 1]>::try_from(found) {
        Ok([found]) => candidates.push(found),
        Err(found) => {
            let names = join_names(found.iter().map(|candidate| candidate.name.as_str()));
            bail!("{} has several plugins ({names}); write the path of one", path.display());
        }
    }
    Ok(candidates.len() - 1)
}

/// The plugins at a path.
pub(super) fn find_candidates(path: &Path, verbose: bool) -> anyhow::Result<Vec<Candidate>> {
    if is_component(path) {
        return Ok(vec![Candidate::of_component(path.to_owned())]);
    }
    // A component next to sources may be outdated.
    if path.is_dir() && !has_manifest(path) {
        let found = files_with_extension(path, &["wasm"])?;
        if !found.is_empty() {
            console::print_status(&format!(
                "testing the components in {}; projects below it are not built",
                path.display()
            ));
            return Ok(found.into_iter().map(Candidate::of_component).collect());
        }
    }
    build(path, verbose)
}

fn is_component(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm") && path.is_file()
}

fn has_manifest(directory: &Path) -> bool {
    sandbus_toolchain::MANIFESTS.iter().any(|manifest| directory.join(manifest).is_file())
}

fn parent_directory(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Builds the plugin projects at a path.
fn build(path: &Path, verbose: bool) -> anyhow::Result<Vec<Candidate>> {
    let found = projects::find(path, verbose)?;
    console::print_status(&format!("building {}", join_names(found.names())));
    let (mut candidates, mut failed, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    let units = BuildUnit::of(&found.projects);
    let mut built = Vec::new();
    sandbus_toolchain::build_all(
        &units,
        BuildProfile::Quick,
        telemetry::colours(),
        &mut console::print_status,
        &mut |unit| {
            projects::print_messages(&unit);
            built.push(unit);
        },
    );
    built.sort_by_key(|unit| unit.index);
    let preloader = Preloader::start()?;
    for result in built {
        messages.extend(result.error());
        let (unit, report) = (&units[result.index], result.report.unwrap_or_default());
        messages.extend(report.messages.iter().cloned());
        failed.extend(unit.failed(&report).map(|project| project.name.clone()));
        for artifact in &report.artifacts {
            let Some(project) = unit.projects.iter().find(|project| project.name == artifact.name) else { continue };
            match preload(&preloader, &project.name, &artifact.path) {
                Ok(()) => candidates.push(candidate(project, artifact)),
                Err(message) => {
                    let message = format!("{}: {}", project.name, SourcePaths::of(project).quote(&message));
                    console::print_problem(&message);
                    messages.push(message);
                    failed.push(project.name.clone());
                }
            }
        }
    }
    match (failed.is_empty(), found.broken.is_empty()) {
        (true, true) => Ok(candidates),
        (true, false) => bail!("no scenario was run: some projects in {} cannot be read", display_path(path)),
        _ => Err(BuildError { failed, messages }.into()),
    }
}

/// Loads a component that was built. Fails if it cannot be loaded, for example because a script ends with an exception.
fn preload(preloader: &Preloader, name: &str, wasm: &Path) -> Result<(), String> {
    let notice = || console::print_status(&format!("{name}: compiling for this machine (once)"));
    match projects::run_with_notice(|| preloader.load(wasm), notice) {
        Err(ScenarioError::Load { error, .. }) => Err(error.author_message()),
        Err(error) => Err(error.to_string()),
        Ok(()) => Ok(()),
    }
}

fn candidate(project: &Project, artifact: &Artifact) -> Candidate {
    console::print_hints(project, artifact);
    let script = project.script().map(Path::to_owned);
    let scenarios = project_scenarios(project.home(), script.as_deref());
    Candidate {
        name: project.stem(),
        wasm: artifact.path.clone(),
        sidecar: project.sidecar(),
        scenarios,
        directory: script.is_none().then(|| project.directory.clone()),
        sources: SourcePaths::of(project),
        script,
    }
}
