//! Rust: cargo builds the crates of a workspace.

mod prebuilt;

use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::build_profile::BuildProfile;
use crate::build_report::BuildReport;
use crate::cargo::{QUICK, RELEASE, build_with_steps};
use crate::causes::causes;
use crate::project::Project;
use crate::toolchain::{Toolchain, ToolchainSource};

/// Builds the crates of a workspace.
pub(crate) fn build(
    projects: &[Project],
    profile: BuildProfile,
    colour: bool,
    say: &mut dyn FnMut(&str),
) -> Result<BuildReport, Error> {
    let toolchain = toolchain(say)?;
    let members: Vec<_> = projects.iter().filter_map(|project| Some((project, project.package.as_ref()?))).collect();
    let Some((_, first)) = members.first() else { return Ok(BuildReport::default()) };
    let target = first.quick_target();
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
    let mut report = build_with_steps(&toolchain, &first.workspace, &arguments, colour, say)?;
    report.artifacts.retain_mut(|artifact| {
        let project = members.iter().find(|(_, unit)| unit.lib_name == artifact.name);
        project.map(|(project, _)| artifact.name.clone_from(&project.name)).is_some()
    });
    Ok(report)
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
