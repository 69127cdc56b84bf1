//! `sandbus inspect`.

use std::path::PathBuf;

use super::component::{self, Inspection};
use super::output::Output;
use super::response::Response;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The component to inspect
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let inspection = tokio::task::spawn_blocking(move || Inspection::of(&arguments.file)).await??;
    Output { json: arguments.json }.print(&Response::local(inspection.view())?, |view| component::show(view, true));
    inspection.verdict()
}
