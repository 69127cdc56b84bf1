//! The number of a subscription's open deliveries and dead letters for each plugin that published their events. They
//! count against that plugin's limit.

use std::sync::Arc;

/// The counts by plugin. A subscription has few publishers, so this is a list.
#[derive(Debug, Default)]
pub(crate) struct PublisherCounts(Vec<PublisherCount>);

#[derive(Debug)]
struct PublisherCount {
    plugin: Arc<str>,
    open: u64,
    dead: u64,
}

/// By how much the counts of plugins have dropped.
pub(crate) type CountReductions = Vec<(Arc<str>, u64)>;

impl PublisherCounts {
    fn of(&mut self, plugin: &str) -> &mut PublisherCount {
        let index = self.0.iter().position(|count| &*count.plugin == plugin).unwrap_or_else(|| {
            self.0.push(PublisherCount { plugin: plugin.into(), open: 0, dead: 0 });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// Adds deliveries.
    pub(crate) fn add(&mut self, plugin: &str, open: u64, dead: u64) {
        let count = self.of(plugin);
        count.open += open;
        count.dead += dead;
    }

    /// A delivery is dead. It still counts.
    pub(crate) fn dead_lettered(&mut self, plugin: &str) {
        let count = self.of(plugin);
        let counted = count.open.min(1);
        (count.open, count.dead) = (count.open - counted, count.dead + counted);
    }

    /// A dead letter is a delivery again.
    pub(crate) fn redriven(&mut self, plugin: &str) {
        let count = self.of(plugin);
        let counted = count.dead.min(1);
        (count.open, count.dead) = (count.open + counted, count.dead - counted);
    }

    /// A delivery is handled. Returns by how much the count has dropped.
    pub(crate) fn handled(&mut self, plugin: &str) -> u64 {
        let count = self.of(plugin);
        let counted = count.open.min(1);
        count.open -= counted;
        counted
    }

    /// A dead letter is dropped. Returns by how much the count has dropped.
    pub(crate) fn dropped(&mut self, plugin: &str) -> u64 {
        let count = self.of(plugin);
        let counted = count.dead.min(1);
        count.dead -= counted;
        counted
    }

    /// The number of open deliveries.
    pub(crate) fn open(&self) -> u64 {
        self.0.iter().map(|count| count.open).sum()
    }

    /// Limits each count to the number of open deliveries, when deliveries ended without being counted one by one.
    pub(crate) fn clamp(&mut self, open: u64) -> CountReductions {
        let mut gone = CountReductions::new();
        for count in self.0.iter_mut().filter(|count| count.open > open) {
            gone.push((Arc::clone(&count.plugin), count.open - open));
            count.open = open;
        }
        self.0.retain(|count| count.open + count.dead > 0);
        gone
    }

    /// Removes all counts.
    pub(crate) fn take(&mut self) -> CountReductions {
        std::mem::take(&mut self.0).into_iter().map(|count| (count.plugin, count.open + count.dead)).collect()
    }

    /// The count of each plugin.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|count| (&*count.plugin, count.open + count.dead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_counts_until_it_is_dropped() {
        let mut publishers = PublisherCounts::default();
        publishers.add("p", 3, 0);
        publishers.dead_lettered("p");
        assert_eq!((publishers.open(), publishers.totals().collect::<Vec<_>>()), (2, vec![("p", 3)]));
        assert_eq!(publishers.handled("p"), 1);
        publishers.redriven("p");
        assert_eq!(publishers.open(), 2);
        publishers.dead_lettered("p");
        assert_eq!(publishers.dropped("p"), 1);
        assert_eq!(publishers.dropped("p"), 0, "a delivery that was not counted does not reduce the count");
        assert_eq!(publishers.clamp(0), [("p".into(), 1)]);
        assert_eq!(publishers.totals().count(), 0);
    }
}
