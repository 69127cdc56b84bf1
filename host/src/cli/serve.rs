//! `sandbus serve`.

use crate::clock::Clock;
use crate::config::{Config, ParsedOverrides};
use crate::host::{Host, stop_signal};
use crate::observer::Observer;
use crate::otlp::Otlp;
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    overrides: ParsedOverrides,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.overrides.0)?;
    let otlp = Otlp::from_environment(Clock::System)?;
    telemetry::start_logs(config.log_format, &config.log, otlp.log_layer())?;
    // Before the announcement: a process that is known to run must stop gracefully.
    let stop = stop_signal()?;
    let Some(host) = Host::start(config, Observer::default(), otlp, &stop).await? else {
        tracing::info!("stopped");
        return Ok(());
    };
    host.announce()?;
    host.run(stop).await
}
