//! What the store holds besides the events of the log, and how much of everything is whose: what one plugin, or one
//! producer from outside, publishes must leave room for others. [`Event::holder`](crate::event::Event::holder) says
//! whose share an event counts against.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bus::window::CountReductions;
use crate::subscription::PublishLimits;

/// What is held, as of the last commit.
#[derive(Debug, Default)]
pub(super) struct StoreUsage {
    /// Bytes of the names of event types.
    pub(super) type_bytes: u64,
    /// Bytes of the events that enter the log later.
    pub(super) scheduled_bytes: u64,
    /// How many events of a type enter the log later.
    pub(super) scheduled_types: HashMap<i64, u64>,
    /// By plugin, and by producer.
    pub(super) shares: HashMap<Arc<str>, HolderUsage>,
    /// Who was the first to publish an event of a type.
    introduced: HashMap<i64, Arc<str>>,
}

/// What is held for one plugin, or for one producer from outside, whose deliveries are not counted.
#[derive(Clone, Debug, Default)]
pub(super) struct HolderUsage {
    /// What it may have, where its operator says something else than what applies to all.
    pub(super) limits: PublishLimits,
    /// Bytes of its events in the log.
    pub(super) log_bytes: u64,
    /// How many of its events enter the log later, and their bytes.
    pub(super) scheduled: u64,
    pub(super) scheduled_bytes: u64,
    /// Deliveries of its events that are not handled, dead letters among them.
    pub(super) deliveries: u64,
    /// How many types it was the first to publish.
    pub(super) types: usize,
}

/// How what is held changes with a batch.
#[derive(Debug, Default)]
pub(super) struct UsageChanges {
    pub(super) type_bytes: i64,
    pub(super) scheduled_bytes: i64,
    pub(super) scheduled_types: HashMap<i64, i64>,
    shares: HashMap<Arc<str>, HolderChange>,
    introduced: Vec<(i64, String)>,
}

/// What one plugin or producer holds, with what a batch changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HolderTotals {
    /// Events that wait, to be handled or for their time.
    pub(super) waiting: u64,
    /// Those of them that wait for their time.
    pub(super) scheduled: u64,
    /// Bytes of its events, in the log and for later.
    pub(super) bytes: u64,
    /// How many types it was the first to publish.
    pub(super) types: usize,
}

/// How what is held for one share changes with a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HolderChange {
    pub(super) log_bytes: i64,
    pub(super) scheduled: i64,
    pub(super) scheduled_bytes: i64,
    /// How many of its events entered the log. What becomes of them shows after the commit.
    pub(super) appended: u64,
    /// How many types are new with it.
    types: usize,
}

impl HolderUsage {
    /// So many deliveries are held no longer.
    pub(super) fn subtract(&mut self, gone: u64) {
        self.deliveries = self.deliveries.saturating_sub(gone);
    }
}

impl StoreUsage {
    /// Nothing but types whose names have so many bytes.
    pub(super) fn of_types(type_bytes: u64) -> Self {
        Self { type_bytes, ..Self::default() }
    }

    /// So many deliveries of plugins' events are held.
    pub(super) fn add<'a>(&mut self, publishers: impl Iterator<Item = (&'a str, u64)>) {
        publishers.for_each(|(plugin, count)| self.share(plugin).deliveries += count);
    }

    /// So many deliveries of plugins' events are held no longer.
    pub(super) fn subtract(&mut self, gone: CountReductions) {
        for (plugin, count) in gone {
            self.share(&plugin).subtract(count);
        }
    }

    /// What is held for a plugin, or for a producer.
    pub(super) fn share(&mut self, holder: &str) -> &mut HolderUsage {
        if !self.shares.contains_key(holder) {
            self.shares.insert(holder.into(), HolderUsage::default());
        }
        self.shares.get_mut(holder).expect("it was put there if it was not")
    }

    /// Notes who was the first to publish an event of a type.
    pub(super) fn introduced(&mut self, type_number: i64, holder: &str) {
        self.share(holder).types += 1;
        self.introduced.insert(type_number, holder.into());
    }

    /// Forgets who was the first to publish events of types that are gone.
    pub(super) fn forgotten(&mut self, types: &[i64]) {
        for number in types {
            let Some(plugin) = self.introduced.remove(number) else { continue };
            let share = self.share(&plugin);
            share.types = share.types.saturating_sub(1);
        }
    }

    /// Bytes besides the events of the log, with what a batch changes.
    pub(super) fn bytes_outside_log(&self, changes: &UsageChanges) -> u64 {
        changed(self.type_bytes, changes.type_bytes) + changed(self.scheduled_bytes, changes.scheduled_bytes)
    }

    /// How many events of a type enter the log later, with what a batch changes.
    pub(super) fn scheduled_count(&self, type_number: i64, changes: &UsageChanges) -> u64 {
        let now = self.scheduled_types.get(&type_number).copied().unwrap_or(0);
        changed(now, changes.scheduled_types.get(&type_number).copied().unwrap_or(0))
    }

    /// What a plugin or a producer holds, with what a batch changes.
    pub(super) fn of(&self, holder: &str, changes: &UsageChanges) -> HolderTotals {
        let none = HolderUsage::default();
        let share = self.shares.get(holder).unwrap_or(&none);
        let change = changes.shares.get(holder).copied().unwrap_or_default();
        let scheduled = changed(share.scheduled, change.scheduled);
        let log_bytes = changed(share.log_bytes, change.log_bytes);
        HolderTotals {
            waiting: share.deliveries + scheduled + change.appended,
            scheduled,
            bytes: log_bytes + changed(share.scheduled_bytes, change.scheduled_bytes),
            types: share.types + change.types,
        }
    }

    /// The bytes of their events in the log, of all for which a batch changes them.
    pub(super) fn changed_log_bytes<'a>(&'a self, changes: &'a UsageChanges) -> impl Iterator<Item = (&'a str, u64)> {
        let changed_only = changes.shares.iter().filter(|(_, change)| change.log_bytes != 0);
        changed_only.map(|(holder, change)| {
            let before = self.shares.get(holder).map_or(0, |share| share.log_bytes);
            (&**holder, changed(before, change.log_bytes))
        })
    }

    /// Takes over what a batch has changed.
    pub(super) fn apply(&mut self, changes: &mut UsageChanges) {
        let UsageChanges { type_bytes, scheduled_bytes, scheduled_types, shares, introduced } = std::mem::take(changes);
        introduced.iter().for_each(|(number, holder)| self.introduced(*number, holder));
        self.type_bytes = changed(self.type_bytes, type_bytes);
        self.scheduled_bytes = changed(self.scheduled_bytes, scheduled_bytes);
        for (number, change) in scheduled_types {
            let count = self.scheduled_types.entry(number).or_default();
            *count = changed(*count, change);
        }
        self.scheduled_types.retain(|_, count| *count > 0);
        for (holder, change) in shares {
            let share = self.shares.entry(holder).or_default();
            share.log_bytes = changed(share.log_bytes, change.log_bytes);
            share.scheduled = changed(share.scheduled, change.scheduled);
            share.scheduled_bytes = changed(share.scheduled_bytes, change.scheduled_bytes);
        }
    }
}

impl UsageChanges {
    /// How what is held for somebody changes.
    fn of(&mut self, holder: &str) -> &mut HolderChange {
        if !self.shares.contains_key(holder) {
            self.shares.insert(holder.into(), HolderChange::default());
        }
        self.shares.get_mut(holder).expect("it was put there if it was not")
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

    /// An event that has entered the log in the same batch is taken out again.
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

    /// An event is kept for later, or no longer.
    pub(super) fn scheduled(&mut self, holder: Option<&str>, type_number: i64, bytes: u64, is_kept: bool) {
        let (count, bytes) = if is_kept { (1, signed(bytes)) } else { (-1, -signed(bytes)) };
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
        assert_eq!(of(&usage, &changes), (1, 150), "what became of its events is counted by itself");
        changes.deleted(Some("p"), 100);
        changes.scheduled(Some("p"), 1, 50, false);
        assert_eq!(usage.changed_log_bytes(&changes).collect::<Vec<_>>(), [("p", 0)]);
        usage.apply(&mut changes);
        assert_eq!((of(&usage, &changes), usage.scheduled_count(1, &changes)), ((0, 0), 0));
    }
}
