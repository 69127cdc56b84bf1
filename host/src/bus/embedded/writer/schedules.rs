//! Due events, and the schedules of plugins.

use super::super::rows;
use super::Writer;
use super::batch::Batch;
use super::subjects::{AfterCommit, PublishContext};
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
    /// Lets due events into the log.
    pub(super) fn promote(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.changes.schedules.mark();
        for taken in rows::take_scheduled(&self.connection, batch.now, PROMOTE_LIMIT)? {
            self.uncount_scheduled(&taken, batch)?;
            self.append_due(taken.event, batch)?;
        }
        let mut left = PROMOTE_LIMIT;
        for due in rows::due_schedules(&self.connection, batch.now, PROMOTE_LIMIT)? {
            let Some(next) = due.next else { continue };
            let outcome = due.schedule.due(next, batch.now, left);
            left -= outcome.ticks.len();
            for tick in outcome.ticks {
                let id = self.shared.ids.tick(&due.plugin, &due.name, tick);
                self.append_due(due.schedule.event(id, &due.plugin, &due.name, tick), batch)?;
            }
            rows::move_schedule(&self.connection, &due.plugin, &due.name, outcome.next)?;
            if left == 0 {
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

    /// Takes over the schedules that a plugin declares, and starts them. A schedule whose times are unchanged
    /// continues, so that its missed ticks are known.
    pub(super) fn declare_schedules(
        &self,
        plugin: &str,
        declaration: &Declaration,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        rows::set_running(&self.connection, plugin, true)?;
        batch.changes.schedules.mark();
        for present in rows::schedules(&self.connection)? {
            let declared = declaration.schedules.iter().any(|(name, _)| *name == present.name);
            if present.plugin == plugin && !declared {
                rows::delete_schedule(&self.connection, plugin, &present.name)?;
            }
        }
        for (name, schedule) in &declaration.schedules {
            let present = rows::find_schedule(&self.connection, plugin, name)?;
            let same_times = present.filter(|present| {
                present.schedule.cron == schedule.cron && present.schedule.timezone == schedule.timezone
            });
            let next = same_times.map_or_else(|| schedule.after(batch.now), |present| present.next);
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
    fn publish(self, writer: &mut Writer, _: &mut PublishContext) {
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
