//! `sandbus build`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandbus_toolchain::{BuildReport, Project};

use super::component::{self, Inspection};
use super::output::{self, Output};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The plugin's project
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// The folder that the component is put into [default: dist in the project]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { directory, out, json } = arguments;
    let inspection = tokio::task::spawn_blocking(move || build(&directory, out)).await??;
    Output { json }.print(&inspection.to_json(), component::show);
    inspection.verdict()
}

fn build(directory: &Path, out: Option<PathBuf>) -> anyhow::Result<Inspection> {
    let project = Project::find(directory)?;
    let BuildReport { artifacts, messages, succeeded } = project.build(telemetry::colours(), &mut output::progress)?;
    for message in &messages {
        output::compiler_message(message);
    }
    let artifact = match artifacts.first() {
        Some(artifact) if succeeded => artifact,
        _ => bail!("{} does not build", project.name),
    };
    let out = out.unwrap_or_else(|| project.directory.join("dist"));
    std::fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    artifact.place(&out)?;
    Inspection::of(&out.join(artifact.file_name()))
}
