//! Finds the plugins below a path, in the layouts of cargo, npm, pnpm, yarn, uv and of no tool at all.
//!
//! Each manifest in the tree is examined on its own: the root of a workspace, or a plugin, does not hide projects below
//! it. Cargo lists the members of its workspaces. Each directory that is left out is reported with the reason.

mod manifest_kind;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use self::manifest_kind::ManifestKind;
use self::walk::Walk;
use crate::cargo::{self, Workspace, is_workspace};
use crate::error::{at, manifest_error};
use crate::language::Language;
use crate::project::Project;
use crate::{Error, single_file, workspaces};

/// The projects below a path.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The plugins, by their directories.
    pub projects: Vec<Project>,
    /// The errors of plugins that cannot be built.
    pub broken: Vec<Error>,
    /// The directories that were left out.
    pub skipped: Vec<SkippedDirectory>,
    /// The visited directories, closest to the path first.
    pub visited: Vec<PathBuf>,
}

/// A directory that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedDirectory {
    /// The directory.
    pub path: PathBuf,
    /// The reason.
    pub reason: String,
}

impl SkippedDirectory {
    /// Whether it is no surprise that the directory was left out, because nobody expects a plugin there.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        let expected =
            [walk::BY_TOOLS, manifest_kind::NO_PACKAGE, manifest_kind::WORKSPACE_ROOT, manifest_kind::OTHER_MODULE];
        expected.contains(&&*self.reason)
    }
}

impl Discovery {
    /// Finds the plugins at a path: a directory, a manifest, or a script. If there is none, the plugin that encloses
    /// the path is found.
    ///
    /// # Errors
    /// If the path does not exist, cannot be read, or is another file.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let canonical = path.canonicalize().map_err(at(path))?;
        if let Some(project) = single_file::project(&canonical)? {
            return Ok(Self { projects: vec![project], ..Self::default() });
        }
        let is_manifest = Language::ALL.iter().any(|language| canonical.ends_with(language.manifest()));
        let root = match canonical.parent() {
            Some(parent) if is_manifest => parent.to_owned(),
            _ if canonical.is_file() => return Err(Error::NotSource { path: path.to_owned() }),
            _ => canonical,
        };
        let mut found = Search::new(&root).through(Walk::through(&root)?);
        if found.projects.is_empty() && found.broken.is_empty() {
            found.projects.extend(root.ancestors().skip(1).find_map(enclosing));
        }
        Ok(found)
    }

    /// The names of the plugins.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.projects.iter().map(|project| project.name.as_str())
    }
}

impl Project {
    /// The project in a directory.
    ///
    /// # Errors
    /// If there is none, or its manifest is invalid.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        let found = Discovery::of(directory)?;
        let canonical = directory.canonicalize().map_err(at(directory))?;
        let mut projects = found.projects.into_iter();
        let project = projects.find(|project| project.directory == canonical);
        project.ok_or_else(|| found.broken.into_iter().next().unwrap_or_else(|| Error::no_project(&canonical)))
    }
}

fn directory_of(manifest: &Path) -> PathBuf {
    manifest.parent().unwrap_or(Path::new(".")).to_owned()
}

/// The plugin in a directory itself.
fn enclosing(directory: &Path) -> Option<Project> {
    let walk = Walk { manifests: walk::manifests_in(directory), ..Walk::default() };
    let found = Search::new(directory).through(walk).projects;
    found.into_iter().find(|project| project.directory == directory)
}

/// The reason why a member of a workspace is left out.
fn outside(root: &Path) -> String {
    format!("a member of the workspace that lies outside of {}", root.display())
}

/// A search in progress.
struct Search<'a> {
    root: &'a Path,
    found: Discovery,
    /// The manifests of workspaces that cargo has already listed.
    covered: BTreeSet<PathBuf>,
    /// Cargo's metadata of workspaces that are not examined yet, by the path of the manifest.
    workspaces: BTreeMap<PathBuf, Result<Workspace, Error>>,
}

impl<'a> Search<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, found: Discovery::default(), covered: BTreeSet::new(), workspaces: BTreeMap::new() }
    }

    fn through(mut self, mut walk: Walk) -> Discovery {
        self.add_members(&mut walk);
        let mut crates = Vec::new();
        let mut others = BTreeMap::new();
        for (language, manifest) in walk.manifests {
            let directory = directory_of(&manifest);
            match ManifestKind::of(language, &manifest, directory == self.root) {
                ManifestKind::Plugin if language == Language::Rust => crates.push(manifest),
                ManifestKind::Plugin => self.add_interpreted(language, directory),
                ManifestKind::Other(reason) => drop(others.insert((language, manifest), reason)),
                ManifestKind::Broken(what) => self.found.broken.push(manifest_error(&manifest, what)),
            }
        }
        // Members may lie in directories that are not visited.
        let roots = others.keys().filter(|(language, path)| *language == Language::Rust && cargo::has_members(path));
        crates.extend(roots.map(|(_, manifest)| manifest.clone()));
        self.workspaces = cargo::workspaces(crates.iter().filter(|manifest| is_workspace(manifest)).cloned().collect());
        crates.iter().for_each(|manifest| self.crates_of(manifest));

        let told = others.into_iter().map(|((_, path), reason)| SkippedDirectory { path: directory_of(&path), reason });
        self.found.skipped.extend(told);
        self.found.visited = walk.visited;
        self.finish(walk.skipped)
    }

    /// Adds the members of npm, pnpm, yarn and uv workspaces that lie in directories which were not visited.
    fn add_members(&mut self, walk: &mut Walk) {
        let roots: Vec<_> = walk.manifests.iter().map(|(language, path)| (*language, directory_of(path))).collect();
        for (language, root) in roots {
            let members = workspaces::members(&root, language).into_iter();
            for member in members.filter_map(|member| member.canonicalize().ok()) {
                let manifest = member.join(language.manifest());
                let is_sdk = member.ends_with("vendor/@sandbus/sdk");
                if is_sdk || walk.manifests.iter().any(|(_, known)| *known == manifest) {
                    continue;
                }
                if member.starts_with(self.root) {
                    walk.manifests.push((language, manifest));
                    walk.visited.push(member);
                } else {
                    let reason = outside(self.root);
                    self.found.skipped.push(SkippedDirectory { path: member, reason });
                }
            }
        }
    }

    fn add_interpreted(&mut self, language: Language, directory: PathBuf) {
        match Project::interpreted(directory, language) {
            Ok(project) => self.found.projects.push(project),
            Err(error) => self.found.broken.push(error),
        }
    }

    /// Adds the plugins of a manifest's workspace that lie below the root.
    fn crates_of(&mut self, manifest: &Path) {
        if self.covered.contains(manifest) {
            return;
        }
        let workspace = match self.workspaces.remove(manifest).unwrap_or_else(|| Workspace::of(manifest)) {
            Ok(workspace) => workspace,
            Err(error) => {
                self.covered.insert(manifest.to_owned());
                return self.found.broken.push(error);
            }
        };
        self.covered.insert(workspace.root().join("Cargo.toml"));
        self.covered.extend(workspace.manifests().map(Path::to_owned));
        for member in workspace.manifests() {
            let is_plugin = ManifestKind::of(Language::Rust, member, false) == ManifestKind::Plugin;
            let Some((name, package)) = workspace.plugin(member).filter(|_| is_plugin) else { continue };
            let directory = directory_of(member);
            if directory.starts_with(self.root) || member == manifest {
                let path_dependencies = workspace.path_dependencies(&directory);
                let (language, package) = (Language::Rust, Some(package));
                self.found.projects.push(Project {
                    name,
                    directory,
                    language,
                    path_dependencies,
                    package,
                    single_file: None,
                });
            } else if workspace.root().starts_with(self.root) {
                let reason = outside(self.root);
                self.found.skipped.push(SkippedDirectory { path: directory, reason });
            }
        }
    }

    /// Sorts the results, and rejects plugins whose file name is already taken.
    fn finish(mut self, directories: Vec<SkippedDirectory>) -> Discovery {
        let mut projects = std::mem::take(&mut self.found.projects);
        projects.sort_by(|one, other| one.directory.cmp(&other.directory));
        projects.dedup_by(|one, other| one.directory == other.directory && one.language == other.language);
        let mut taken: BTreeMap<String, PathBuf> = BTreeMap::new();
        for project in projects {
            match taken.get(&project.stem()) {
                Some(first) => self.found.broken.push(Error::SameName {
                    name: project.name,
                    first: first.clone(),
                    second: project.directory,
                }),
                None => {
                    taken.insert(project.stem(), project.directory.clone());
                    self.found.projects.push(project);
                }
            }
        }
        // Skipped directories within a plugin, such as `target`, are not worth a report.
        let within = |path: &Path| taken.values().any(|directory| path.parent() == Some(directory));
        self.found.skipped.extend(directories.into_iter().filter(|skipped| !within(&skipped.path)));
        // Neither are libraries that plugins depend on.
        let used: BTreeSet<_> = self.found.projects.iter().flat_map(|project| &project.path_dependencies).collect();
        self.found.skipped.retain(|skipped| !used.contains(&skipped.path));
        self.found.skipped.sort_by(|one, other| one.path.cmp(&other.path));
        self.found
    }
}

#[cfg(test)]
mod tests;
