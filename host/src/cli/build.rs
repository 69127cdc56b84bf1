//! `sandbus build`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandbus_toolchain::{Artifact, BuildProfile, BuildUnit, FolderOwner, Project, SidecarUpdate, UnitResult};

use super::component::{self, Inspection, InspectionView};
use super::output::Output;
use super::response::Response;
use crate::console;
use crate::projects::{self, display_path, join_names};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A plugin's project, a directory of projects, or a script
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Put components into this folder [default: dist in each project]
    #[arg(long, alias = "out", value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Show all imports of the components, and expected skips: roots of workspaces, and directories of tools
    #[arg(long)]
    verbose: bool,
    /// Print JSON: an object for one project, a list for several
    #[arg(long)]
    json: bool,
}

/// The result of building all projects.
#[derive(Debug, Default)]
struct BuildResult {
    inspections: Vec<Inspection>,
    /// The names of the plugins that did not build.
    failed: Vec<String>,
    /// The number of projects.
    count: usize,
    /// Whether the path is a single project.
    is_single: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { path, output: folder, verbose, json } = arguments;
    let result = tokio::task::spawn_blocking(move || build(&path, folder.as_deref(), verbose)).await??;
    let BuildResult { inspections, mut failed, count, is_single } = result;
    let output = Output { json };
    let show = |inspection: &InspectionView| component::show(inspection, verbose);
    match inspections.as_slice() {
        [] => {}
        [inspection] if is_single => output.print(&Response::local(inspection.view())?, show),
        several => {
            let all: Vec<_> = several.iter().map(Inspection::view).collect();
            output.print(&Response::local(all)?, |all| all.iter().map(show).collect::<Vec<_>>().join("\n\n"));
        }
    }
    for inspection in inspections {
        let name = inspection.stem();
        match inspection.verdict() {
            Err(error) if is_single => return Err(error),
            Err(error) => {
                console::print_error(&error);
                failed.push(name);
            }
            Ok(()) => {}
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        [name] if is_single => bail!("the build of {name} failed"),
        names => bail!("{} of {count} projects failed: {}", names.len(), names.join(", ")),
    }
}

/// Builds all projects at a path, even if some of them fail.
fn build(path: &Path, out: Option<&Path>, verbose: bool) -> anyhow::Result<BuildResult> {
    let found = projects::find(path, verbose)?;
    let is_single = found.projects.len() == 1 && found.broken.is_empty();
    if !is_single {
        console::print_status(&format!("building {}", join_names(found.names())));
    }
    let count = found.projects.len() + found.broken.len();
    let mut result = BuildResult { is_single, count, ..BuildResult::default() };
    result.failed.extend(found.broken.iter().map(|_| "a project that cannot be read".to_owned()));
    let units = BuildUnit::of(&found.projects);
    let mut built = Vec::new();
    sandbus_toolchain::build_all(
        &units,
        BuildProfile::Release,
        telemetry::colours(),
        &mut console::print_status,
        &mut |unit| {
            projects::print_messages(&unit);
            built.push(unit);
        },
    );
    built.sort_by_key(|unit| unit.index);
    for UnitResult { index, report, .. } in built {
        let unit = &units[index];
        let report = report.unwrap_or_default();
        result.failed.extend(unit.failed(&report).map(|project| project.name.clone()));
        for artifact in &report.artifacts {
            let Some(project) = unit.projects.iter().find(|project| project.name == artifact.name) else { continue };
            match install(project, artifact, out) {
                Ok(inspection) => result.inspections.push(inspection),
                Err(error) => {
                    console::print_error(&error);
                    result.failed.push(project.name.clone());
                }
            }
        }
    }
    Ok(result)
}

/// Puts a component into its folder with its project's sidecar, and inspects it.
fn install(project: &Project, artifact: &Artifact, out: Option<&Path>) -> anyhow::Result<Inspection> {
    let folder = out.map_or_else(|| project.home().join("dist"), Path::to_owned);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // A named folder may belong to a host, whose operator owns the sidecars.
    let owner = if out.is_some() { FolderOwner::Operator } else { FolderOwner::Build };
    let sidecar = project.sidecar();
    match project.install_sidecar(&folder, BuildProfile::Release, owner)? {
        SidecarUpdate::Copied => {
            console::print_status(&format!("copied {} to {}", display_path(&sidecar), display_path(&folder)))
        }
        SidecarUpdate::LeftToOperator if sidecar.exists() => console::print_status(&format!(
            "kept the sidecar in {}, which differs from {}",
            display_path(&folder),
            display_path(&sidecar)
        )),
        SidecarUpdate::LeftToOperator | SidecarUpdate::Removed | SidecarUpdate::Unchanged | SidecarUpdate::Absent => {}
    }
    console::print_hints(project, artifact);
    artifact.install(&folder)?;
    Inspection::of(&folder.join(artifact.file_name()))
}
