//! Builds plugins when their sources change, and puts the components into the plugin folder, where the host finds them
//! like any other file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandbus_toolchain::{
    Artifact, ArtifactForm, BuildProfile, BuildReport, BuildUnit, Discovery, Error, FolderOwner, Project, SidecarUpdate,
};
use tokio_util::sync::CancellationToken;

use super::load_check::{LoadCheck, LoadVerdict};
use super::sources::{self, Changes};
use crate::console;
use crate::projects::{self, SourceIndex, SourcePaths};
use crate::scenario::{ScenarioPaths, project_scenarios, shared_paths};
use crate::telemetry;

/// A build starts after this time without changes, since editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(50);

/// The folder for components.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Whether only this process uses it.
    pub(super) is_own: bool,
}

/// The settings of a builder.
#[derive(Debug)]
pub(super) struct BuilderSettings {
    /// The path to search for projects.
    pub(super) path: PathBuf,
    /// Whether all skipped directories are reported.
    pub(super) verbose: bool,
    /// The sources of the current projects.
    pub(super) sources: SourceIndex,
    pub(super) load_check: LoadCheck,
    /// Where the scenarios of the current projects are.
    pub(super) scenarios: ScenarioPaths,
}

impl BuilderSettings {
    /// Tells the rest of the process where the sources and the scenarios of the projects are.
    fn show(&self, projects: &[Project]) {
        self.sources.update(projects);
        let all = projects.iter().flat_map(|project| project_scenarios(project.home(), project.script()));
        let shared = self.path.is_dir().then(|| shared_paths(&self.path)).into_iter().flatten();
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let root = if self.path.is_dir() { &self.path } else { parent };
        self.scenarios.set(root, all.chain(shared).collect());
    }
}

/// Builds projects into a folder.
#[derive(Debug)]
pub(super) struct Builder {
    settings: BuilderSettings,
    folder: Folder,
    projects: Vec<Project>,
    /// The directories that were searched.
    searched: Vec<PathBuf>,
    /// Further files that builds read, in the projects or elsewhere.
    inputs: BTreeSet<PathBuf>,
    /// The messages that were printed, since each is printed once.
    reported: BTreeSet<String>,
    /// The plugins whose last build failed.
    failed: BTreeSet<String>,
    /// The programs that do not load, by plugin, as their digests.
    unloadable: BTreeMap<String, String>,
    /// The plugins whose sidecar in a shared folder is a copy of the project's.
    following: BTreeSet<String>,
}

impl Builder {
    /// A builder of the projects at a path. Skipped projects have been reported.
    pub(super) fn new(settings: BuilderSettings, found: Discovery, folder: Folder) -> Self {
        let skipped = projects::describe_skipped(&found.skipped, settings.verbose);
        let mut reported: BTreeSet<_> = skipped.into_iter().collect();
        reported.extend(found.broken.iter().map(ToString::to_string));
        let Discovery { projects, visited: searched, .. } = found;
        settings.show(&projects);
        let (inputs, failed, unloadable, following) = Default::default();
        Self { settings, folder, projects, searched, inputs, reported, failed, unloadable, following }
    }

    /// Builds after each change, and searches for new projects, until it is cancelled.
    pub(super) async fn run(self, cancelled: CancellationToken) {
        let changes = Arc::new(Changes::default());
        let builder = Arc::new(Mutex::new(self));
        // Watches until it is dropped.
        let (mut watcher, mut is_stale) = (None, true);
        loop {
            if std::mem::take(&mut is_stale) {
                let builder = builder.lock().unwrap_or_else(PoisonError::into_inner);
                drop(std::mem::replace(&mut watcher, builder.watch(&changes)));
                // Builds once, in case something changed before the watch began.
                changes.notify_sources();
            }
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = changes.wait() => {}
            }
            while tokio::time::timeout(QUIET, changes.wait()).await.is_ok() {}
            let (again, projects_changed) = (Arc::clone(&builder), changes.take_projects_changed());
            let turn = tokio::task::spawn_blocking(move || {
                let mut builder = again.lock().unwrap_or_else(PoisonError::into_inner);
                let has_changed = projects_changed && builder.rediscover();
                builder.build();
                builder.find_inputs() || has_changed
            });
            // A panic has printed a message; the next change starts another build.
            is_stale = turn.await.unwrap_or_default();
        }
    }

    fn watch(&self, changes: &Arc<Changes>) -> Option<notify::RecommendedWatcher> {
        let watcher = sources::watch(&self.projects, &self.searched, &self.inputs, changes);
        let tell = |error: &notify::Error| {
            tracing::error!(%error, "cannot watch all sources; restart `sandbus dev` after a change");
        };
        watcher.inspect_err(tell).ok()
    }

    /// Searches for projects again. Returns whether the directories to watch have changed.
    fn rediscover(&mut self) -> bool {
        let mut found = match Discovery::of(&self.settings.path) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!("cannot search for projects: {error}");
                return false;
            }
        };
        // The build of a project whose manifest is being edited reports what is wrong.
        let half_saved = self.projects.iter().filter(|project| project.has_broken_manifest());
        let half_saved: Vec<_> = half_saved.map(|project| project.directory.as_path()).collect();
        found.skipped.retain(|skipped| !half_saved.contains(&skipped.path.as_path()));
        let is_told = |line: &String| half_saved.iter().any(|path| line.starts_with(&*path.to_string_lossy()));
        let broken = found.broken.iter().map(ToString::to_string).filter(|line| !is_told(line));
        for line in projects::describe_skipped(&found.skipped, self.settings.verbose).into_iter().chain(broken) {
            if self.reported.insert(line.clone()) {
                tracing::warn!("{line}");
            }
        }
        let mut projects = found.projects;
        let is_there = |project: &Project| project.directory.join(project.language.manifest()).is_file();
        let is_half_saved = |project: &Project| half_saved.contains(&project.directory.as_path());
        let is_gone = |project: &&Project| !is_half_saved(project) && (found.broken.is_empty() || !is_there(project));
        let missing = self.projects.iter().filter(|old| !projects.iter().any(|new| new.directory == old.directory));
        let (gone, edited): (Vec<_>, Vec<_>) = missing.partition(is_gone);
        gone.iter().for_each(|project| tracing::info!(plugin = project.name, "the project was removed"));
        let edited: Vec<_> = edited.into_iter().cloned().collect();
        for project in projects.iter().filter(|new| !self.projects.iter().any(|old| old.directory == new.directory)) {
            tracing::info!(
                plugin = project.name,
                "found a new project in {}",
                projects::display_path(&project.directory)
            );
        }
        projects.extend(edited);
        let has_changed = projects != self.projects || found.visited != self.searched;
        (self.projects, self.searched) = (projects, found.visited);
        self.settings.show(&self.projects);
        self.remove_stale();
        has_changed
    }

    /// Finds the files that builds have read. Returns whether the set has changed.
    fn find_inputs(&mut self) -> bool {
        let inputs = self.projects.iter().flat_map(Project::inputs).collect();
        let has_changed = self.inputs != inputs;
        self.inputs = inputs;
        has_changed
    }

    /// Removes the files of removed and renamed projects from a private folder.
    fn remove_stale(&self) {
        if !self.folder.is_own {
            return;
        }
        let names: BTreeSet<_> = self.projects.iter().map(Project::stem).collect();
        let entries = std::fs::read_dir(&self.folder.path).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let is_ours = path.extension().is_some_and(|extension| extension == "wasm" || extension == "toml");
            if is_ours
                && !names.contains(&*stem)
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::error!(file = %path.display(), %error, "cannot remove an outdated file");
            }
        }
    }

    /// Builds all projects that are not up to date. Blocks while they compile.
    pub(super) fn build(&mut self) {
        self.remove_stale();
        self.install_sidecars();
        let units = BuildUnit::of(&self.projects);
        let say = &mut |text: &str| tracing::info!("{text}");
        sandbus_toolchain::build_all(&units, BuildProfile::Quick, telemetry::colours(), say, &mut |result| {
            self.install(&units[result.index], result.took, result.report);
        });
    }

    /// Puts sidecars into the folder before the components, so that they apply to the first load.
    fn install_sidecars(&mut self) {
        for project in &self.projects {
            let stem = project.stem();
            let is_ours = self.folder.is_own || self.following.contains(&stem);
            let owner = if is_ours { FolderOwner::Build } else { FolderOwner::Operator };
            match project.install_sidecar(&self.folder.path, BuildProfile::Quick, owner) {
                Ok(SidecarUpdate::Copied | SidecarUpdate::Unchanged) => drop(self.following.insert(stem)),
                Ok(SidecarUpdate::LeftToOperator) if project.sidecar().exists() => {
                    let (kept, own) = (self.folder.path.join(format!("{stem}.toml")), project.sidecar());
                    let line = format!("{} is kept, so {} has no effect", kept.display(), own.display());
                    if self.reported.insert(line.clone()) {
                        tracing::warn!(plugin = project.name, "{line}");
                    }
                }
                Ok(SidecarUpdate::LeftToOperator | SidecarUpdate::Absent | SidecarUpdate::Removed) => {}
                Err(error) => tracing::error!(plugin = project.name, "cannot apply its sidecar: {error}"),
            }
        }
    }

    /// Whether a program loads. If it does not, prints the reason, once.
    fn check_load(&mut self, project: &Project, artifact: &Artifact) -> bool {
        let LoadVerdict::Fails(message, digest) = self.settings.load_check.check(artifact, &self.folder.path) else {
            self.unloadable.remove(&artifact.name);
            return true;
        };
        if self.unloadable.insert(artifact.name.clone(), digest.clone()) != Some(digest) {
            let message = SourcePaths::of(project).quote(&message);
            console::print_problem(&format!("{}: {message}", project.name));
            self.report_failure(project);
        }
        false
    }

    fn report_failure(&self, project: &Project) {
        let running = self.still_running(project);
        tracing::error!(plugin = project.name, "the build of {} failed{running}", project.name);
    }

    /// The end of a message about a failed build, if an earlier build of the plugin is in the folder.
    fn still_running(&self, project: &Project) -> &'static str {
        let is_installed = self.folder.path.join(format!("{}.wasm", project.stem())).exists();
        if is_installed { "; the previous version keeps running" } else { "" }
    }

    /// Puts built components into the folder, and reports the result.
    fn install(&mut self, unit: &BuildUnit, took: Duration, report: Result<BuildReport, Error>) {
        let names = || projects::join_names(unit.projects.iter().map(|project| project.name.as_str()));
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                let running = unit.projects.first().map(|project| self.still_running(project)).unwrap_or_default();
                return tracing::error!("cannot start the build of {}: {error}{running}", names());
            }
        };
        for message in &report.messages {
            console::print_compiler_message(message);
        }
        let failed: Vec<Project> = unit.failed(&report).cloned().collect();
        for project in &failed {
            self.report_failure(project);
        }
        let mut artifacts = report.artifacts;
        artifacts.retain(|artifact| {
            let project = unit.projects.iter().find(|project| project.name == artifact.name);
            project.is_none_or(|project| self.check_load(project, artifact))
        });
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        for artifact in &artifacts {
            let was_failing = self.failed.remove(&artifact.name);
            match artifact.install(&self.folder.path) {
                Ok(true) => {
                    tracing::info!(plugin = artifact.name, took_ms, "built{}", form_of(artifact));
                    let project = unit.projects.iter().find(|project| project.name == artifact.name);
                    project.iter().for_each(|project| console::print_hints(project, artifact));
                }
                Ok(false) if was_failing => tracing::info!(plugin = artifact.name, "builds again, without changes"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(plugin = artifact.name, %error, "cannot put the plugin into the folder");
                }
            }
        }
        self.failed.extend(failed.into_iter().map(|project| project.name));
        self.failed.extend(self.unloadable.keys().cloned());
    }
}

/// The directory for components and data, which survive a restart. It is below the workspace's target directory for
/// Rust projects, and in the given path for others.
pub(super) fn home(path: &Path, found: &Discovery) -> PathBuf {
    let mut root = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if root.is_file() {
        root.pop();
    }
    let mut workspaces = found.projects.iter().filter_map(Project::cargo_workspace);
    let above = workspaces.find(|(workspace, _)| root.starts_with(workspace));
    above.map_or_else(|| root.join(".sandbus/dev"), |(_, target)| target.join("sandbus-dev"))
}

/// The suffix of the message about a build that tells the artifact's form.
fn form_of(artifact: &Artifact) -> &'static str {
    match artifact.form {
        ArtifactForm::Program => " for the prepared runtime",
        ArtifactForm::Component => "",
    }
}
