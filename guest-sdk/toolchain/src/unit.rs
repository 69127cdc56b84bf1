//! Projects that are built together: the crates of a cargo workspace, or one project in another language.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::build::{self, BuildReport, QUICK, RELEASE};
use crate::discover::cargo::CargoPackage;
use crate::project::{Language, Project};
use crate::{Error, TARGET, Toolchain, ToolchainSource, causes, javascript, prebuilt, python};

/// How a build balances its own duration against the artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildProfile {
    /// A fast build, with line tables for backtraces.
    Quick,
    /// A build for distribution.
    Release,
}

/// Projects that are built together.
#[derive(Clone, Debug)]
pub struct BuildUnit {
    /// The projects; at least one.
    pub projects: Vec<Project>,
}

impl BuildUnit {
    /// Groups projects: those of a cargo workspace are built together.
    #[must_use]
    pub fn of(projects: &[Project]) -> Vec<Self> {
        let mut units: Vec<Self> = Vec::new();
        let mut workspaces: BTreeMap<&Path, usize> = BTreeMap::new();
        for project in projects {
            let workspace = project.package.as_ref().map(|unit| unit.workspace.as_path());
            match workspace.and_then(|workspace| workspaces.get(workspace)) {
                Some(index) => units[*index].projects.push(project.clone()),
                None => {
                    workspaces.extend(workspace.map(|workspace| (workspace, units.len())));
                    units.push(Self { projects: vec![project.clone()] });
                }
            }
        }
        units
    }

    /// Builds the components with the language's own tools, which are installed if they are missing. `say` receives a
    /// line for each slow step. Unchanged projects are not built again. Compiler errors are in the report, and not
    /// errors of this function.
    ///
    /// # Errors
    /// If the tools cannot be set up or started.
    pub fn build(&self, profile: BuildProfile, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
        let Some(project) = self.projects.first() else { return Ok(BuildReport::default()) };
        match project.language {
            Language::Rust => self.build_crates(profile, colour, say),
            Language::JavaScript => javascript::build(project, profile, colour, say),
            Language::Python => python::build(project, profile, say),
        }
    }

    /// The projects without a component in a build's report.
    pub fn failed<'a>(&'a self, report: &'a BuildReport) -> impl Iterator<Item = &'a Project> {
        let is_made = |project: &Project| report.artifacts.iter().any(|artifact| artifact.name == project.name);
        self.projects.iter().filter(move |project| !is_made(project))
    }

    fn build_crates(
        &self,
        profile: BuildProfile,
        colour: bool,
        say: &mut dyn FnMut(&str),
    ) -> Result<BuildReport, Error> {
        let toolchain = toolchain(say)?;
        let members: Vec<_> =
            self.projects.iter().filter_map(|project| Some((project, project.package.as_ref()?))).collect();
        let Some((_, first)) = members.first() else { return Ok(BuildReport::default()) };
        let target = quick_target(&first.target);
        if profile == BuildProfile::Quick
            && let Err(error) = prebuilt::install(&toolchain, &first.workspace, &target, say)
        {
            say(&format!("compiling everything, since the prepared dependencies cannot be used: {}", causes(&error)));
        }
        let target = target.to_string_lossy();
        // A crate that does not compile must not stop the others.
        let mut arguments = vec!["--keep-going"];
        match profile {
            BuildProfile::Quick => arguments.extend(QUICK.into_iter().chain(["--target-dir", &target])),
            BuildProfile::Release => arguments.extend(RELEASE),
        }
        // A dependency may have the same name, and so the ids are used.
        arguments.extend(members.iter().flat_map(|(_, unit)| ["-p", unit.id.as_str()]));
        let mut report = build::build_with_steps(&toolchain, &first.workspace, &arguments, colour, say)?;
        report.artifacts.retain_mut(|artifact| {
            let project = members.iter().find(|(_, unit)| unit.lib_name == artifact.name);
            project.map(|(project, _)| artifact.name.clone_from(&project.name)).is_some()
        });
        Ok(report)
    }
}

/// The target directory of quick builds, which `sandbus dev` and `sandbus test` share.
fn quick_target(target: &Path) -> PathBuf {
    target.join("sandbus-dev/build")
}

/// The files that the last quick build of a crate read, as cargo lists them in the syntax of make.
pub(crate) fn inputs_of_crate(package: &CargoPackage) -> Vec<PathBuf> {
    let file = format!("{}.d", package.lib_name.replace('-', "_"));
    let path = quick_target(&package.target).join(TARGET).join("release").join(file);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let inputs = text.lines().filter_map(|line| line.split_once(": ")).flat_map(|(_, inputs)| make_words(inputs));
    inputs.map(|input| package.workspace.join(input)).collect()
}

/// The words of a list in which spaces within words are escaped.
fn make_words(list: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (' ', _) => words.push(String::new()),
            (_, Some(word)) => word.push(character),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The guest compiler. It is set up at the first call in a process.
fn toolchain(say: &mut dyn FnMut(&str)) -> Result<Toolchain, Error> {
    static READY: Mutex<Option<Toolchain>> = Mutex::new(None);
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(toolchain) = &*ready {
        return Ok(toolchain.clone());
    }
    let toolchain =
        Toolchain::ensure(ToolchainSource::from_env()?, &mut |text| say(&format!("guest compiler: {text}")))?;
    Ok(ready.insert(toolchain).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_in_paths_do_not_split_them() {
        assert_eq!(make_words("/a/b.rs /home/ada\\ l/c.rs  /d"), ["/a/b.rs", "/home/ada l/c.rs", "/d"]);
        assert!(make_words("").is_empty());
    }
}
