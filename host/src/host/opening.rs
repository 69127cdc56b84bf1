//! Opens the bus, and waits as a standby while another host uses its store.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{ANNOUNCEMENT, BoundListeners, plugin_paths};
use crate::bus::{self, LeaseWait, Membership, OpenErrorKind, SharedBus, StoreUrl};
use crate::clock::Clock;
use crate::config::Config;
use crate::plugin::{Loader, PluginPaths, precompile};

/// Opens the bus. Until a standby takes over, it tells clients that another host is active. None if `stop` is cancelled
/// during the wait.
pub(super) async fn open_bus(
    config: &Config,
    clock: &Clock,
    loader: &Arc<Loader>,
    listeners: &BoundListeners,
    stop: &CancellationToken,
) -> anyhow::Result<Option<SharedBus>> {
    let membership = listeners.cluster.as_ref().map(|listener| membership(config, listener)).transpose()?;
    let open = |wait| bus::open(&config.bus.url, &config.data, clock.clone(), config.bus.settings(), wait, membership);
    let opened = if config.bus.standby {
        let wait = LeaseWait::standby(stop.clone());
        let (holder, takeover) = (wait.holder(), CancellationToken::new());
        let precompiling = precompile_on_standby(holder.clone(), plugin_paths(config), loader, takeover.clone());
        let precompiling = AbortOnDropHandle::new(tokio::spawn(precompiling));
        let (opened, former) = listeners.answer_standby(holder, open(wait)).await;
        takeover.cancel();
        drop(precompiling);
        if let (Ok(_), Some(former)) = (&opened, former) {
            tracing::info!(target: ANNOUNCEMENT, former, "taking over: the lease of the former host has ended");
        }
        opened
    } else {
        open(LeaseWait::for_expiry(stop.clone())).await
    };
    match opened {
        Err(error) if error.kind() == OpenErrorKind::Cancelled => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// How this host shares the work of others, on a listener.
fn membership(config: &Config, listener: &Arc<TcpListener>) -> anyhow::Result<Membership> {
    if matches!(config.bus.url, StoreUrl::Directory(_)) {
        bail!(
            "cluster.listen needs a store that other hosts can use; set bus.url to a database, or remove cluster.listen"
        );
    }
    let address = config.cluster.advertised(listener.local_addr()?);
    let address = address.context("other hosts cannot connect to `cluster.listen`; set `cluster.advertise`")?;
    Ok(Membership::new(Arc::clone(listener), address))
}

/// Compiles the plugins of the folder once the host stands by, until it takes over.
fn precompile_on_standby(
    mut holder: watch::Receiver<Option<String>>,
    paths: PluginPaths,
    loader: &Arc<Loader>,
    takeover: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let loader = Arc::clone(loader);
    async move {
        if holder.wait_for(Option::is_some).await.is_ok() {
            drop(tokio::task::spawn_blocking(move || precompile(&paths, &loader, &takeover)).await);
        }
    }
}
