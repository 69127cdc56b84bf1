//! Records the result of a load: in the file's state, in the folder's status, and in the log.

use std::time::{Duration, Instant};

use super::swap::SwapResult;
use super::swap_error::SwapError;
use super::{CanaryRunner, FileStatus, Reconciler, SubscriptionRegistrar};
use crate::plugin::deploy::folder::FileFingerprint;
use crate::plugin::deploy::generation_record::Pin;
use crate::plugin::run::generation::Generation;
use crate::printable;

/// The longest error that is shown for a file.
const MAX_ERROR_CHARACTERS: usize = 2_000;

impl<S: SubscriptionRegistrar + CanaryRunner> Reconciler<S> {
    pub(super) async fn record_outcome(
        &mut self,
        stem: &str,
        fingerprint: FileFingerprint,
        result: Result<Option<SwapResult>, SwapError>,
        took: Duration,
    ) {
        let now = Instant::now();
        let state = self.files.entry(stem.to_owned()).or_default();
        match result {
            Ok(swapped) => {
                state.mark_processed(fingerprint);
                state.rollback_failed = false;
                self.record_load(stem, swapped, took).await;
                self.end_changes(stem, None).await;
            }
            Err(SwapError::Outdated) => state.pause(now),
            Err(error) if error.may_be_half_written() && !state.is_grace_over(now) => state.pause(now),
            Err(error) => {
                let is_retry = state.processed.as_ref() == Some(&fingerprint);
                if error.is_transient() {
                    state.retry_later(fingerprint, now);
                } else {
                    state.mark_processed(fingerprint);
                }
                let error = self.record_refusal(stem, &error, is_retry);
                self.end_changes(stem, Some(&error)).await;
            }
        }
    }

    /// Records why a file was refused, and returns the text that is shown for it.
    fn record_refusal(&self, stem: &str, error: &SwapError, is_retry: bool) -> String {
        let before = self.handle.statuses().remove(stem).unwrap_or_default();
        // The text may quote the file.
        let error: String = printable::block(&error.to_string()).chars().take(MAX_ERROR_CHARACTERS).collect();
        // An unchanged error is logged once.
        if !is_retry || before.error.as_ref() != Some(&error) {
            let running = if before.plugin.is_some() { "; its previous generation keeps running" } else { "" };
            let plugin = before.plugin.as_deref().unwrap_or(stem);
            tracing::error!(plugin, file = %format!("{stem}.wasm"), "plugin not loaded{running}: {error}");
        }
        self.handle.set(stem, Some(FileStatus { error: Some(error.clone()), disabled: false, ..before }));
        error
    }

    async fn record_load(&mut self, stem: &str, swapped: Option<SwapResult>, took: Duration) {
        let before = self.handle.statuses().remove(stem).unwrap_or_default();
        let (former, former_disabled) = (before.plugin.clone(), before.plugin.or(before.disabled_plugin));
        let name = swapped.as_ref().map(|swapped| swapped.generation.name.to_string());
        if let Some(former) = former.filter(|former| name.as_ref() != Some(former)) {
            self.remove_plugin(former).await;
            self.retry_refused();
        }
        let disabled = swapped.is_none();
        let disabled_plugin = former_disabled.filter(|_| disabled);
        let (mut rolled_back, mut generations) = (None, Vec::new());
        if let Some(SwapResult { generation, pin, generations: archived, is_new }) = swapped {
            if is_new {
                log_loaded(&generation, pin.as_ref(), took);
            }
            (rolled_back, generations) = (pin, archived);
        }
        self.handle.set(
            stem,
            Some(FileStatus { plugin: name, error: None, disabled, disabled_plugin, rolled_back, generations }),
        );
    }
}

/// Logs that a generation has taken over.
fn log_loaded(generation: &Generation, pin: Option<&Pin>, took: Duration) {
    let withheld = generation.settings.withheld(&generation.descriptor);
    if !withheld.is_empty() {
        tracing::warn!(plugin = %generation.name, withheld = withheld.join(", "), "the plugin requests more than its sidecar grants");
    }
    if let Some(pin) = pin {
        tracing::warn!(plugin = %generation.name, reason = pin.reason, "an earlier generation runs instead of the file; deploy another file to end the rollback");
    }
    tracing::info!(
        plugin = %generation.name,
        version = generation.descriptor.version,
        digest = generation.digest.short(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "plugin loaded"
    );
}
