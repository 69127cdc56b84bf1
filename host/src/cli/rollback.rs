//! `sandbus rollback`.

use super::Remote;
use super::output::{cell, digest};
use crate::api::RollbackQuery;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name of the plugin
    name: String,
    /// The digest, or its beginning, of the generation to go back to [default: the previous one]
    #[arg(long, value_name = "DIGEST")]
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
            "this is the file in the folder"
        } else {
            "it runs until the file in the folder changes"
        };
        format!(
            "{name} runs {} (version {}) in place of {}; {until}",
            digest(Some(&response.to)),
            cell(&response.version),
            digest(Some(&response.from))
        )
    });
    Ok(())
}
