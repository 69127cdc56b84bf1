//! Retries waiting deliveries as soon as another version of their plugin runs, instead of when their delays have
//! passed.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use crate::bus::{AttemptRecord, DeliveryFilter, SharedBus};
use crate::plugin::{Generation, Registry};
use crate::retry::Verdict;
use crate::subscription::{SubscriptionId, Target};

/// Why a delivery is retried: its plugin was swapped, or has just started.
const FAILED: &str = "failed with an earlier version";
const WAITED: &str = "waited for a retry";

/// Retries waiting deliveries.
#[derive(Clone, Debug)]
pub(super) struct Retries {
    pub(super) bus: SharedBus,
    pub(super) registry: Registry,
}

impl Retries {
    /// Retries the waiting deliveries of each plugin that is loaded or swapped, until it is cancelled.
    pub(super) async fn run(self, cancelled: CancellationToken) {
        let mut changes = self.registry.changes();
        let mut loaded: BTreeMap<String, Weak<Generation>> = BTreeMap::new();
        loop {
            let snapshot = Arc::clone(&changes.borrow_and_update());
            for (plugin, generation) in &snapshot.plugins {
                let generation = Arc::downgrade(generation);
                let former = loaded.insert(plugin.clone(), Weak::clone(&generation));
                match former {
                    Some(former) if former.ptr_eq(&generation) => {}
                    Some(_) => self.retry_plugin(plugin, FAILED).await,
                    None => self.retry_plugin(plugin, WAITED).await,
                }
            }
            drop(snapshot);
            tokio::select! {
                () = cancelled.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Retries a delivery that failed with an earlier version while the swap took place.
    pub(super) async fn check(&self, record: &AttemptRecord) {
        let subscription = &record.delivery.subscription;
        let Verdict::RetryAfter { .. } = record.verdict else { return };
        let snapshot = self.registry.snapshot();
        let Some(current) = snapshot.plugins.get(&subscription.owner) else { return };
        if record.digest.as_deref().is_some_and(|digest| digest != current.digest.as_str()) {
            self.retry(subscription, FAILED).await;
        }
    }

    async fn retry_plugin(&self, plugin: &str, why: &str) {
        let catalogue = Arc::clone(&self.bus.catalogue().borrow());
        for entry in catalogue.subscriptions() {
            if matches!(&entry.definition.target, Target::Plugin(target) if target == plugin) {
                self.retry(&entry.id, why).await;
            }
        }
    }

    async fn retry(&self, subscription: &SubscriptionId, why: &str) {
        let filter = DeliveryFilter { subscription: Some(subscription.clone()), ..DeliveryFilter::default() };
        match self.bus.retry_now(filter).await {
            Ok(0) => {}
            Ok(1) => tracing::info!(%subscription, "retrying 1 delivery that {why}"),
            Ok(count) => {
                tracing::info!(%subscription, "retrying {count} deliveries that {why}")
            }
            // It may have been deleted.
            Err(error) => tracing::debug!(%subscription, %error, "cannot retry"),
        }
    }
}
