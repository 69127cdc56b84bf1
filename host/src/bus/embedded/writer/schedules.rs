//! Due events, and the schedules of plugins.

use super::super::rows;
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::Batch;
use crate::bus::StoreError;
use crate::event::Event;
use crate::subscription::Declaration;

/// The maximum number of due events that enter the log in one commit.
const PROMOTE_LIMIT: usize = 256;

/// Whether the next due time may have changed.
#[derive(Default)]
pub(super) struct Changes(bool);

impl Changes {
    pub(super) fn mark(&mut self) {
        self.0 = true;
    }

    pub(super) fn is_marked(&self) -> bool {
        self.0
    }
}

impl Writer {
    /// Appends due events to the log.
    pub(super) fn promote(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.changes.schedules.mark();
        for removed in rows::take_scheduled(&self.connection, batch.now, PROMOTE_LIMIT)? {
            self.uncount_scheduled(&removed, batch)?;
            self.append_due(removed.event, batch)?;
        }
        let mut remaining = PROMOTE_LIMIT;
        for declared in rows::due_schedules(&self.connection, batch.now, PROMOTE_LIMIT)? {
            let Some(next) = declared.next else { continue };
            let (plugin, name, schedule) = (&declared.plugin, &declared.name, &declared.schedule);
            let due = schedule.due(next, batch.now, remaining);
            remaining -= due.ticks.len();
            for tick in due.ticks {
                let id = self.shared.ids.tick(plugin, name, tick);
                self.append_due(schedule.event(id, plugin, name, tick), batch)?;
            }
            rows::move_schedule(&self.connection, plugin, name, due.next)?;
            if remaining == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Appends an event that is due. If another event has its source and id, that is reported.
    fn append_due(&mut self, event: Event, batch: &mut Batch) -> Result<(), StoreError> {
        let (source, id, event_type) = (event.source.clone(), event.id.clone(), event.event_type.clone());
        if !self.append(event, batch)?.is_new() {
            tracing::error!(
                source,
                id,
                event_type,
                "lost an event that was due, because another one has its source and id"
            );
            crate::bus::counters::collided();
        }
        Ok(())
    }

    /// Stores the schedules that a plugin declares, and starts them. A schedule whose times are unchanged continues, so
    /// that its missed ticks are known.
    pub(super) fn declare_schedules(
        &self,
        plugin: &str,
        declaration: &Declaration,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        rows::set_running(&self.connection, plugin, true)?;
        batch.changes.schedules.mark();
        for stored in rows::schedules(&self.connection)? {
            let is_declared = declaration.schedules.iter().any(|(name, _)| *name == stored.name);
            if stored.plugin == plugin && !is_declared {
                rows::delete_schedule(&self.connection, plugin, &stored.name)?;
            }
        }
        for (name, schedule) in &declaration.schedules {
            let stored = rows::find_schedule(&self.connection, plugin, name)?;
            let unchanged = stored.filter(|stored| {
                stored.schedule.cron == schedule.cron && stored.schedule.timezone == schedule.timezone
            });
            let next = unchanged.map_or_else(|| schedule.after(batch.now), |stored| stored.next);
            rows::put_schedule(&self.connection, plugin, name, schedule, next)?;
        }
        Ok(())
    }

    /// Suspends the schedules of a plugin until it is declared again.
    pub(super) fn withdraw(&self, plugin: &str, batch: &mut Batch) -> Result<(), StoreError> {
        batch.changes.schedules.mark();
        rows::set_running(&self.connection, plugin, false)
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, _: &mut AfterCommitContext) {
        if !self.0 {
            return;
        }
        let next = rows::next_scheduled(&writer.connection);
        // An error of the store shows again at the next write. Until then the former time applies.
        if let (Ok(next), Ok(has_scheduled)) = (next, rows::has_scheduled(&writer.connection)) {
            writer.has_scheduled = has_scheduled;
            writer.shared.next_scheduled.send_replace(next);
        }
    }
}
