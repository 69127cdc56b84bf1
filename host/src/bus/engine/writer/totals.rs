//! Totals of the store: the event types, and the usage by plugin and producer.

use std::collections::{BTreeSet, HashSet};

use super::super::engine_state::EngineState;
use super::super::store::{Rows, ScheduledUsage};
use super::super::usage::{StoreUsage, UsageChanges};
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::Batch;
use crate::bus::{CommitError, StoreError};
use crate::event::Event;
use crate::outcome::Publish;

/// Changes of the totals.
#[derive(Default)]
pub(super) struct Changes {
    /// New types.
    pub(super) types: Vec<(i64, String)>,
    /// Changes of the usage.
    pub(super) usage: UsageChanges,
    /// Types that may have no events any more.
    pub(super) emptied: BTreeSet<i64>,
    /// Types that were removed.
    forgotten: Vec<i64>,
}

impl Writer {
    /// Whether a type has no number: no event of the type is in the log or scheduled.
    pub(super) fn is_new_type(&self, name: &str, batch: &Batch) -> bool {
        self.shared.types().number(name).is_none() && !batch.changes.totals.types.iter().any(|(_, other)| other == name)
    }

    /// Checks the limit on event types, which are kept in memory while they have events. One plugin may introduce at
    /// most half of the limit.
    pub(super) fn check_types(
        &self,
        plugin: Option<&str>,
        events: &[Publish],
        batch: &Batch,
    ) -> Result<(), CommitError> {
        let limit = self.shared.settings.load().max_types;
        let all = self.shared.types().count() + batch.changes.totals.types.len();
        let own = plugin.map_or(0, |plugin| self.usage.of(plugin, &batch.changes.totals.usage).types);
        let own_limit = if plugin.is_some() { limit / 2 } else { limit };
        let mut new = HashSet::new();
        for Publish { event, .. } in events {
            let name = event.event_type.as_str();
            if self.is_new_type(name, batch) {
                new.insert(name);
                if all + new.len() > limit {
                    return Err(CommitError::TooManyTypes(limit));
                }
                if let Some(plugin) = plugin.filter(|_| own + new.len() > own_limit) {
                    return Err(CommitError::PluginTypesFull(plugin.to_owned(), own_limit));
                }
            }
        }
        Ok(())
    }

    /// Writes the totals that the batch has changed. This is the last part of the batch.
    pub(super) fn put_totals(&self, batch: &mut Batch) -> Result<(), StoreError> {
        self.forget_types(batch)?;
        for (holder, bytes) in self.usage.changed_log_bytes(&batch.changes.totals.usage) {
            self.rows.put_log_bytes(holder, bytes)?;
        }
        if batch.log != self.log {
            self.rows.put_log(&batch.log)?;
        }
        Ok(())
    }

    /// Removes the types that have no events, neither in the log nor scheduled.
    fn forget_types(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for number in std::mem::take(&mut batch.changes.totals.emptied) {
            if self.usage.scheduled_count(number, &batch.changes.totals.usage) > 0 || self.rows.has_events_of(number)? {
                continue;
            }
            if let Some(name) = self.rows.delete_type(number)? {
                batch.changes.totals.usage.type_bytes -= i64::try_from(name.len()).unwrap_or(i64::MAX);
                batch.changes.totals.types.retain(|(new, _)| *new != number);
                batch.changes.totals.forgotten.push(number);
            }
        }
        Ok(())
    }

    pub(super) fn type_number(&mut self, event: &Event, batch: &mut Batch) -> Result<i64, StoreError> {
        let name = event.event_type.as_str();
        let stored = self.shared.types().number(name);
        let new = || batch.changes.totals.types.iter().find(|(_, other)| other == name).map(|(number, _)| *number);
        if let Some(number) = stored.or_else(new) {
            return Ok(number);
        }
        let number = self.next_type;
        self.next_type += 1;
        self.rows.add_type(number, name)?;
        batch.changes.totals.usage.introduced(number, name, event.holder());
        batch.changes.totals.types.push((number, name.to_owned()));
        Ok(number)
    }
}

impl AfterCommit for Changes {
    fn apply(mut self, writer: &mut Writer, _: &mut AfterCommitContext) {
        writer.shared.add_types(self.types);
        writer.usage.apply(&mut self.usage);
        writer.usage.forgotten(&self.forgotten);
        writer.shared.forget_types(&self.forgotten);
    }
}

/// The usage of the store, at the start.
pub(super) fn load_usage(rows: &dyn Rows, shared: &EngineState) -> Result<StoreUsage, StoreError> {
    let types = shared.types();
    let mut usage = StoreUsage::of_types(types.bytes());
    for (holder, bytes) in rows.log_bytes_by_holder()? {
        usage.holder_mut(&holder).log_bytes = bytes;
    }
    let mut scheduled_holders = rows.first_scheduled_holders()?;
    for (name, number) in &types.numbers {
        let of_scheduled = scheduled_holders.remove(name).flatten();
        let holder = match rows.first_holder_of(*number)? {
            None if !rows.has_events_of(*number)? => of_scheduled,
            holder => holder,
        };
        if let Some(holder) = holder {
            usage.introduced(*number, &holder);
        }
    }
    for ScheduledUsage { holder, event_type, count, bytes } in rows.scheduled_usage()? {
        usage.scheduled_bytes += bytes;
        if let Some(number) = types.number(&event_type) {
            *usage.scheduled_types.entry(number).or_default() += count;
        }
        if let Some(holder) = holder {
            let held = usage.holder_mut(&holder);
            held.scheduled += count;
            held.scheduled_bytes += bytes;
        }
    }
    for subscription in shared.feeds().iter() {
        usage.add(subscription.window().plugin_counts.totals());
    }
    Ok(usage)
}
