//! `sandbus serve`.

use crate::config::{Config, Overrides};
use crate::host::{Host, stop_signal};
use crate::observer::Observer;
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    overrides: Overrides,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.overrides)?;
    telemetry::start_logs(config.log_format, &config.log)?;
    let host = Host::start(config, Observer::default()).await?;
    host.announce()?;
    host.run(stop_signal()?).await
}
