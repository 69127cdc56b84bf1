//! Projects that are built together: the crates of a cargo workspace, or one project in another language.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Error;
use crate::build_profile::BuildProfile;
use crate::build_report::BuildReport;
use crate::language::Language;
use crate::languages::{go, javascript, python, rust};
use crate::project::Project;

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
            Language::Rust => rust::build(&self.projects, profile, colour, say),
            Language::JavaScript => javascript::build(project, profile, colour, say),
            Language::Python => python::build(project, profile, say),
            Language::Go => go::build(project, say),
        }
    }

    /// The projects without a component in a build's report.
    pub fn failed<'a>(&'a self, report: &'a BuildReport) -> impl Iterator<Item = &'a Project> {
        let is_made = |project: &Project| report.artifacts.iter().any(|artifact| artifact.name == project.name);
        self.projects.iter().filter(move |project| !is_made(project))
    }
}

impl Project {
    /// Builds its component for release, with the language's own tools. See [`BuildUnit::build`].
    ///
    /// # Errors
    /// If the tools cannot be set up or started.
    pub fn build(&self, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
        BuildUnit { projects: vec![self.clone()] }.build(BuildProfile::Release, colour, say)
    }
}
