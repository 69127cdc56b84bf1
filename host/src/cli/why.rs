//! `sandbus why`.

pub(super) mod render;

use super::Remote;
use crate::api::CauseTreeQuery;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The id of an event, or of a request (`x-request-id` of its response)
    id: String,
    /// Choose the event of this source, if several events have the id
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    let query = CauseTreeQuery { source: arguments.source };
    let tree = client.cause_tree(&arguments.id, &query).await?;
    output.print(&tree, render::render);
    Ok(())
}
