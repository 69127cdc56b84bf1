//! How much of the store is used, in total and by each plugin and producer, so that none of them can take the room of
//! the others. [`Event::holder`](crate::event::Event::holder) says whose usage an event counts against.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bus::window::CountReductions;
use crate::subscription::PublishLimits;

/// The usage as of the last commit.
#[derive(Debug, Default)]
pub(super) struct StoreUsage {
    /// The size of the names of event types, in bytes.
    pub(super) type_bytes: u64,
    /// The size of the scheduled events, in bytes.
    pub(super) scheduled_bytes: u64,
    /// The number of scheduled events of each type.
    pub(super) scheduled_types: HashMap<i64, u64>,
    /// The usage of each plugin and producer.
    pub(super) holders: HashMap<Arc<str>, HolderUsage>,
    /// The holder that published the first event of each type.
    introduced: HashMap<i64, Arc<str>>,
}

/// The usage of one plugin or producer. Deliveries are counted for plugins only.
#[derive(Clone, Debug, Default)]
pub(super) struct HolderUsage {
    /// Its own limits, where its operator overrides the general ones.
    pub(super) limits: PublishLimits,
    /// The size of its events in the log, in bytes.
    pub(super) log_bytes: u64,
    /// The number and the size of its scheduled events.
    pub(super) scheduled: u64,
    pub(super) scheduled_bytes: u64,
    /// The number of deliveries of its events that are not handled, including dead letters.
    pub(super) deliveries: u64,
    /// The number of types that it introduced.
    pub(super) types: usize,
}

/// By how much a batch changes the usage.
#[derive(Debug, Default)]
pub(super) struct UsageChanges {
    pub(super) type_bytes: i64,
    pub(super) scheduled_bytes: i64,
    pub(super) scheduled_types: HashMap<i64, i64>,
    holders: HashMap<Arc<str>, HolderChange>,
    introduced: Vec<(i64, String)>,
}

/// The usage of one plugin or producer, including the changes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HolderTotals {
    /// The number of unhandled deliveries of its events, including dead letters, plus the number of its scheduled
    /// events and of the events that the batch appends for it.
    pub(super) waiting: u64,
    /// The number of its scheduled events.
    pub(super) scheduled: u64,
    /// The size of its events in bytes, in the log and scheduled.
    pub(super) bytes: u64,
    /// The number of types that it introduced.
    pub(super) types: usize,
}

/// By how much a batch changes the usage of one plugin or producer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HolderChange {
    pub(super) log_bytes: i64,
    pub(super) scheduled: i64,
    pub(super) scheduled_bytes: i64,
    /// The number of its events that entered the log. Their deliveries are counted after the commit.
    pub(super) appended: u64,
    /// The number of types that it introduces.
    types: usize,
}

impl HolderUsage {
    /// Subtracts deliveries that no longer count.
    pub(super) fn subtract(&mut self, gone: u64) {
        self.deliveries = self.deliveries.saturating_sub(gone);
    }
}

impl StoreUsage {
    /// A usage without events and deliveries. `type_bytes` is the total size of the names of the event types.
    pub(super) fn of_types(type_bytes: u64) -> Self {
        Self { type_bytes, ..Self::default() }
    }

    /// Adds deliveries of plugins' events.
    pub(super) fn add<'a>(&mut self, counts: impl Iterator<Item = (&'a str, u64)>) {
        counts.for_each(|(plugin, count)| self.holder_mut(plugin).deliveries += count);
    }

    /// Subtracts deliveries of plugins' events that no longer count.
    pub(super) fn subtract(&mut self, gone: CountReductions) {
        for (plugin, count) in gone {
            self.holder_mut(&plugin).subtract(count);
        }
    }

    /// The usage of a plugin or producer.
    pub(super) fn holder_mut(&mut self, holder: &str) -> &mut HolderUsage {
        if !self.holders.contains_key(holder) {
            self.holders.insert(holder.into(), HolderUsage::default());
        }
        self.holders.get_mut(holder).expect("the entry was inserted if it was missing")
    }

    /// Records who published the first event of a type.
    pub(super) fn introduced(&mut self, type_number: i64, holder: &str) {
        self.holder_mut(holder).types += 1;
        self.introduced.insert(type_number, holder.into());
    }

    /// Forgets who introduced types that no longer exist.
    pub(super) fn forgotten(&mut self, types: &[i64]) {
        for number in types {
            let Some(plugin) = self.introduced.remove(number) else { continue };
            let held = self.holder_mut(&plugin);
            held.types = held.types.saturating_sub(1);
        }
    }

    /// The size of everything but the events of the log, including the changes of a batch.
    pub(super) fn bytes_outside_log(&self, changes: &UsageChanges) -> u64 {
        changed(self.type_bytes, changes.type_bytes) + changed(self.scheduled_bytes, changes.scheduled_bytes)
    }

    /// The number of scheduled events of a type, including the changes of a batch.
    pub(super) fn scheduled_count(&self, type_number: i64, changes: &UsageChanges) -> u64 {
        let now = self.scheduled_types.get(&type_number).copied().unwrap_or(0);
        changed(now, changes.scheduled_types.get(&type_number).copied().unwrap_or(0))
    }

    /// The usage of a plugin or producer, including the changes of a batch.
    pub(super) fn of(&self, holder: &str, changes: &UsageChanges) -> HolderTotals {
        let none = HolderUsage::default();
        let held = self.holders.get(holder).unwrap_or(&none);
        let change = changes.holders.get(holder).copied().unwrap_or_default();
        let scheduled = changed(held.scheduled, change.scheduled);
        let log_bytes = changed(held.log_bytes, change.log_bytes);
        HolderTotals {
            waiting: held.deliveries + scheduled + change.appended,
            scheduled,
            bytes: log_bytes + changed(held.scheduled_bytes, change.scheduled_bytes),
            types: held.types + change.types,
        }
    }

    /// The new size of the events in the log, for each holder for which a batch changes it.
    pub(super) fn changed_log_bytes<'a>(&'a self, changes: &'a UsageChanges) -> impl Iterator<Item = (&'a str, u64)> {
        let changed_only = changes.holders.iter().filter(|(_, change)| change.log_bytes != 0);
        changed_only.map(|(holder, change)| {
            let before = self.holders.get(holder).map_or(0, |held| held.log_bytes);
            (&**holder, changed(before, change.log_bytes))
        })
    }

    /// Applies the changes of a committed batch.
    pub(super) fn apply(&mut self, changes: &mut UsageChanges) {
        let UsageChanges { type_bytes, scheduled_bytes, scheduled_types, holders, introduced } =
            std::mem::take(changes);
        introduced.iter().for_each(|(number, holder)| self.introduced(*number, holder));
        self.type_bytes = changed(self.type_bytes, type_bytes);
        self.scheduled_bytes = changed(self.scheduled_bytes, scheduled_bytes);
        for (number, change) in scheduled_types {
            let count = self.scheduled_types.entry(number).or_default();
            *count = changed(*count, change);
        }
        self.scheduled_types.retain(|_, count| *count > 0);
        for (holder, change) in holders {
            let held = self.holders.entry(holder).or_default();
            held.log_bytes = changed(held.log_bytes, change.log_bytes);
            held.scheduled = changed(held.scheduled, change.scheduled);
            held.scheduled_bytes = changed(held.scheduled_bytes, change.scheduled_bytes);
        }
    }
}

impl UsageChanges {
    /// The changes of one holder's usage.
    fn of(&mut self, holder: &str) -> &mut HolderChange {
        if !self.holders.contains_key(holder) {
            self.holders.insert(holder.into(), HolderChange::default());
        }
        self.holders.get_mut(holder).expect("the entry was inserted if it was missing")
    }

    /// A type is new.
    pub(super) fn introduced(&mut self, type_number: i64, name: &str, holder: Option<&str>) {
        self.type_bytes += signed(name.len() as u64);
        if let Some(holder) = holder {
            self.of(holder).types += 1;
            self.introduced.push((type_number, holder.to_owned()));
        }
    }

    /// An event has entered the log.
    pub(super) fn appended(&mut self, holder: Option<&str>, bytes: u64) {
        if let Some(change) = holder.map(|holder| self.of(holder)) {
            change.log_bytes += signed(bytes);
            change.appended += 1;
        }
    }

    /// An event that entered the log in the same batch is removed again.
    pub(super) fn taken_back(&mut self, holder: Option<&str>, bytes: u64) {
        if let Some(change) = holder.map(|holder| self.of(holder)) {
            change.log_bytes -= signed(bytes);
            change.appended = change.appended.saturating_sub(1);
        }
    }

    /// An event was deleted from the log.
    pub(super) fn deleted(&mut self, holder: Option<&str>, bytes: u64) {
        if let Some(change) = holder.map(|holder| self.of(holder)) {
            change.log_bytes -= signed(bytes);
        }
    }

    /// An event was scheduled, or, unless `is_added`, is no longer scheduled.
    pub(super) fn scheduled(&mut self, holder: Option<&str>, type_number: i64, bytes: u64, is_added: bool) {
        let (count, bytes) = if is_added { (1, signed(bytes)) } else { (-1, -signed(bytes)) };
        self.scheduled_bytes += bytes;
        *self.scheduled_types.entry(type_number).or_default() += count;
        if let Some(change) = holder.map(|holder| self.of(holder)) {
            change.scheduled += count;
            change.scheduled_bytes += bytes;
        }
    }
}

fn changed(number: u64, change: i64) -> u64 {
    number.saturating_add_signed(change)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_before_it_is_committed() {
        let (mut usage, mut changes) = (StoreUsage::default(), UsageChanges::default());
        let of = |usage: &StoreUsage, changes: &UsageChanges| {
            let HolderTotals { waiting, bytes, .. } = usage.of("p", changes);
            (waiting, bytes)
        };
        changes.appended(Some("p"), 100);
        changes.appended(None, 100);
        changes.scheduled(Some("p"), 1, 50, true);
        assert_eq!(of(&usage, &changes), (2, 150));
        assert_eq!(usage.bytes_outside_log(&changes), 50);
        usage.apply(&mut changes);
        assert_eq!(of(&usage, &changes), (1, 150), "deliveries of appended events are counted after the commit");
        changes.deleted(Some("p"), 100);
        changes.scheduled(Some("p"), 1, 50, false);
        assert_eq!(usage.changed_log_bytes(&changes).collect::<Vec<_>>(), [("p", 0)]);
        usage.apply(&mut changes);
        assert_eq!((of(&usage, &changes), usage.scheduled_count(1, &changes)), ((0, 0), 0));
    }
}
