//! Applies changes of the configuration file while the host runs: after SIGHUP, and when the file has changed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use super::{HostConfig, systemd, view_configuration};
use crate::api::ConfigurationView;
use crate::bus::SharedBus;
use crate::config::{Config, FileStamp, ReloadError, ReloadReport};
use crate::ingress::Producers;
use crate::ledger::Recorder;
use crate::outbound;
use crate::plugin::{Loader, ReconcilerHandle};
use crate::server::PublicListenerRules;
use crate::telemetry;

/// How often the file is checked. A file that is being written is reloaded once it stays as it is for this long.
const POLL: Duration = Duration::from_secs(1);

/// The metric of a file that cannot be applied.
const REFUSED: &str = "sandbus_configuration_refused";

/// The running parts whose settings can change.
pub(super) struct Reloader {
    pub(super) config: HostConfig,
    pub(super) bus: SharedBus,
    pub(super) producers: Arc<ArcSwap<Producers>>,
    pub(super) public_rules: Option<Arc<ArcSwap<PublicListenerRules>>>,
    pub(super) recorder: Recorder,
    pub(super) client: outbound::Client,
    pub(super) loader: Arc<Loader>,
    pub(super) reconciler: ReconcilerHandle,
    pub(super) view: Arc<ArcSwap<ConfigurationView>>,
    /// The stream of SIGHUP, if SIGHUP triggers a reload.
    pub(super) hangups: Option<Signal>,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reloader").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Reloader {
    /// Reloads until it is cancelled.
    pub(super) async fn run(mut self, cancelled: CancellationToken) {
        let Some((file, mut loaded)) = self.config.load().file().map(|(file, stamp)| (file.to_owned(), stamp)) else {
            return;
        };
        metrics::gauge!(REFUSED).set(0.0);
        let mut last = loaded;
        loop {
            let is_signal = tokio::select! {
                () = cancelled.cancelled() => return,
                () = hangup(&mut self.hangups) => true,
                () = tokio::time::sleep(POLL) => false,
            };
            let now = stamp_of(&file).await;
            let is_settled = now == std::mem::replace(&mut last, now);
            if is_signal || is_settled && now != loaded {
                loaded = now;
                self.reload().await;
            }
        }
    }

    async fn reload(&self) {
        systemd::notify_reloading();
        let mut is_refused = false;
        match self.apply().await {
            Ok(ReloadReport { applied, pending }) if applied.is_empty() && pending.is_empty() => {
                tracing::info!("the configuration has not changed");
            }
            Ok(ReloadReport { applied, pending }) => {
                if !applied.is_empty() {
                    tracing::info!(applied = applied.join(", "), "the configuration was reloaded");
                }
                if !pending.is_empty() {
                    tracing::warn!(
                        pending = pending.join(", "),
                        "restart the host to apply the rest of the configuration"
                    );
                }
            }
            Err(error) => {
                is_refused = true;
                for fault in error.faults() {
                    tracing::error!(fault, "the configuration was not reloaded; the host keeps the current one");
                }
            }
        }
        metrics::gauge!(REFUSED).set(if is_refused { 1.0 } else { 0.0 });
        systemd::notify(&[NotifyState::Ready]);
    }

    /// Loads the configuration and applies what has changed.
    async fn apply(&self) -> Result<ReloadReport, ReloadError> {
        let mut config = Config::clone(&self.config.load());
        let (client, loader) = (self.client.clone(), Arc::clone(&self.loader));
        let loaded = tokio::task::spawn_blocking(move || {
            let report = config.reload()?;
            let has_changed = |section: &str| report.applied.iter().any(|key| key.starts_with(section));
            // Everything that can fail comes first, so that the new configuration applies as a whole or not at all.
            let producers =
                Producers::load(config.events.clone()).map_err(|error| ReloadError::of("ingress.events", &error))?;
            if has_changed("outbound.") {
                client.reconfigure(&config.outbound).map_err(|error| ReloadError::of("outbound", &error))?;
            }
            if !config.log.is_empty() && has_changed("log") {
                telemetry::set_filter(&config.log).map_err(|error| ReloadError::of("log", &error))?;
            }
            let concerns_plugins =
                ["sandbox.", "outbound.networks", "secrets.", "link_roots"].into_iter().any(has_changed);
            if concerns_plugins {
                loader.set_host_settings(config.host_settings());
            }
            let producers = has_changed("ingress.events").then_some(producers);
            Ok((config, report, producers, concerns_plugins))
        });
        let loaded = loaded.await.map_err(|error| ReloadError::of("reload", &error))?;
        let (config, report, producers, concerns_plugins) = loaded?;
        if let Some(producers) = producers {
            self.producers.store(Arc::new(producers));
        }
        if let Some(public_rules) = &self.public_rules {
            public_rules.store(Arc::new(config.ingress_rules.clone()));
        }
        self.bus.set_limits(&config.bus.settings());
        self.recorder.reconfigure(&config.ledger);
        if concerns_plugins {
            self.reconciler.reload(&config.link_roots, self.loader.host_settings().secrets.clone()).await;
        }
        self.view.store(Arc::new(view_configuration(&config)));
        self.config.store(Arc::new(config));
        Ok(report)
    }
}

/// Waits for SIGHUP, or forever if SIGHUP does not trigger a reload.
async fn hangup(signal: &mut Option<Signal>) {
    match signal {
        // The stream of a signal never ends.
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

async fn stamp_of(file: &Path) -> FileStamp {
    let file = file.to_owned();
    let stamp = tokio::task::spawn_blocking(move || FileStamp::of(&file)).await;
    stamp.expect("reading the metadata of a file does not panic")
}
