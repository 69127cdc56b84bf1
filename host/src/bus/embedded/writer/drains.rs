//! Drained plugins.

use super::super::rows;
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};

/// Whether the set of drained plugins has changed.
#[derive(Default)]
pub(super) struct Changes(bool);

impl Writer {
    pub(super) fn drain(&self, plugin: &str, drained: bool, batch: &mut Batch) -> Result<(), ApplyError> {
        batch.changes.drains = Changes(true);
        Ok(rows::set_drained(&self.connection, plugin, drained)?)
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, _: &mut AfterCommitContext) {
        // An error of the store shows again at the next write. Until then the former set applies.
        if let (true, Ok(drained)) = (self.0, rows::drained(&writer.connection)) {
            writer.shared.set_drained(drained.into_iter().collect());
        }
    }
}
