//! Due events, and the schedules of plugins.

use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::Batch;
use crate::bus::StoreError;
use crate::event::Event;
use crate::subscription::Declaration;

/// The maximum number of due events that enter the log in one commit.
const APPEND_DUE_LIMIT: usize = 256;

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
    pub(super) fn append_due(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.changes.schedules.mark();
        for removed in self.rows.take_scheduled(batch.now, APPEND_DUE_LIMIT)? {
            self.subtract_scheduled(&removed, batch)?;
            self.append_due_event(removed.event, batch)?;
        }
        let mut remaining = APPEND_DUE_LIMIT;
        for declared in self.rows.due_schedules(batch.now, APPEND_DUE_LIMIT)? {
            let Some(next) = declared.next else { continue };
            let (plugin, name, schedule) = (&declared.plugin, &declared.name, &declared.schedule);
            let due = schedule.due(next, batch.now, remaining);
            remaining -= due.ticks.len();
            for tick in due.ticks {
                let id = self.shared.ids.tick(plugin, name, tick);
                self.append_due_event(schedule.event(id, plugin, name, tick), batch)?;
            }
            self.rows.move_schedule(plugin, name, due.next)?;
            if remaining == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Appends an event that is due. If another event has its source and id, that is reported.
    fn append_due_event(&mut self, event: Event, batch: &mut Batch) -> Result<(), StoreError> {
        let (source, id, event_type) = (event.source.clone(), event.id.clone(), event.event_type.clone());
        if !self.append(event, batch)?.is_new() {
            tracing::error!(
                source,
                id,
                event_type,
                "lost an event that was due, because another one has its source and id"
            );
            crate::bus::counters::count_collision();
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
        self.rows.set_running(plugin, true)?;
        batch.changes.schedules.mark();
        for stored in self.rows.schedules()? {
            let is_declared = declaration.schedules.iter().any(|(name, _)| *name == stored.name);
            if stored.plugin == plugin && !is_declared {
                self.rows.delete_schedule(plugin, &stored.name)?;
            }
        }
        for (name, schedule) in &declaration.schedules {
            let stored = self.rows.find_schedule(plugin, name)?;
            let unchanged = stored.filter(|stored| {
                stored.schedule.cron == schedule.cron && stored.schedule.timezone == schedule.timezone
            });
            let next = unchanged.map_or_else(|| schedule.after(batch.now), |stored| stored.next);
            self.rows.put_schedule(plugin, name, schedule, next)?;
        }
        Ok(())
    }

    /// Suspends the schedules of a plugin until it is declared again.
    pub(super) fn withdraw(&self, plugin: &str, batch: &mut Batch) -> Result<(), StoreError> {
        batch.changes.schedules.mark();
        self.rows.set_running(plugin, false)
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, _: &mut AfterCommitContext) {
        if !self.0 {
            return;
        }
        let next = writer.rows.next_scheduled();
        let read = next.and_then(|next| Ok((next, writer.rows.has_scheduled()?)));
        if let Some((next, has_scheduled)) = writer.or_fail_bus(read) {
            writer.has_scheduled = has_scheduled;
            writer.shared.next_scheduled.send_replace(next);
        }
    }
}
