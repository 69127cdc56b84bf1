//! `sandbus serve`.

use tokio_util::sync::CancellationToken;

use crate::config::{Config, Overrides};
use crate::host::Host;
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
    announce(&host)?;
    host.run(stop_signal()?).await
}

/// Says where the host is, and which routes lead where.
pub(crate) fn announce(host: &Host) -> anyhow::Result<()> {
    let (address, admin) = (host.address()?, host.admin_address()?);
    for (name, generation) in &host.registry().snapshot().plugins {
        for route in &generation.descriptor.routes {
            tracing::info!(plugin = name, "{} http://{address}{}", route.method, route.path);
        }
        for subscription in &generation.descriptor.subscriptions {
            tracing::info!(plugin = name, subscription = subscription.name, "on {}", subscription.pattern);
        }
    }
    tracing::info!(%address, %admin, version = env!("CARGO_PKG_VERSION"), "listening");
    Ok(())
}

/// A token that is cancelled by SIGTERM and by SIGINT. A second one ends the process at once.
pub(crate) fn stop_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        for attempt in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if attempt > 0 {
                std::process::exit(130);
            }
            asked.cancel();
        }
    });
    Ok(token)
}
