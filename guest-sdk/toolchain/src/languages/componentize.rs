//! Runs the tools that make the components of scripts.

use std::process::Command;
use std::time::Duration;

use crate::artifact::ArtifactForm;
use crate::build_cache::BuildCache;
use crate::build_report::BuildReport;
use crate::project::Project;
use crate::{Error, run};

/// How long a tool may take to make a component. It runs the plugin's modules.
const TOOL_TIME: Duration = Duration::from_mins(5);

/// Runs a tool that builds a project's component. The tool's messages are in the report.
pub(crate) fn componentize(
    command: &mut Command,
    project: &Project,
    build_cache: &BuildCache,
) -> Result<BuildReport, Error> {
    let Some(output) = run::output_within(command, TOOL_TIME)? else {
        return Ok(BuildReport::failed(format!(
            "making the component of {} took more than {} minutes and was stopped; code that runs when the modules \
             are loaded may never end, such as a loop outside of handlers",
            project.name,
            TOOL_TIME.as_secs() / 60
        )));
    };
    let mut report = BuildReport::made(project.artifact(build_cache.component().to_owned(), ArtifactForm::Component));
    let said = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    report.messages = said.into_iter().filter(|text| !text.is_empty()).collect();
    if output.status.success() {
        build_cache.mark_current()?;
    } else {
        report.artifacts.clear();
        report.succeeded = false;
    }
    Ok(report)
}
