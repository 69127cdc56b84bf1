//! Clocks that are set back.

use std::time::Duration;

use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::Batch;
use crate::bus::StoreError;
use crate::bus::window::Due;

/// Steps back of at most this length are clock adjustments, and are ignored.
const TOLERANCE: Duration = Duration::from_secs(1);

/// By how much the clock was set back since the last commit, if it was.
#[derive(Default)]
pub(super) struct Changes(Option<Duration>);

impl Writer {
    /// Moves pending retries and holds if the clock was set back. They wait for a duration, not for a time of day.
    pub(super) fn follow_clock(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let by = self.last_commit_at.since(batch.now);
        if by <= TOLERANCE {
            return Ok(());
        }
        tracing::warn!(by = %humantime::format_duration(by), "the clock was set back; pending retries and holds move with it");
        batch.changes.clock = Changes(Some(by));
        self.rows.shift_pending(batch.now, by)?;
        self.rows.shift_holds(by)
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
        writer.last_commit_at = context.now;
        let Some(by) = self.0 else { return };
        writer.shared.holds.shift(by);
        for subscription in writer.feeds.values() {
            subscription.window().note_row_due(Due::Now);
            context.wake(subscription);
        }
    }
}
