//! A generation takes over: its routes are claimed, its subscriptions declared, and its file is kept.

use std::sync::Arc;

use super::loading::{Ready, blocking, check_place};
use super::swap_error::SwapError;
use super::{Declare, Reconciler, Rehearse};
use crate::plugin::run::generation::Generation;
use crate::plugin::supervise::archive::Archive;
use crate::plugin::supervise::record::{Kept, Pin, Record};

/// What was swapped in.
pub(super) struct Swapped {
    /// Whether it is another generation than before, or has other rules. Files that are moved away and back are not.
    pub(super) is_news: bool,
    pub(super) generation: Arc<Generation>,
    pub(super) pin: Option<Pin>,
    pub(super) kept: Vec<Kept>,
}

impl<W: Declare + Rehearse> Reconciler<W> {
    /// Lets a generation take over that was made of a file, or of what runs in its place.
    pub(super) async fn swap_in(&mut self, stem: &str, ready: Ready) -> Result<Swapped, SwapError> {
        let Ready { generation, bytes, pin, memory } = ready;
        check_place(&self.registry, &self.folder, stem, &generation)?;
        self.claim(stem, &generation).await?;
        let former = self.registry.snapshot().plugins.get(&*generation.name).cloned();
        let is_as_before = former.as_ref().is_some_and(|former| {
            former.digest == generation.digest && former.settings.sidecar == generation.settings.sidecar
        });
        let status = self.folder.statuses().remove(stem).unwrap_or_default();
        let is_news = !is_as_before || status.error.is_some() || status.rolled_back != pin;
        self.put(&generation).await?;
        let routes = &generation.descriptor.routes;
        if former.is_some_and(|former| former.descriptor.routes.iter().any(|route| !routes.contains(route))) {
            self.give_others_a_chance();
        }

        // It runs; to keep its file can wait until then, and what was said of another file holds until then.
        let (archive, stem, kept) = (self.archive.clone(), stem.to_owned(), self.kept(&generation));
        let is_pinned = pin.is_some();
        let record = blocking(move || Ok(keep(&archive, &stem, kept, &bytes, is_pinned))).await;
        drop(memory);
        Ok(Swapped { is_news, generation, pin, kept: record.map(|record| record.kept).unwrap_or_default() })
    }

    /// Makes a generation's routes its plugin's, unless one would take requests from another plugin's. Durable before
    /// the first request comes, so that a restart decides alike.
    pub(super) async fn claim(&mut self, stem: &str, generation: &Generation) -> Result<(), SwapError> {
        let (archive, name) = (self.archive.clone(), stem.to_owned());
        let has_run = self.claims.is_new()
            && blocking(move || Ok(archive.record(&name)?)).await.is_ok_and(|record| !record.kept.is_empty());
        if !has_run {
            self.claims.check(stem, generation, &self.present)?;
        }
        let claims = self.claims.with(stem, generation, &self.present);
        if !claims.is_like(&self.claims) {
            let stored = claims.clone();
            blocking(move || stored.store().map_err(SwapError::Claim)).await?;
        }
        self.claims = claims;
        Ok(())
    }

    pub(super) fn kept(&self, generation: &Generation) -> Kept {
        let (digest, version) = (generation.digest.as_str().to_owned(), generation.descriptor.version.clone());
        Kept { digest, version, since: self.clock.now(), rolled_back_from: false }
    }

    /// Lets a generation take over.
    pub(super) async fn put(&self, generation: &Arc<Generation>) -> Result<(), SwapError> {
        let declared = generation.settings.declared.clone();
        let orphans = self.wings.declare(generation.name.to_string(), declared).await.map_err(SwapError::Declare)?;
        for subscription in orphans {
            tracing::warn!(plugin = %generation.name, subscription, "the plugin no longer declares this subscription; it is paused and keeps its backlog");
        }
        self.registry.put(Arc::clone(generation));
        Ok(())
    }
}

/// Keeps the file of what runs, as far as that is possible.
fn keep(archive: &Archive, stem: &str, kept: Kept, bytes: &[u8], is_pinned: bool) -> Record {
    let runs = kept.digest.clone();
    let error = match archive.keep(stem, kept, bytes, is_pinned) {
        Ok(record) => return record,
        Err(error) => error,
    };
    tracing::error!(plugin = stem, %error, "the plugin's file cannot be kept; there will be no way back to it");
    if !is_pinned && let Err(error) = archive.unpin(stem, &runs) {
        tracing::error!(file = stem, %error, "the end of a rollback cannot be stored");
    }
    archive.record(stem).unwrap_or_default()
}
