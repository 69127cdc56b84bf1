//! `sandbus why`.

pub(super) mod render;

use super::Remote;
use crate::api::CauseTreeQuery;
use crate::event::ATTRIBUTE_LIMIT;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The id of an event, or of a request (`x-request-id` of its response)
    id: String,
    /// Choose the event of this source, if several events have the id
    #[arg(long)]
    source: Option<String>,
    /// Show at most N events, up to 10,000, but always the given event and those that led to it
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Show the log lines of handlers
    #[arg(long)]
    log: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    if arguments.id.len() > ATTRIBUTE_LIMIT {
        anyhow::bail!("the id has {} bytes, and no id has more than {ATTRIBUTE_LIMIT}", arguments.id.len());
    }
    let query = CauseTreeQuery { source: arguments.source, limit: Some(arguments.limit.into()) };
    let tree = client.cause_tree(&arguments.id, &query).await?;
    output.print(&tree, |tree| render::render(tree, arguments.log));
    Ok(())
}
