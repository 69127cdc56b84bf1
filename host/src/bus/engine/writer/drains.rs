//! Drained plugins.

use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};

/// Plugins, and whether they are drained now.
#[derive(Default)]
pub(super) struct Changes(Vec<(String, bool)>);

impl Writer {
    pub(super) fn drain(&self, plugin: &str, drained: bool, batch: &mut Batch) -> Result<(), ApplyError> {
        self.rows.set_drained(plugin, drained)?;
        batch.changes.drains.0.push((plugin.to_owned(), drained));
        Ok(())
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, _: &mut AfterCommitContext) {
        if self.0.is_empty() {
            return;
        }
        let mut all = writer.shared.catalogue.borrow().drained.clone();
        for (plugin, drained) in self.0 {
            if drained {
                all.insert(plugin);
            } else {
                all.remove(&plugin);
            }
        }
        writer.shared.set_drained(all);
    }
}
