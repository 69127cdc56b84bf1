//! What is built at once: the crates of a cargo workspace, or one project in another language.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::build::{self, BuildReport, QUICK, RELEASE};
use crate::project::{Language, Project};
use crate::{Error, Toolchain, ToolchainSource, javascript, python};

/// What a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To be run at once, with the lines that backtraces name.
    Quick,
    /// To be shipped.
    Release,
}

/// Projects that are built together.
#[derive(Clone, Debug)]
pub struct BuildUnit {
    /// The projects; at least one.
    pub projects: Vec<Project>,
}

impl BuildUnit {
    /// Projects by how they are built: those of a cargo workspace together.
    #[must_use]
    pub fn of(projects: &[Project]) -> Vec<Self> {
        let mut units: Vec<Self> = Vec::new();
        let mut workspaces: BTreeMap<&Path, usize> = BTreeMap::new();
        for project in projects {
            let workspace = project.package.as_ref().map(|unit| unit.workspace.as_path());
            match workspace.and_then(|workspace| workspaces.get(workspace)) {
                Some(place) => units[*place].projects.push(project.clone()),
                None => {
                    workspaces.extend(workspace.map(|workspace| (workspace, units.len())));
                    units.push(Self { projects: vec![project.clone()] });
                }
            }
        }
        units
    }

    /// Makes components with the language's own tools, which are set up where they are missing. `say` is told of each
    /// step that may take a while. What has not changed is not built again. A compiler error is no error of this
    /// function; it is in the report.
    ///
    /// # Errors
    /// If the tools cannot be set up or started.
    pub fn build(&self, goal: Goal, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
        let Some(project) = self.projects.first() else { return Ok(BuildReport::default()) };
        match project.language {
            Language::Rust => self.build_crates(goal, colour, say),
            Language::JavaScript => javascript::build(project, colour, say),
            Language::Python => python::build(project, say),
        }
    }

    /// The projects that a build has made no component of.
    pub fn failed<'a>(&'a self, report: &'a BuildReport) -> impl Iterator<Item = &'a Project> {
        let is_made = |project: &Project| report.artifacts.iter().any(|artifact| artifact.name == project.name);
        self.projects.iter().filter(move |project| !is_made(project))
    }

    fn build_crates(&self, goal: Goal, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
        let toolchain = toolchain(say)?;
        let crates: Vec<_> =
            self.projects.iter().filter_map(|project| Some((project, project.package.as_ref()?))).collect();
        let Some((_, first)) = crates.first() else { return Ok(BuildReport::default()) };
        let target = quick_target(&first.target);
        let target = target.to_string_lossy();
        // One that does not compile keeps back no other.
        let mut arguments = vec!["--keep-going"];
        match goal {
            Goal::Quick => arguments.extend(QUICK.into_iter().chain(["--target-dir", &target])),
            Goal::Release => arguments.extend(RELEASE),
        }
        // Names are ambiguous where a dependency has the same one.
        arguments.extend(crates.iter().flat_map(|(_, unit)| ["-p", unit.id.as_str()]));
        let mut report = build::build(&toolchain, &first.workspace, &arguments, colour)?;
        report.artifacts.retain_mut(|artifact| {
            let project = crates.iter().find(|(_, unit)| unit.library == artifact.name);
            project.map(|(project, _)| artifact.name.clone_from(&project.name)).is_some()
        });
        Ok(report)
    }
}

/// Where quick builds of a workspace go, below cargo's target directory: `sandbus dev` and `sandbus test` share them.
fn quick_target(target: &Path) -> PathBuf {
    target.join("sandbus-dev/build")
}

/// The guest compiler, which a process sets up once.
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
