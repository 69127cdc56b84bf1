//! `sandbus rollback`.

use super::Remote;
use super::completions::live;
use super::output::{cell, digest};
use crate::api::RollbackQuery;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name of the plugin
    #[arg(add = live::plugins())]
    name: String,
    /// Return to the generation whose digest starts with DIGEST [default: the previous one]
    #[arg(long, value_name = "DIGEST", add = live::generations())]
    to: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { name, to, remote } = arguments;
    let (client, output) = remote.connect();
    let response = client.roll_back(&name, &RollbackQuery { to }).await?;
    output.print(&response, |response| {
        let until = if response.is_file {
            ", which is the file in the folder"
        } else {
            ", until the file in the folder changes"
        };
        format!(
            "instead of {}, {name} runs {} (version {}){until}",
            digest(Some(&response.from)),
            digest(Some(&response.to)),
            cell(&response.version)
        )
    });
    Ok(())
}
