//! Tracks whether the ledger can be written. An outage is reported only when it begins and when it ends, no matter how
//! often writing fails in between.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::database::LedgerError;
use super::super::shared::{Outage, Shared};
use crate::clock::Timestamp;

/// How long to wait before the next attempt to write, after a failure.
const PAUSE: Duration = Duration::from_secs(2);
/// How long writing must succeed before an outage is over.
const RECOVERY: Duration = Duration::from_secs(3);

/// Tracks outages.
pub(super) struct OutageTracker {
    path: PathBuf,
    shared: Arc<Shared>,
    current: Option<Current>,
}

/// The outage in progress.
struct Current {
    reason: String,
    /// The number of records that were lost before it.
    lost_before: u64,
    /// When writing was last tried and failed. None if it may be tried now.
    failed_at: Option<Timestamp>,
    /// Whether retrying is pointless.
    is_final: bool,
    /// Since when writing has worked again.
    works_since: Option<Timestamp>,
}

impl OutageTracker {
    pub(super) fn new(path: PathBuf, shared: Arc<Shared>) -> Self {
        Self { path, shared, current: None }
    }

    /// Whether the ledger may be tried now.
    pub(super) fn may_try(&self) -> bool {
        let Some(current) = &self.current else { return true };
        !current.is_final && current.failed_at.is_none_or(|at| self.has_passed(PAUSE, at))
    }

    /// Whether a time has passed since a moment. The clock may have been set back.
    fn has_passed(&self, time: Duration, since: Timestamp) -> bool {
        u128::from(self.shared.clock.now().0.abs_diff(since.0)) >= time.as_millis()
    }

    /// Allows the next attempt at once.
    pub(super) fn try_now(&mut self) {
        if let Some(current) = &mut self.current {
            current.failed_at = None;
        }
    }

    /// The reason of the outage, if there is one.
    pub(super) fn reason(&self) -> Option<&str> {
        self.current.as_ref().map(|current| current.reason.as_str())
    }

    /// Whether this process can never write the file, because a newer version wrote it.
    pub(super) fn is_final(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.is_final)
    }

    /// Notes that writing failed.
    pub(super) fn begin(&mut self, error: &LedgerError) {
        let is_final = matches!(error, LedgerError::Version(_));
        let advice = match is_final {
            true => "run the Sandbus that wrote it, or move the file away and restart the host",
            false => "the host tries again every few seconds",
        };
        let now = self.shared.clock.now();
        if let Some(current) = &mut self.current {
            (current.failed_at, current.works_since) = (Some(now), None);
            current.is_final |= is_final;
            return;
        }
        let (path, reason) = (self.path.display(), error.to_string());
        tracing::warn!(
            "the ledger {path} cannot be written: {reason}; attempts and requests are not recorded, everything else works; {advice}"
        );
        self.shared.set_outage(Some(Outage { since: now, reason: reason.clone() }));
        let lost_before = self.shared.lost();
        self.current = Some(Current { reason, lost_before, failed_at: Some(now), is_final, works_since: None });
    }

    /// Notes that writing worked.
    pub(super) fn note_success(&mut self) {
        if let Some(current) = &mut self.current {
            current.works_since.get_or_insert_with(|| self.shared.clock.now());
            current.failed_at = None;
        }
    }

    /// Ends the outage if writing has worked for a while.
    pub(super) fn end_if_over(&mut self) {
        let works = self.current.as_ref().and_then(|current| current.works_since);
        if !works.is_some_and(|since| self.has_passed(RECOVERY, since)) {
            return;
        }
        let lost = self.current.take().map_or(0, |current| self.shared.lost() - current.lost_before);
        self.shared.set_outage(None);
        let path = self.path.display();
        tracing::info!(lost, "the ledger {path} can be written again; {lost} records were lost");
    }
}
