//! Counts a subscription's pending deliveries and dead letters by the plugin that published their events. A plugin's
//! counts for all subscriptions add up towards its limit.

use std::sync::Arc;

/// The counts by plugin. Few plugins publish the events of one subscription, so this is a list.
#[derive(Debug, Default)]
pub(crate) struct PluginCounts(Vec<PluginCount>);

#[derive(Debug)]
struct PluginCount {
    plugin: Arc<str>,
    pending: u64,
    dead: u64,
}

/// By how much the counts of plugins have dropped.
pub(crate) type CountReductions = Vec<(Arc<str>, u64)>;

impl PluginCounts {
    fn of(&mut self, plugin: &str) -> &mut PluginCount {
        let index = self.0.iter().position(|count| &*count.plugin == plugin).unwrap_or_else(|| {
            self.0.push(PluginCount { plugin: plugin.into(), pending: 0, dead: 0 });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// Adds deliveries.
    pub(crate) fn add(&mut self, plugin: &str, pending: u64, dead: u64) {
        let count = self.of(plugin);
        count.pending += pending;
        count.dead += dead;
    }

    /// A delivery is dead. It still counts.
    pub(crate) fn dead_lettered(&mut self, plugin: &str) {
        let count = self.of(plugin);
        let counted = count.pending.min(1);
        (count.pending, count.dead) = (count.pending - counted, count.dead + counted);
    }

    /// A dead letter is a delivery again.
    pub(crate) fn redriven(&mut self, plugin: &str) {
        let count = self.of(plugin);
        let counted = count.dead.min(1);
        (count.pending, count.dead) = (count.pending + counted, count.dead - counted);
    }

    /// A delivery is handled. Returns by how much the count has dropped.
    pub(crate) fn handled(&mut self, plugin: &str) -> u64 {
        let count = self.of(plugin);
        let counted = count.pending.min(1);
        count.pending -= counted;
        counted
    }

    /// A dead letter is dropped. Returns by how much the count has dropped.
    pub(crate) fn dropped(&mut self, plugin: &str) -> u64 {
        let count = self.of(plugin);
        let counted = count.dead.min(1);
        count.dead -= counted;
        counted
    }

    /// The number of pending deliveries.
    pub(crate) fn pending(&self) -> u64 {
        self.0.iter().map(|count| count.pending).sum()
    }

    /// Limits each count to the number of pending deliveries, when deliveries ended without being counted one by one.
    pub(crate) fn clamp(&mut self, pending: u64) -> CountReductions {
        let mut gone = CountReductions::new();
        for count in self.0.iter_mut().filter(|count| count.pending > pending) {
            gone.push((Arc::clone(&count.plugin), count.pending - pending));
            count.pending = pending;
        }
        self.0.retain(|count| count.pending + count.dead > 0);
        gone
    }

    /// Removes all counts.
    pub(crate) fn take(&mut self) -> CountReductions {
        std::mem::take(&mut self.0).into_iter().map(|count| (count.plugin, count.pending + count.dead)).collect()
    }

    /// The count of each plugin.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|count| (&*count.plugin, count.pending + count.dead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_counts_until_it_is_dropped() {
        let mut counts = PluginCounts::default();
        counts.add("p", 3, 0);
        counts.dead_lettered("p");
        assert_eq!((counts.pending(), counts.totals().collect::<Vec<_>>()), (2, vec![("p", 3)]));
        assert_eq!(counts.handled("p"), 1);
        counts.redriven("p");
        assert_eq!(counts.pending(), 2);
        counts.dead_lettered("p");
        assert_eq!(counts.dropped("p"), 1);
        assert_eq!(counts.dropped("p"), 0, "a delivery that was not counted does not reduce the count");
        assert_eq!(counts.clamp(0), [("p".into(), 1)]);
        assert_eq!(counts.totals().count(), 0);
    }
}
