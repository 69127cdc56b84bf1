//! `sandbus compact`.

use super::Remote;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    let answer = client.compact().await?;
    output.print(&answer, |answer| format!("deleted: {}", answer.deleted));
    Ok(())
}
