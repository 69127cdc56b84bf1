//! `sandbus inspect`.

use std::path::PathBuf;

use super::against::{self, Against, ComparisonView};
use super::component::{self, Inspection};
use super::output::Output;
use super::response::Response;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The component to inspect
    file: PathBuf,
    /// Compare the component's imports and exports with what a platform provides, instead of loading it
    #[arg(long, value_enum, value_name = "PLATFORM")]
    against: Option<Against>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(against) = arguments.against {
        let view = tokio::task::spawn_blocking(move || ComparisonView::of(&arguments.file, against)).await??;
        let response = Response::local(view)?;
        Output { json: arguments.json }.print(&response, against::show);
        return response.value().verdict();
    }
    let inspection = tokio::task::spawn_blocking(move || Inspection::of(&arguments.file)).await??;
    Output { json: arguments.json }.print(&Response::local(inspection.view())?, |view| component::show(view, true));
    inspection.verdict()
}
