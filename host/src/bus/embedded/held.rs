//! What the store holds besides the events of the log, and how much of everything is which plugin's: what one plugin
//! publishes must leave room for others.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bus::window::Gone;
use crate::event::reserved::publishing_plugin;
use crate::subscription::PublishLimits;

/// What is held, as of the last commit.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Bytes of the names of event types.
    pub(super) type_bytes: u64,
    /// Bytes of the events that enter the log later.
    pub(super) scheduled_bytes: u64,
    /// How many events of a type enter the log later.
    pub(super) scheduled_types: HashMap<i64, u64>,
    pub(super) plugins: HashMap<Arc<str>, Share>,
    /// The plugins that were the first to publish an event of a type.
    introduced: HashMap<i64, Arc<str>>,
}

/// What is held for one plugin.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
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
pub(super) struct Changes {
    pub(super) type_bytes: i64,
    pub(super) scheduled_bytes: i64,
    pub(super) scheduled_types: HashMap<i64, i64>,
    plugins: HashMap<Arc<str>, ShareChange>,
    introduced: Vec<(i64, String)>,
}

/// How what is held for a plugin changes with a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShareChange {
    pub(super) log_bytes: i64,
    pub(super) scheduled: i64,
    pub(super) scheduled_bytes: i64,
    /// How many of its events entered the log. What becomes of them shows after the commit.
    pub(super) appended: u64,
    /// How many types are new with it.
    types: usize,
}

impl Share {
    /// So many deliveries are held no longer.
    pub(super) fn take_off(&mut self, gone: u64) {
        self.deliveries = self.deliveries.saturating_sub(gone);
    }
}

impl Held {
    /// Nothing but types whose names have so many bytes.
    pub(super) fn of_types(type_bytes: u64) -> Self {
        Self { type_bytes, ..Self::default() }
    }

    /// So many deliveries of plugins' events are held.
    pub(super) fn add<'a>(&mut self, flows: impl Iterator<Item = (&'a str, u64)>) {
        flows.for_each(|(plugin, count)| self.share(plugin).deliveries += count);
    }

    /// So many deliveries of plugins' events are held no longer.
    pub(super) fn take_off(&mut self, gone: Gone) {
        for (plugin, count) in gone {
            self.share(&plugin).take_off(count);
        }
    }

    /// What is held for a plugin.
    pub(super) fn share(&mut self, plugin: &str) -> &mut Share {
        if !self.plugins.contains_key(plugin) {
            self.plugins.insert(plugin.into(), Share::default());
        }
        self.plugins.get_mut(plugin).expect("it was put there if it was not")
    }

    /// Notes who was the first to publish an event of a type.
    pub(super) fn introduced(&mut self, type_number: i64, source: &str) {
        if let Some(plugin) = publishing_plugin(source) {
            self.share(plugin).types += 1;
            self.introduced.insert(type_number, plugin.into());
        }
    }

    /// Forgets who was the first to publish events of types that are gone.
    pub(super) fn forgotten(&mut self, types: &[i64]) {
        for number in types {
            let Some(plugin) = self.introduced.remove(number) else { continue };
            let share = self.share(&plugin);
            share.types = share.types.saturating_sub(1);
        }
    }

    /// How many types a plugin was the first to publish, with those of a batch.
    pub(super) fn types_of(&self, plugin: &str, changes: &Changes) -> usize {
        let now = self.plugins.get(plugin).map_or(0, |share| share.types);
        now + changes.plugins.get(plugin).map_or(0, |change| change.types)
    }

    /// Bytes besides the events of the log, with what a batch changes.
    pub(super) fn bytes_beside_log(&self, changes: &Changes) -> u64 {
        changed(self.type_bytes, changes.type_bytes) + changed(self.scheduled_bytes, changes.scheduled_bytes)
    }

    /// How many events of a type enter the log later, with what a batch changes.
    pub(super) fn scheduled_of(&self, type_number: i64, changes: &Changes) -> u64 {
        let now = self.scheduled_types.get(&type_number).copied().unwrap_or(0);
        changed(now, changes.scheduled_types.get(&type_number).copied().unwrap_or(0))
    }

    /// What a plugin holds, with what a batch changes: events that wait, now or for their time, and bytes.
    pub(super) fn of_plugin(&self, plugin: &str, changes: &Changes) -> (u64, u64) {
        let none = Share::default();
        let share = self.plugins.get(plugin).unwrap_or(&none);
        let change = changes.plugins.get(plugin).copied().unwrap_or_default();
        let waiting = share.deliveries + changed(share.scheduled, change.scheduled) + change.appended;
        let bytes = changed(share.log_bytes, change.log_bytes);
        (waiting, bytes + changed(share.scheduled_bytes, change.scheduled_bytes))
    }

    /// The bytes of their events in the log, of all plugins for which a batch changes them.
    pub(super) fn changed_log_bytes<'a>(&'a self, changes: &'a Changes) -> impl Iterator<Item = (&'a str, u64)> {
        let changed_only = changes.plugins.iter().filter(|(_, change)| change.log_bytes != 0);
        changed_only.map(|(plugin, change)| {
            let before = self.plugins.get(plugin).map_or(0, |share| share.log_bytes);
            (&**plugin, changed(before, change.log_bytes))
        })
    }

    /// Takes over what a batch has changed.
    pub(super) fn apply(&mut self, changes: &mut Changes) {
        let Changes { type_bytes, scheduled_bytes, scheduled_types, plugins, introduced } = std::mem::take(changes);
        introduced.iter().for_each(|(number, source)| self.introduced(*number, source));
        self.type_bytes = changed(self.type_bytes, type_bytes);
        self.scheduled_bytes = changed(self.scheduled_bytes, scheduled_bytes);
        for (number, change) in scheduled_types {
            let count = self.scheduled_types.entry(number).or_default();
            *count = changed(*count, change);
        }
        self.scheduled_types.retain(|_, count| *count > 0);
        for (plugin, change) in plugins {
            let share = self.plugins.entry(plugin).or_default();
            share.log_bytes = changed(share.log_bytes, change.log_bytes);
            share.scheduled = changed(share.scheduled, change.scheduled);
            share.scheduled_bytes = changed(share.scheduled_bytes, change.scheduled_bytes);
        }
    }
}

impl Changes {
    /// How what is held for the publisher of an event changes, if that is a plugin.
    pub(super) fn of_source(&mut self, source: &str) -> Option<&mut ShareChange> {
        let plugin = publishing_plugin(source)?;
        if !self.plugins.contains_key(plugin) {
            self.plugins.insert(plugin.into(), ShareChange::default());
        }
        self.plugins.get_mut(plugin)
    }

    /// A type is new.
    pub(super) fn introduced(&mut self, type_number: i64, name: &str, source: &str) {
        self.type_bytes += signed(name.len() as u64);
        if let Some(change) = self.of_source(source) {
            change.types += 1;
            self.introduced.push((type_number, source.to_owned()));
        }
    }

    /// An event has entered the log.
    pub(super) fn appended(&mut self, source: &str, bytes: u64) {
        if let Some(change) = self.of_source(source) {
            change.log_bytes += signed(bytes);
            change.appended += 1;
        }
    }

    /// An event that has entered the log in the same batch is taken out again.
    pub(super) fn taken_back(&mut self, source: &str, bytes: u64) {
        if let Some(change) = self.of_source(source) {
            change.log_bytes -= signed(bytes);
            change.appended = change.appended.saturating_sub(1);
        }
    }

    /// An event was deleted from the log.
    pub(super) fn deleted(&mut self, source: &str, bytes: u64) {
        if let Some(change) = self.of_source(source) {
            change.log_bytes -= signed(bytes);
        }
    }

    /// An event is kept for later, or no longer.
    pub(super) fn scheduled(&mut self, source: &str, type_number: i64, bytes: u64, is_kept: bool) {
        let (count, bytes) = if is_kept { (1, signed(bytes)) } else { (-1, -signed(bytes)) };
        self.scheduled_bytes += bytes;
        *self.scheduled_types.entry(type_number).or_default() += count;
        if let Some(change) = self.of_source(source) {
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
        let (mut held, mut changes) = (Held::default(), Changes::default());
        changes.appended("/plugins/p", 100);
        changes.appended("/shop", 100);
        changes.scheduled("/plugins/p", 1, 50, true);
        assert_eq!(held.of_plugin("p", &changes), (2, 150));
        assert_eq!(held.bytes_beside_log(&changes), 50);
        held.apply(&mut changes);
        assert_eq!(held.of_plugin("p", &changes), (1, 150), "what became of its events is counted by itself");
        changes.deleted("/plugins/p", 100);
        changes.scheduled("/plugins/p", 1, 50, false);
        assert_eq!(held.changed_log_bytes(&changes).collect::<Vec<_>>(), [("p", 0)]);
        held.apply(&mut changes);
        assert_eq!((held.of_plugin("p", &changes), held.scheduled_of(1, &changes)), ((0, 0), 0));
    }
}
