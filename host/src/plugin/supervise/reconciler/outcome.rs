//! What comes of a load: what is remembered of the file, and what is said of it.

use std::time::{Duration, Instant};

use super::swap::Swapped;
use super::swap_error::SwapError;
use super::{Declare, Reconciler, Rehearse, Status};
use crate::plugin::run::generation::Generation;
use crate::plugin::supervise::folder::Seen;
use crate::plugin::supervise::record::Pin;
use crate::printable;

/// The longest complaint about a file.
const COMPLAINT_CHARACTERS: usize = 2_000;

impl<W: Declare + Rehearse> Reconciler<W> {
    pub(super) async fn settle(
        &mut self,
        stem: &str,
        seen: Seen,
        result: Result<Option<Swapped>, SwapError>,
        took: Duration,
    ) {
        let now = Instant::now();
        let known = self.files.entry(stem.to_owned()).or_default();
        match result {
            Ok(swapped) => {
                known.settle(seen);
                known.is_stuck = false;
                self.note_loaded(stem, swapped, took).await;
            }
            Err(SwapError::Outdated) => known.hold(now),
            Err(error) if error.may_be_half_written() && !known.is_patience_over(now) => known.hold(now),
            Err(error) => {
                let is_again = known.done.as_ref() == Some(&seen);
                if error.may_pass() {
                    known.settle_for_now(seen, now);
                } else {
                    known.settle(seen);
                }
                self.note_refused(stem, &error, is_again);
            }
        }
    }

    fn note_refused(&self, stem: &str, error: &SwapError, is_again: bool) {
        let before = self.folder.statuses().remove(stem).unwrap_or_default();
        // The file's own words are among them.
        let error: String = printable::block(&error.to_string()).chars().take(COMPLAINT_CHARACTERS).collect();
        // The same complaint about the same file is no news.
        if !is_again || before.error.as_ref() != Some(&error) {
            let running = if before.plugin.is_some() { "; the former one goes on" } else { "" };
            tracing::error!(file = %format!("{stem}.wasm"), "the plugin is not loaded{running}: {error}");
        }
        self.folder.set(stem, Some(Status { error: Some(error), disabled: false, ..before }));
    }

    async fn note_loaded(&mut self, stem: &str, swapped: Option<Swapped>, took: Duration) {
        let former = self.folder.statuses().remove(stem).and_then(|before| before.plugin);
        let name = swapped.as_ref().map(|swapped| swapped.generation.name.to_string());
        if let Some(former) = former.filter(|former| name.as_ref() != Some(former)) {
            self.take_out(former).await;
            self.give_others_a_chance();
        }
        let disabled = swapped.is_none();
        let (mut rolled_back, mut kept) = (None, Vec::new());
        if let Some(Swapped { generation, pin, kept: generations, is_news }) = swapped {
            if is_news {
                tell_of(&generation, pin.as_ref(), took);
            }
            (rolled_back, kept) = (pin, generations);
        }
        self.folder.set(stem, Some(Status { plugin: name, error: None, disabled, rolled_back, kept }));
    }
}

/// Tells of a generation that has taken over.
fn tell_of(generation: &Generation, pin: Option<&Pin>, took: Duration) {
    let withheld = generation.settings.withheld(&generation.descriptor);
    if !withheld.is_empty() {
        tracing::warn!(plugin = %generation.name, withheld = withheld.join(", "), "the plugin asks for more than the sidecar grants");
    }
    if let Some(pin) = pin {
        tracing::warn!(plugin = %generation.name, reason = pin.reason, "an earlier generation runs in place of the file; put in another file to go on");
    }
    tracing::info!(
        plugin = %generation.name,
        version = generation.descriptor.version,
        digest = generation.digest.short(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "plugin loaded"
    );
}
