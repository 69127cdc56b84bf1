//! Which plugins published what a subscription has open or dead: it counts as theirs.

use std::sync::Arc;

/// Deliveries of one subscription by the plugins that published their events: few, and so a list.
#[derive(Debug, Default)]
pub(crate) struct Flows(Vec<Flow>);

#[derive(Debug)]
struct Flow {
    plugin: Arc<str>,
    open: u64,
    dead: u64,
}

/// So many deliveries of a plugin's events are no longer open or dead.
pub(crate) type Gone = Vec<(Arc<str>, u64)>;

impl Flows {
    fn of(&mut self, plugin: &str) -> &mut Flow {
        let index = self.0.iter().position(|flow| &*flow.plugin == plugin).unwrap_or_else(|| {
            self.0.push(Flow { plugin: plugin.into(), open: 0, dead: 0 });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// Deliveries have come.
    pub(crate) fn add(&mut self, plugin: &str, open: u64, dead: u64) {
        let flow = self.of(plugin);
        flow.open += open;
        flow.dead += dead;
    }

    /// A delivery is dead. It stays what is held.
    pub(crate) fn buried(&mut self, plugin: &str) {
        let flow = self.of(plugin);
        let counted = flow.open.min(1);
        (flow.open, flow.dead) = (flow.open - counted, flow.dead + counted);
    }

    /// A dead letter is a delivery again.
    pub(crate) fn redriven(&mut self, plugin: &str) {
        let flow = self.of(plugin);
        let counted = flow.dead.min(1);
        (flow.open, flow.dead) = (flow.open + counted, flow.dead - counted);
    }

    /// A delivery is handled. Returns how many are held less.
    pub(crate) fn handled(&mut self, plugin: &str) -> u64 {
        let flow = self.of(plugin);
        let counted = flow.open.min(1);
        flow.open -= counted;
        counted
    }

    /// A dead letter is dropped. Returns how many are held less.
    pub(crate) fn dropped(&mut self, plugin: &str) -> u64 {
        let flow = self.of(plugin);
        let counted = flow.dead.min(1);
        flow.dead -= counted;
        counted
    }

    /// How many are open.
    pub(crate) fn open(&self) -> u64 {
        self.0.iter().map(|flow| flow.open).sum()
    }

    /// Lets none have more open than there are, where those that are gone were not told one by one.
    pub(crate) fn clamp(&mut self, open: u64) -> Gone {
        let mut gone = Gone::new();
        for flow in self.0.iter_mut().filter(|flow| flow.open > open) {
            gone.push((Arc::clone(&flow.plugin), flow.open - open));
            flow.open = open;
        }
        self.0.retain(|flow| flow.open + flow.dead > 0);
        gone
    }

    /// Takes all out.
    pub(crate) fn take(&mut self) -> Gone {
        std::mem::take(&mut self.0).into_iter().map(|flow| (flow.plugin, flow.open + flow.dead)).collect()
    }

    /// What each plugin has.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|flow| (&*flow.plugin, flow.open + flow.dead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_held_until_it_is_dropped() {
        let mut flows = Flows::default();
        flows.add("p", 3, 0);
        flows.buried("p");
        assert_eq!((flows.open(), flows.held().collect::<Vec<_>>()), (2, vec![("p", 3)]));
        assert_eq!(flows.handled("p"), 1);
        flows.redriven("p");
        assert_eq!(flows.open(), 2);
        flows.buried("p");
        assert_eq!(flows.dropped("p"), 1);
        assert_eq!(flows.dropped("p"), 0, "what was never counted is not counted off");
        assert_eq!(flows.clamp(0), [("p".into(), 1)]);
        assert_eq!(flows.held().count(), 0);
    }
}
