//! Swaps: a generation takes its routes, its subscriptions are declared, it enters the registry, and its file is
//! archived.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::loading::{Candidate, check_conflicts, run_blocking};
use super::swap_error::SwapError;
use super::{CanaryRunner, Reconciler, SubscriptionRegistrar};
use crate::plugin::deploy::archive::Archive;
use crate::plugin::deploy::generation_record::{ArchivedGeneration, GenerationRecord, Pin};
use crate::plugin::manifest::capabilities::Capabilities;
use crate::plugin::run::generation::Generation;

/// The result of a swap.
pub(super) struct SwapResult {
    /// Whether the generation, its sidecar or a secret has changed. Nothing has changed if a file was only moved away
    /// and back.
    pub(super) is_new: bool,
    pub(super) generation: Arc<Generation>,
    pub(super) pin: Option<Pin>,
    pub(super) generations: Vec<ArchivedGeneration>,
}

impl<S: SubscriptionRegistrar + CanaryRunner> Reconciler<S> {
    /// Swaps in a generation loaded from the folder, or from the archive because of a pin.
    pub(super) async fn swap_in(&mut self, stem: &str, ready: Candidate) -> Result<SwapResult, SwapError> {
        let Candidate { generation, bytes, pin, memory } = ready;
        check_conflicts(&self.registry, &self.handle, stem, &generation)?;
        self.take_routes(stem, &generation).await?;
        let former = self.registry.snapshot().plugins.get(&*generation.name).cloned();
        let is_as_before = former.as_ref().is_some_and(|former| {
            former.digest == generation.digest
                && former.settings.sidecar == generation.settings.sidecar
                && former.settings.config == generation.settings.config
                && former.settings.imports == generation.settings.imports
        });
        let status = self.handle.statuses().remove(stem).unwrap_or_default();
        let is_new = !is_as_before || status.error.is_some() || status.rolled_back != pin;
        self.activate(&generation).await?;
        let routes = &generation.descriptor.routes;
        if former.is_some_and(|former| former.descriptor.routes.iter().any(|route| !routes.contains(route))) {
            self.retry_refused();
        }

        // The generation runs now. Until here the swap could fail, so its file is archived and the pin of another file
        // is cleared only now.
        let (archive, stem, entry) = (self.archive.clone(), stem.to_owned(), self.archive_entry(&generation));
        let is_pinned = pin.is_some();
        let record = run_blocking(move || Ok(archive_file(&archive, &stem, entry, &bytes, is_pinned))).await;
        drop(memory);
        Ok(SwapResult {
            is_new,
            generation,
            pin,
            generations: record.map(|record| record.generations).unwrap_or_default(),
        })
    }

    /// Records the plugin as the owner of its routes, unless a route would take requests from another plugin's route.
    /// The record is durable before the first request, so that the owner is the same after a restart.
    pub(super) async fn take_routes(&mut self, stem: &str, generation: &Generation) -> Result<(), SwapError> {
        let (archive, name) = (self.archive.clone(), stem.to_owned());
        let has_run = self.route_owners.has_no_record()
            && run_blocking(move || Ok(archive.record(&name)?))
                .await
                .is_ok_and(|record| !record.generations.is_empty());
        if !has_run {
            self.route_owners.check(stem, generation, &self.present)?;
        }
        let route_owners = self.route_owners.with(stem, generation, &self.present);
        if !route_owners.has_same_routes(&self.route_owners) {
            let stored = route_owners.clone();
            run_blocking(move || stored.store().map_err(SwapError::StoreRoutes)).await?;
        }
        self.route_owners = route_owners;
        Ok(())
    }

    pub(super) fn archive_entry(&self, generation: &Generation) -> ArchivedGeneration {
        let (digest, version) = (generation.digest.as_str().to_owned(), generation.descriptor.version.clone());
        let capabilities = Some(Capabilities::of(&generation.descriptor, &generation.settings));
        ArchivedGeneration { digest, version, since: self.clock.now(), rolled_back_from: false, capabilities }
    }

    /// Declares the generation's subscriptions and puts it into the registry.
    pub(super) async fn activate(&mut self, generation: &Arc<Generation>) -> Result<(), SwapError> {
        let declared = generation.settings.declared.clone();
        let orphans = self.services.declare(generation.name.to_string(), declared).await.map_err(SwapError::Declare)?;
        let orphans: BTreeSet<_> = orphans.into_iter().collect();
        // Each is reported once, until the plugin declares it again.
        let reported = self.orphans.insert(generation.name.to_string(), orphans.clone()).unwrap_or_default();
        for subscription in orphans.difference(&reported) {
            let (plugin, subscription) = (&*generation.name, subscription.as_str());
            tracing::warn!(
                plugin,
                subscription,
                "the plugin no longer declares this subscription; it has no handler, and its backlog grows with each event that matches; delete it with `sandbus subscriptions delete {plugin}/{subscription}`"
            );
        }
        self.registry.put(Arc::clone(generation));
        Ok(())
    }
}

/// Archives the file of the running generation. A failure is logged and does not stop the plugin.
fn archive_file(
    archive: &Archive,
    stem: &str,
    entry: ArchivedGeneration,
    bytes: &[u8],
    is_pinned: bool,
) -> GenerationRecord {
    let runs = entry.digest.clone();
    let error = match archive.store_generation(stem, entry, bytes, is_pinned) {
        Ok(record) => return record,
        Err(error) => error,
    };
    tracing::error!(plugin = stem, %error, "the plugin's file could not be archived; this generation cannot be rolled back to");
    if !is_pinned && let Err(error) = archive.unpin(stem, &runs) {
        tracing::error!(file = stem, %error, "the pin of an ended rollback could not be removed; it takes effect again at the next restart");
    }
    archive.record(stem).unwrap_or_default()
}
